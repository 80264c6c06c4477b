from base64 import b64decode, b64encode

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.events import (
    AuthFailed,
    Closed,
    PasswordOffered,
    ScramProved,
    ScramStarted,
    Tarpit,
    Wait,
)
from smtpplus.smtp.sasl import ScramClient
from smtpplus.smtp.server import ServerConversation, TlsChannel
from smtpplus.values.reply import Reply
from tests.smtp.pump import TLS, Pump, codes, cuts, settings

HELLO = b"EHLO c\r\n"
MAIL = b"MAIL FROM:<a@b>\r\n"
RIGHT = b"AHVzZXIAc2VjcmV0"  # \0user\0secret
WRONG = b"AHVzZXIAd3Jvbmc="  # \0user\0wrong


def b64(octets: bytes) -> bytes:
    return b64encode(octets) + b"\r\n"


def secure(**changes: object) -> Pump:
    pump = Pump(
        settings(require_auth=True, max_failed_auths=1000, max_errors=1000, **changes), tls=TLS
    )
    pump.send(HELLO)
    return pump


class AuthTests(SynchronousTestCase):
    def test_SA1_T4_nothing_is_offered_in_the_clear(self) -> None:
        pump = Pump(settings(require_auth=True))
        got = pump.send(HELLO, b"AUTH PLAIN " + RIGHT + b"\r\n", b"AUTH LOGIN\r\n")
        self.assertNotIn("AUTH", got[0])
        self.assertEqual(codes(got), [250, 538, 538])
        self.assertEqual(pump.of(PasswordOffered), [])
        [_, reply] = pump.send(b"STARTTLS\r\n", HELLO)
        self.assertIn("AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN", reply)

    def test_SA1_plus_needs_the_exporter(self) -> None:
        pump = Pump(settings(), tls=TlsChannel("TLSv1.2", "x", None))
        [hello, reply] = pump.send(HELLO, b"AUTH SCRAM-SHA-256-PLUS\r\n")
        self.assertIn("AUTH SCRAM-SHA-256 PLAIN LOGIN", hello)
        self.assertEqual(codes([reply]), [504])

    def test_plain_and_login(self) -> None:
        for dialog in (
            b"AUTH PLAIN " + RIGHT + b"\r\n",
            b"auth plain " + RIGHT + b"\r\n",
            b"AUTH PLAIN\r\n" + RIGHT + b"\r\n",
            b"AUTH LOGIN\r\n" + b64(b"user") + b64(b"secret"),
            b"AUTH LOGIN " + b64(b"user") + b64(b"secret"),
        ):
            for pieces in cuts(dialog + MAIL):
                pump = secure()
                got = pump.send(*pieces)
                self.assertEqual(codes(got)[-2:], [235, 250], dialog)
                self.assertEqual(pump.talk.authenticated_as, "user")
                self.assertIn(pump.talk.mechanism, {"PLAIN", "LOGIN"})

    def test_login_prompts(self) -> None:
        got = secure().send(b"AUTH LOGIN\r\n", b64(b"user"))
        self.assertEqual([b64decode(reply[4:]) for reply in got], [b"Username:", b"Password:"])

    def scram(self, pump: Pump, user: str, password: str, *, plus: bool) -> list[str]:
        exporter = TLS.exporter if plus else None
        client = ScramClient(user, password, nonce="cli", exporter=exporter, plus=plus)
        mechanism = client.mechanism.encode()
        [reply] = pump.send(b"AUTH " + mechanism + b" " + b64(client.first()))
        if not reply.startswith("334 "):
            return [reply]
        got = pump.send(b64(client.final(b64decode(reply[4:]))))
        if got[0].startswith("334 "):
            client.check(b64decode(got[0][4:]))
            got = pump.send(b"\r\n")
        return got

    def test_scram(self) -> None:
        for plus in (False, True):
            pump = secure()
            self.assertEqual(codes(self.scram(pump, "user", "secret", plus=plus)), [235])
            self.assertEqual(pump.talk.authenticated_as, "user")
            self.assertEqual([type(e) for e in pump.events[-2:]], [ScramStarted, ScramProved])
            self.assertEqual(codes(pump.send(MAIL)), [250])

    def test_SA3_unknown_and_wrong_look_the_same(self) -> None:
        seen = set()
        for user, password in (("user", "wrong"), ("nobody", "secret")):
            pump = secure()
            got = self.scram(pump, user, password, plus=False)
            seen.add(tuple(got))
            self.assertEqual(pump.events[-1], AuthFailed("SCRAM-SHA-256", user))
            self.assertIsNone(pump.talk.authenticated_as)
        self.assertEqual(len(seen), 1)
        self.assertTrue(got[0].startswith("535 5.7.8"))

    def test_scram_downgrade(self) -> None:
        pump = secure()
        got = pump.send(b"AUTH SCRAM-SHA-256 " + b64(b"y,,n=user,r=abc"))
        self.assertEqual(codes(got), [535])
        self.assertEqual(pump.of(ScramStarted), [])

    def test_scram_refused_by_the_driver(self) -> None:
        busy = Reply.of(454, "4.7.0", "Later")
        for kind in (ScramStarted, ScramProved):
            pump = secure()
            pump.policy[kind] = lambda _: busy
            self.assertEqual(codes(self.scram(pump, "user", "secret", plus=False)), [454])
            self.assertIsNone(pump.talk.authenticated_as)
            self.assertEqual(codes(pump.send(b"AUTH PLAIN " + RIGHT + b"\r\n")), [235])

    def test_scram_is_only_done_when_our_proof_was_acknowledged(self) -> None:
        for last, code in ((b"*", 501), (b"AAAA", 501)):
            pump = secure()
            client = ScramClient("user", "secret", nonce="cli")
            [reply] = pump.send(b"AUTH SCRAM-SHA-256 " + b64(client.first()))
            pump.send(b64(client.final(b64decode(reply[4:]))))
            self.assertIsNone(pump.talk.authenticated_as)
            self.assertEqual(codes(pump.send(last + b"\r\n")), [code])
            self.assertIsNone(pump.talk.authenticated_as)

    def test_scram_long_nonces_are_not_cut(self) -> None:
        pump = secure()
        nonce = "n" * 5000
        [reply] = pump.send(b"AUTH SCRAM-SHA-256 " + b64(f"n,,n=user,r={nonce}".encode()))
        self.assertTrue(b64decode(reply[4:]).startswith(f"r={nonce}srv,".encode()))

    def test_A4_SA2_the_table(self) -> None:
        nul = b64encode(b"\0us\0er\0secret")
        long = b"A" * 12_000
        for dialog, expected in (
            ([b"AUTH"], ["501 5.5.4"]),
            ([b"AUTH CRAM-MD5"], ["504 5.5.4"]),
            ([b"AUTH PLAIN", b"*"], ["334 ", "501 5.7.0"]),
            ([b"AUTH LOGIN", b"*"], ["334 ", "501 5.7.0"]),
            ([b"AUTH LOGIN", b64encode(b"user"), b"*"], ["334 ", "334 ", "501 5.7.0"]),
            ([b"AUTH PLAIN ="], ["501 5.5.2"]),
            ([b"AUTH LOGIN ="], ["501 5.5.2"]),
            ([b"AUTH PLAIN", b""], ["334 ", "501 5.5.2"]),
            ([b"AUTH PLAIN !!!!"], ["501 5.5.2"]),
            ([b"AUTH PLAIN " + RIGHT[:-1]], ["501 5.5.2"]),
            ([b"AUTH PLAIN " + RIGHT + b"="], ["501 5.5.2"]),
            ([b"AUTH PLAIN " + RIGHT + b" x"], ["501 5.5.2"]),
            ([b"AUTH PLAIN " + RIGHT[:8] + b"\t" + RIGHT[8:]], ["500 5.5.2"]),
            ([b"AUTH PLAIN", RIGHT[:8] + b" " + RIGHT[8:]], ["334 ", "501 5.5.2"]),
            ([b"AUTH PLAIN", "\u00e9".encode()], ["334 ", "501 5.5.2"]),
            ([b"AUTH PLAIN \xff\xfe"], ["501 5.5.2"]),
            ([b"AUTH PLAIN " + nul], ["501 5.5.2"]),
            ([b"AUTH PLAIN " + b64encode(b"\0\0")], ["501 5.5.2"]),
            ([b"AUTH PLAIN " + b64encode(b"boss\0user\0secret")], ["535 5.7.8"]),
            ([b"AUTH PLAIN " + b64encode(b"user\0user\0secret")], ["235 2.7.0"]),
            ([b"AUTH PLAIN " + WRONG], ["535 5.7.8"]),
            ([b"AUTH PLAIN " + long], ["501 5.5.2"]),
            ([b"AUTH PLAIN", long], ["334 ", "501 5.5.2"]),
            ([b"AUTH PLAIN " + b"A" * 12_300], ["500 5.5.6"]),
            ([b"AUTH PLAIN", b"A" * 12_300], ["334 ", "500 5.5.6"]),
            ([b"AUTH SCRAM-SHA-256 ="], ["501 5.5.2"]),
            ([b"AUTH SCRAM-SHA-256", b"!"], ["334 ", "501 5.5.2"]),
        ):
            wire = b"\r\n".join(dialog) + b"\r\n"
            for pieces in cuts(wire):
                pump = secure()
                got = pump.send(*pieces)
                self.assertEqual(len(got), len(expected), (dialog, got))
                for reply, beginning in zip(got, expected, strict=True):
                    self.assertTrue(reply.startswith(beginning), (dialog, got))
                if not expected[-1].startswith("235"):
                    self.assertIsNone(pump.talk.authenticated_as)
                    self.assertEqual(codes(pump.send(MAIL)), [530])

    def test_A4_a_bare_line_feed_ends_the_exchange(self) -> None:
        pump = secure()
        got = pump.send(b"AUTH PLAIN\r\n", RIGHT + b"\nx\r\n", b"NOOP\r\n")
        self.assertEqual(codes(got), [334, 500, 250])

    def test_SA2_once_and_not_within_a_transaction(self) -> None:
        pump = secure()
        auth = b"AUTH PLAIN " + RIGHT + b"\r\n"
        self.assertEqual(codes(pump.send(auth, auth, MAIL, auth)), [235, 503, 250, 503])
        self.assertEqual(codes(pump.send(HELLO, MAIL)), [250, 250])  # EHLO does not log out
        self.assertEqual(codes(Pump(settings(), tls=TLS).send(auth)), [503])

    def test_SA2_three_failures_end_the_connection(self) -> None:
        pump = Pump(settings(require_auth=True), tls=TLS)
        wrong = b"AUTH PLAIN " + WRONG + b"\r\n"
        got = pump.send(HELLO, wrong, wrong, wrong)
        self.assertEqual(codes(got), [250, 535, 535, 535, 421])
        self.assertIsNotNone(pump.closed)
        pump = Pump(settings(require_auth=True), tls=TLS)
        pump.send(HELLO)
        for _ in range(3):
            got = self.scram(pump, "user", "wrong", plus=False)
        self.assertEqual(codes(got), [535, 421])
        self.assertEqual(len(pump.of(AuthFailed)), 3)

    def test_SA2_a_temporary_refusal_is_no_failure(self) -> None:
        pump = Pump(
            settings(require_auth=True),
            {PasswordOffered: lambda _: Reply.of(454, "4.7.0", "Later")},
            tls=TLS,
        )
        right = b"AUTH PLAIN " + RIGHT + b"\r\n"
        self.assertEqual(codes(pump.send(HELLO, *[right] * 5)), [250, *[454] * 5])

    def test_the_535_waits_until_the_next_event_is_asked_for(self) -> None:
        talk = ServerConversation(
            settings(require_auth=True, max_failed_auths=1, tarpit_after=0),
            client_ip="::1",
            client_port=1,
            tls=TLS,
        )
        talk.next_event()
        talk.answer(Reply.of(220, None, "hi"))
        talk.receive(HELLO)
        talk.next_event()
        talk.bytes_to_send()
        talk.receive(b"AUTH PLAIN " + b64(b"boss\0user\0secret"))
        self.assertIsInstance(talk.next_event(), AuthFailed)
        self.assertEqual(talk.bytes_to_send(), b"")
        self.assertIsInstance(talk.next_event(), Tarpit)
        self.assertEqual(talk.bytes_to_send(), b"")
        self.assertIsInstance(talk.next_event(), Closed)
        self.assertIn(b"535 5.7.8", talk.bytes_to_send())
        self.assertIs(talk.next_event(), Wait.NEED_DATA)

    def test_A10_no_mechanism_no_auth(self) -> None:
        got = Pump(settings(mechanisms=()), tls=TLS).send(HELLO, b"AUTH PLAIN " + RIGHT + b"\r\n")
        self.assertNotIn("AUTH", got[0])
        self.assertEqual(codes(got), [250, 502])
