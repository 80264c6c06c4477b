from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.cli.shell import Shell
from tests.dns_server import FaultDnsServer


class DomainCheckTests(TestCase):
    """`domain check` against a real name server, which runs beside the command."""

    def setUp(self) -> None:
        self.shell = Shell(self, Path(self.mktemp()).absolute())
        self.server = FaultDnsServer(reactor)
        self.server.start()
        self.addCleanup(self.server.stop)
        made = self.shell.json("domain", "add", "trial", "example.org")
        self.records: dict[str, dict[str, Any]] = {r["purpose"]: r for r in made["records"]}

    def publish(self, purpose: str, *values: str) -> None:
        record = self.records[purpose]
        strings = [_strings(value) for value in values or (record["value"],)]
        self.server.answer(record["name"], "TXT", *strings)

    async def check(self, *command: str, status: int = 0) -> Any:
        servers = f'dns.nameservers=["{self.server.where}"]'
        arguments = ("--set", servers, "--set", "dns.timeout=2s", "domain", *command)
        return await deferToThread(self.shell.json, *arguments, status=status)

    async def states(self, status: int) -> dict[str, str]:
        found = await self.check("check", "example.org", status=status)
        return {record["record"]: record["state"] for record in found["records"]}

    async def test_ownership_makes_it_verified_once_the_key_is_there_all_is_well(self) -> None:
        self.server.answer("example.org", "A", "192.0.2.1")
        self.publish("ownership", "v=unrelated", self.records["ownership"]["value"])
        found = await self.check("check", "example.org", status=1)
        self.assertTrue(found["verified"])
        self.publish("dkim")
        self.assertEqual(
            await self.states(0),
            {"ownership": "ok", "dkim": "ok", "spf": "missing", "dmarc": "missing"},
        )

    async def test_another_accounts_proof_is_none(self) -> None:
        self.publish("ownership", "smtpplus-domain=" + "0" * 40)
        self.publish("dkim", self.records["dkim"]["value"][:-4] + "AAAA")
        found = await self.check("verify", "example.org", status=1)
        self.assertIsNone(found["verified"])
        states = await self.states(1)
        self.assertEqual((states["ownership"], states["dkim"]), ("other", "other"))

    async def test_spf_and_dmarc(self) -> None:
        self.publish("ownership")
        self.publish("dkim")
        self.publish("spf", "v=spf1 mx A:localhost -all")
        self.publish("dmarc", "v=DMARC1; p=reject")
        self.assertEqual(set((await self.states(0)).values()), {"ok"})
        self.publish("spf", "v=spf1 -all")
        self.publish("dmarc", "v=DMARC1; p=none", "v=DMARC1; p=reject")
        states = await self.states(0)
        self.assertEqual((states["spf"], states["dmarc"]), ("other", "other"))

    async def test_O2_a_servers_failure_takes_nothing_away(self) -> None:
        self.publish("ownership")
        await self.check("verify", "example.org")
        self.server.fail(self.records["ownership"]["name"], "SERVFAIL")
        found = await self.check("check", "example.org", status=1)
        self.assertTrue(found["verified"])
        self.assertEqual(found["records"][0]["state"], "no answer")


def _strings(value: str) -> str:
    """A value in zone file form, cut as DNS needs it."""
    parts = [value[start : start + 255] for start in range(0, len(value), 255)]
    return " ".join(f'"{part}"' for part in parts)
