"""Nobody relays, and nobody sends as somebody else: A1, A7, A10."""

from __future__ import annotations

import base64
import smtplib

from tests.submission.rig import SubmissionTestCase, a_mail


def relay_probes(host: str, ip: str) -> list[tuple[str, str]]:
    """The 16 pairs of nmap's smtp-open-relay.nse; sender and recipient without brackets."""
    user, domain = "relaytest", "victim.example"
    return [
        ("", f"{user}@{domain}"),
        (f"antispam@{domain}", f"{user}@{domain}"),
        (f"antispam@{host}", f"{user}@{domain}"),
        (f"antispam@[{ip}]", f"{user}@{domain}"),
        (f"antispam@[{ip}]", f"{user}%{domain}@[{ip}]"),
        (f"antispam@[{ip}]", f"{user}%{domain}@{host}"),
        (f"antispam@[{ip}]", f'"{user}@{domain}"'),
        (f"antispam@[{ip}]", f'"{user}%{domain}"'),
        (f"antispam@[{ip}]", f"{user}@{domain}@[{ip}]"),
        (f"antispam@[{ip}]", f'"{user}@{domain}"@[{ip}]'),
        (f"antispam@[{ip}]", f"{user}@{domain}@{host}"),
        (f"antispam@[{ip}]", f"@[{ip}]:{user}@{domain}"),
        (f"antispam@[{ip}]", f"@{host}:{user}@{domain}"),
        (f"antispam@[{ip}]", f"{domain}!{user}"),
        (f"antispam@[{ip}]", f"{domain}!{user}@[{ip}]"),
        (f"antispam@[{ip}]", f"{domain}!{user}@{host}"),
    ]


class RelayTests(SubmissionTestCase):
    def _probe(self, client: smtplib.SMTP, sender: str, recipient: str, header: str) -> int:
        """One probe that does not stop at a refusal; the last code."""
        client.docmd("MAIL", f"FROM:<{sender}>")
        client.docmd("RCPT", f"TO:<{recipient}>")
        code, _ = client.docmd("DATA")
        if code == 354:
            client.send(a_mail(sender=header) + b".\r\n")
            code, _ = client.getreply()
        client.docmd("RSET")
        return code

    async def test_A1_sixteen_probes_unauthenticated(self) -> None:
        await self.start()

        def probe(*, starttls: bool) -> list[int]:
            codes = []
            for sender, recipient in relay_probes("mx.test", "127.0.0.1"):
                with self.client(signed_in=False, starttls=starttls) as client:
                    codes.append(self._probe(client, sender, recipient, "a@example.com"))
            return codes

        for starttls in (False, True):
            codes = await self.in_thread(lambda tls=starttls: probe(starttls=tls))
            self.assertTrue(all(code >= 500 for code in codes), codes)
        self.assertEqual(await self.queued(), [])

    async def test_A1_sixteen_probes_as_another_tenant(self) -> None:
        await self.start()
        await self.a_tenant("victim", "victim.example", "bob")

        def probe() -> list[int]:
            codes = []
            for sender, recipient in relay_probes("mx.test", "127.0.0.1"):
                with self.client() as client:  # alice of acme, who claims to be the victim
                    codes.append(self._probe(client, sender, recipient, "antispam@victim.example"))
            return codes

        codes = await self.in_thread(probe)
        self.assertTrue(all(code >= 500 for code in codes), codes)
        self.assertEqual(await self.queued(), [])

    async def test_A7_another_tenants_identity(self) -> None:
        await self.start()
        await self.a_tenant("victim", "victim.example", "bob")
        theirs, ours = "x@victim.example", "a@example.com"

        def send(sender: str, head: str) -> None:
            with self.client() as client:
                mail = f"{head}\r\nSubject: x\r\n\r\nx\r\n".encode()
                self.submit(client, mail, ["b@example.net"], sender)

        for sender, head in (
            (theirs, f"From: {ours}"),
            (ours, f"From: {theirs}"),
            ("", f"From: {theirs}"),
            (ours, f"From: {ours}\r\nSender: {theirs}"),
            (ours, f"From: {ours}, {theirs}"),
            (ours, f"From: {ours}\r\nFrom: {theirs}"),
            (ours, f"From: Group: {theirs};"),
            (ours, f"From: {ours} <{theirs}>"),
            (ours, f"From: =?utf-8?q?a=40example.com?= <{theirs}>"),
            (ours, f"From:\r\n {theirs}"),
            (ours, f'From: "{ours}"@victim.example'),
            (ours, f"From: {theirs}\0{ours}"),
        ):
            refusal = await self.refused(send, sender, head)
            self.assertEqual(refusal[:3], "550", f"{sender} {head}: {refusal}")
        self.assertEqual(await self.queued(), [])
        await self.in_thread(send, "", f"From: {ours}")  # an auto-reply
        self.assertEqual(len(await self.queued()), 1)

    async def test_A10_there_is_no_default_user(self) -> None:
        await self.start()
        for name in ("admin", "root", "smtpplus", "test", "s10000_01"):
            for secret in ("", "admin", "password", name):
                refusal = await self.refused(self._log_in, name, secret)
                self.assertIn(refusal[:3], {"535", "501", "454"}, f"{name} {secret}")

    def _log_in(self, name: str, secret: str) -> None:
        with self.client(signed_in=False) as client:
            octets = b"\0" + name.encode() + b"\0" + secret.encode()
            code, text = client.docmd("AUTH", "PLAIN " + base64.b64encode(octets).decode())
            if code != 235:
                raise smtplib.SMTPResponseException(code, text)
