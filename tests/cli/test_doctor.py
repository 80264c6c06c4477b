"""The doctor: well where all is well, and each illness found with its mend."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from smtpplus.net.certificates import self_signed
from tests.cli.certificates import pair, pair_signed_with_sha1, weak_pair
from tests.cli.shell import Shell
from tests.dns_server import FaultDnsServer
from tests.folders import folder_of
from tests.live.peers import free_port

_NOBODY = "127.0.0.1:1"  # nothing answers there


class _DoctorCase(TestCase):
    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))
        self.folder = self.shell.folder
        self.sets: list[str] = []
        for key in ("submission.listen", "submission.listen_tls", "feedback.listen", "web.listen"):
            self.sets += ["--set", f"{key}=127.0.0.1:{free_port()}"]

    def findings(self, *settings: str, status: int = 1) -> list[dict[str, Any]]:
        sets = [word for one in settings for word in ("--set", one)]
        found: list[dict[str, Any]] = self.shell.json(*self.sets, *sets, "doctor", status=status)
        for one in found:
            self.assertEqual(bool(one["mend"]), one["level"] != "ok", one)
        return found

    def problem(self, check: str, text: str, *settings: str) -> None:
        found = [one for one in self.findings(*settings) if one["level"] == "problem"]
        self.assertEqual([one["check"] for one in found], [check], found)
        self.assertIn(text, found[0]["text"])


class DoctorTests(_DoctorCase):
    def test_a_fresh_trial_is_well(self) -> None:
        found = self.findings(status=0)
        self.assertEqual(
            {one["check"] for one in found},
            {
                "disk", "permissions", "secret", "certificate", "ports",
                "clock", "dns", "returns", "domains", "links", "store", "queue", "leases",
            },
        )  # fmt: skip
        out, _ = self.shell.run(*self.sets, "doctor")
        self.assertIn("ok", out)

    def test_permissions_and_owners(self) -> None:
        (self.folder / "secret.key").chmod(0o644)
        self.problem("permissions", "secret.key can be read by everybody")
        (self.folder / "secret.key").chmod(0o600)
        if os.geteuid() == 0:
            os.chown(self.folder / "queue" / "smtpplus.sqlite3", 65534, 65534)
            self.problem("permissions", "another user")

    def test_certificate_validity_and_name(self) -> None:
        certificate, key = self_signed("other.example", time.time() - 900 * 86400)
        (self.folder / "certificate.pem").write_bytes(certificate)
        (self.folder / "private_key.pem").write_bytes(key)
        self.problem("certificate", "expired")
        certificate, key = self_signed("other.example", time.time())
        (self.folder / "certificate.pem").write_bytes(certificate)
        self.problem("certificate", "does not belong")
        (self.folder / "private_key.pem").write_bytes(key)
        self.problem(
            "certificate",
            "not for mail",
            "server.hostname=mail",
        )

    def test_a_certificate_that_is_not_valid_yet(self) -> None:
        now = time.time()
        key = ec.generate_private_key(ec.SECP256R1())
        self.use(pair(key, "localhost", now + 86400, now + 90 * 86400))
        self.problem("certificate", "It is not valid before ")
        self.use(pair(key, "localhost", now - 60, now + 90 * 86400))
        self.findings(status=0)

    def test_keys_and_signatures_that_clients_refuse(self) -> None:
        self.use(weak_pair())
        self.problem("certificate", "It has an RSA key of 1024 bits")
        for curve in (ec.SECP224R1(), ec.SECP256K1()):
            self.use(pair(ec.generate_private_key(curve), "localhost", 0, 4e9))
            self.problem("certificate", f"It has an EC key on {curve.name}")
        leaf, key = pair(ec.generate_private_key(ec.SECP384R1()), "localhost", 0, 4e9)
        self.use((leaf + weak_pair()[0], key))
        self.problem("certificate", "The chain's certificate 2 has an RSA key")
        self.use(pair_signed_with_sha1())
        self.problem("certificate", "It is signed with SHA1")

    def use(self, pems: tuple[bytes, bytes]) -> None:
        certificate, key = pems
        (self.folder / "certificate.pem").write_bytes(certificate)
        (self.folder / "private_key.pem").write_bytes(key)

    def test_a_port_that_is_taken(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.problem("ports", "something else", f"web.listen=127.0.0.1:{port}")

    def test_secret_and_store_that_are_gone_or_broken(self) -> None:
        (self.folder / "secret.key").write_text("nonsense")
        self.problem("secret", "cannot be read")
        (self.folder / "secret.key").write_text("00" * 32)
        store = self.folder / "queue" / "smtpplus.sqlite3"
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        self.problem("store", "9999")
        store.write_bytes(b"no database at all" * 1000)
        self.problem("store", "could not be checked")
        store.unlink()
        self.problem("store", "no store")

    def test_orphans_of_the_queue_directory(self) -> None:
        folder = self.folder / "queue" / "a" / "b"
        folder.mkdir(parents=True)
        stray = folder / "0000000000001.eml"
        stray.write_bytes(b"x")
        os.utime(stray, (1, 1))
        found = [one for one in self.findings(status=0) if one["check"] == "queue"]
        self.assertEqual(found[0]["level"], "warning")
        quarantine = self.folder / "queue" / "quarantine"
        quarantine.mkdir()
        stray.rename(quarantine / stray.name)
        found = [one for one in self.findings(status=0) if one["check"] == "queue"]
        self.assertEqual(found[0]["level"], "warning")
        self.assertIn("set aside", found[0]["text"])


class NamesTests(_DoctorCase):
    """Our name in DNS, there and back."""

    def setUp(self) -> None:
        super().setUp()
        self.server = FaultDnsServer(reactor)
        self.server.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))

    def test_dns_of_the_hostname(self) -> None:
        self.assertIn("DNS gave no answer", self._dns(_NOBODY)[0]["text"])

    async def test_the_way_there_and_back(self) -> None:
        self.server.answer("mail.example.org", "A", "192.0.2.25")
        self.server.answer("25.2.0.192.in-addr.arpa", "PTR", "Mail.Example.org.")
        (found,) = await deferToThread(self._dns, self.server.where)
        self.assertEqual(
            (found["level"], found["text"]), ("ok", "mail.example.org is 192.0.2.25, and back.")
        )

    async def test_a_way_back_that_leads_elsewhere_or_nowhere(self) -> None:
        self.server.answer("mail.example.org", "A", "192.0.2.25", "192.0.2.26")
        self.server.answer("25.2.0.192.in-addr.arpa", "PTR", "static-25.provider.example.")
        found = await deferToThread(self._dns, self.server.where)
        wrong, none = sorted(found, key=lambda one: "no reverse" in one["text"])
        self.assertEqual(
            wrong["text"], "The reverse DNS of 192.0.2.25 is static-25.provider.example."
        )
        self.assertIn("192.0.2.26 has no reverse DNS", none["text"])
        for one, address in ((wrong, "192.0.2.25"), (none, "192.0.2.26")):
            self.assertEqual(one["level"], "problem")
            self.assertIn(f"who gave you {address} to set its reverse DNS to mail", one["mend"])

    async def test_no_way_there(self) -> None:
        (found,) = await deferToThread(self._dns, self.server.where)
        self.assertEqual(found["text"], "mail.example.org has no address.")

    async def test_the_records_of_sender_domains(self) -> None:
        self.sets += ["--set", "feedback.domain=bounce.example.com"]
        records = self.shell.json(*self.sets, "domain", "records", "example.com")["records"]
        by_purpose = {one["purpose"]: one for one in records}
        found = await deferToThread(self._dns, self.server.where, 1, "domains")
        self.assertEqual(
            [(one["level"], one["text"].split(": ")[1].split()[0]) for one in found],
            [
                ("problem", "ownership"),
                ("problem", "dkim"),
                ("warning", "spf"),
                ("warning", "dmarc"),
                ("problem", "returns"),
                ("problem", "returns-spf"),
            ],
        )
        for purpose, text in (
            ("ownership", by_purpose["ownership"]["value"]),
            ("dkim", by_purpose["dkim"]["value"]),
            ("spf", "v=spf1 a:mail.example.org -all"),
            ("dmarc", "v=DMARC1; p=none"),
            ("returns-spf", "v=spf1 a:mail.example.org -all"),
        ):
            strings = " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))
            self.server.answer(by_purpose[purpose]["name"], "TXT", strings)
        self.server.answer("bounce.example.com", "MX", "10 mail.example.org.")
        (one,) = await deferToThread(self._dns, self.server.where, 1, "domains")
        self.assertEqual(one["text"], "example.com: all 6 records are there.")

    async def test_mail_to_the_bounce_domain_comes_here_or_elsewhere(self) -> None:
        self.server.answer("bounce.example.org", "MX", "10 Mail.example.org.")
        self.server.answer("other.example.org", "MX", "10 mx.example.net.")
        for domain, level, text in (
            ("bounce.example.org", "ok", "comes to mail.example.org"),
            ("other.example.org", "problem", "goes to mx.example.net, not to mail.example.org"),
            ("none.example.org", "problem", "has no MX record"),
        ):
            self.sets += ["--set", f"feedback.domain={domain}"]
            found = await deferToThread(self._dns, self.server.where, 1, "returns")
            self.assertEqual([one["level"] for one in found], [level], domain)
            self.assertIn(text, found[0]["text"])

    async def test_links_that_recipients_cannot_follow_and_those_they_can(self) -> None:
        for url, level in (("", "problem"), ("https://mail.example.org", "ok")):
            self.sets += ["--set", f'web.tracking_url="{url}"']
            (found,) = await deferToThread(self._dns, self.server.where, 1, "links")
            self.assertEqual(found["level"], level, url)

    def _dns(self, server: str, status: int = 1, check: str = "dns") -> list[dict[str, Any]]:
        certificate, key = self_signed("mail.example.org", time.time())
        (self.folder / "certificate.pem").write_bytes(certificate)
        (self.folder / "private_key.pem").write_bytes(key)
        found = self.findings(
            "server.hostname=mail.example.org",
            "relay.deliver=internet",
            f'dns.nameservers=["{server}"]',
            f"dns.timeout={'300ms' if server == _NOBODY else '10s'}",
            status=status,
        )
        return [one for one in found if one["check"] == check]
