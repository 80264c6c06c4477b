from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.cli.shell import Shell
from tests.dns_server import FaultDnsServer
from tests.folders import folder_of


class DomainCheckTests(TestCase):
    """`domain check` against a real name server, which runs beside the command."""

    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))
        self.server = FaultDnsServer(reactor)
        self.server.start()
        self.addCleanup(self.server.stop)
        servers = f'dns.nameservers=["{self.server.where}"]'
        self.options: tuple[str, ...] = ("--set", servers, "--set", "dns.timeout=2s")
        made = self.shell.json("domain", "add", "trial", "example.org")
        self.records: dict[str, dict[str, Any]] = {r["purpose"]: r for r in made["records"]}

    def publish(self, purpose: str, *values: str) -> None:
        record = self.records[purpose]
        strings = [_strings(value) for value in values or (record["value"],)]
        self.server.answer(record["name"], "TXT", *strings)

    async def check(self, *command: str, status: int = 0) -> Any:
        arguments = (*self.options, "domain", *command)
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

    async def test_a_bounce_domain_leads_here_and_says_who_sends(self) -> None:
        self.options += ("--set", "feedback.domain=bounce.example.org")
        self.publish("ownership")
        self.publish("dkim")
        states = await self.states(1)
        self.assertEqual((states["returns"], states["returns-spf"]), ("missing", "missing"))
        self.server.answer("bounce.example.org", "MX", "10 mx.example.net.")
        self.server.answer("bounce.example.org", "TXT", '"v=spf1 a:mail.example.net -all"')
        states = await self.states(1)
        self.assertEqual((states["returns"], states["returns-spf"]), ("other", "other"))
        self.server.answer("bounce.example.org", "MX", "10 mx.example.net.", "20 LocalHost.")
        self.server.answer("bounce.example.org", "TXT", '"v=spf1 a:localhost -all"')
        states = await self.states(0)
        self.assertEqual((states["returns"], states["returns-spf"]), ("ok", "ok"))

    async def refused(self, *command: str) -> str:
        return await deferToThread(self.shell.refused, *self.options, "domain", *command)

    async def test_a_tracking_host_is_taken_once_it_leads_to_us(self) -> None:
        setting = ("set", "example.org", "tracking_host", "links.example.org")
        self.options += ("--set", 'web.tracking_url="https://t.example.net"')
        self.server.answer("t.example.net", "A", "192.0.2.1")
        self.assertIn("links.example.org. IN CNAME t.example.net.", await self.refused(*setting))
        self.server.answer("links.example.org", "A", "192.0.2.99")
        self.assertIn("does not lead to t.example.net", await self.refused(*setting))
        self.server.answer("links.example.org", "A", "192.0.2.1")  # an alias made flat
        found = await self.check(*setting)
        self.assertEqual(found["links"], "https://links.example.org")
        self.assertEqual((await self.states(1))["tracking"], "ok")
        records = (await self.check("records", "example.org"))["records"]
        (record,) = [one for one in records if one["purpose"] == "tracking"]
        self.assertEqual((record["type"], record["value"]), ("CNAME", "t.example.net."))
        await self.refused("set", "example.org", "tracking_host", "links.example.com")
        await self.check("set", "example.org", "tracking_host", "")
        self.assertNotIn("tracking", await self.states(1))

    async def test_a_tracking_hosts_cname(self) -> None:
        self.options += ("--set", 'web.tracking_url="https://t.example.net"')
        setting = ("set", "example.org", "tracking_host", "links.example.org")
        self.server.cname("links.example.org", "t.example.net")
        self.server.answer("t.example.net", "AAAA", "2001:db8::1")
        await self.check(*setting)
        self.server.fail("links.example.org", "SERVFAIL")
        self.assertEqual((await self.states(1))["tracking"], "no answer")
        self.assertIn("DNS gave no answer", await self.refused(*setting))
        await self.check(*setting, "--force")

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
