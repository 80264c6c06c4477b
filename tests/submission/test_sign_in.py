"""AUTH: states, mechanisms, guessing, timing, load: A2 to A5, P1, R2."""

from __future__ import annotations

import base64
import smtplib
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from smtpplus.net.listener import ConnectionLimits
from smtpplus.rules.throttle import AuthLimits
from smtpplus.smtp import scram
from smtpplus.values.submission import UserStatus
from tests.net.wire import PlainClientTls, Wire, dial
from tests.submission.rig import SECRET, SubmissionTestCase, a_mail

BAD = "535 5.7.8"


class SignInTests(SubmissionTestCase):
    def _plain(self, name: str, secret: str) -> str:
        with self.client(signed_in=False) as client:
            return self._auth_plain(client, f"\0{name}\0{secret}".encode())

    @staticmethod
    def _auth_plain(client: smtplib.SMTP, octets: bytes) -> str:
        code, text = client.docmd("AUTH", "PLAIN " + base64.b64encode(octets).decode())
        return f"{code} {text.decode()}"

    async def test_P1_states(self) -> None:
        await self.start()
        later = self.clock.now() + 3600
        for changes, start in (
            ({"status": UserStatus.OFF}, BAD),
            ({"status": UserStatus.BLOCKED_BY_OPERATOR, "block_reason": "phishing"}, BAD),
            ({"status": UserStatus.ACTIVE, "blocked_until": later}, "454 4.7.0"),
            ({"blocked_until": None}, "235 2.7.0"),
        ):
            await self.store.accounts.set_user("alice", changes)
            reply = await self.in_thread(self._plain, "alice", SECRET)
            self.assertEqual(reply[:9], start, changes)
            self.assertNotIn("phishing", reply)

    async def test_P1_a_change_holds_in_an_open_session(self) -> None:
        await self.start()
        client = await self.in_thread(self.client)
        await self.store.accounts.set_user("alice", {"status": UserStatus.OFF})
        code, _ = await self.in_thread(client.mail, "a@example.com")
        self.assertEqual(code, 550)
        await self.in_thread(client.close)

    async def test_A4_plain_and_login(self) -> None:
        await self.start(auth_limits=AuthLimits(free_failures=1_000, user_failures=1_000))

        def table(octets: bytes) -> str:
            with self.client(signed_in=False) as client:
                return self._auth_plain(client, octets)

        for octets, start in (
            (b"\0alice\0" + SECRET.encode(), "235 2.7.0"),
            (b"alice\0alice\0" + SECRET.encode(), "235 2.7.0"),
            (b"\0ALICE\0" + SECRET.encode(), "235 2.7.0"),
            (b"bob\0alice\0" + SECRET.encode(), BAD),
            (b"\0alice\0wrong", BAD),
            (b"\0nobody\0" + SECRET.encode(), BAD),
            (b"\0alice\0" + SECRET.encode() + b"\0", "501"),
            (b"\0\0" + SECRET.encode(), "501"),
            (b"\0alice\0", "501"),
            (b"alice", "501"),
            (b"\0alice\0\xff\xfe", "501"),
            (b"\0alice\0" + b"x" * 8_000, BAD),
            ("\0alice\0\u202e".encode(), BAD),
        ):
            reply = await self.in_thread(table, octets)
            self.assertTrue(reply.startswith(start), f"{octets[:40]!r}: {reply}")

        def login() -> list[int]:
            with self.client(signed_in=False) as client:
                codes = [client.docmd("AUTH", "LOGIN")[0], client.docmd("*")[0]]
                codes += [client.docmd("AUTH", "LOGIN")[0]]
                for word in ("alice", SECRET):
                    codes.append(client.docmd(base64.b64encode(word.encode()).decode())[0])
                return [*codes, client.docmd("AUTH", "PLAIN AAA=")[0]]

        self.assertEqual(await self.in_thread(login), [334, 501, 334, 334, 235, 503])

    async def test_A4_scram(self) -> None:
        await self.start()

        def sign_in(name: str, secret: str) -> str:
            with self.client(signed_in=False) as client:
                talk = scram.ScramClient(name, secret, nonce="abcdefgh")
                first = base64.b64encode(talk.first()).decode()
                code, text = client.docmd("AUTH", f"SCRAM-SHA-256 {first}")
                if code == 334:
                    final = talk.final(base64.b64decode(text))
                    code, text = client.docmd(base64.b64encode(final).decode())
                if code == 334:
                    talk.check(base64.b64decode(text))
                    code, text = client.docmd("")
                if code == 235:
                    self.submit(client, a_mail(), ["b@example.net"])
                return f"{code} {text.decode()}"

        self.assertEqual((await self.in_thread(sign_in, "alice", SECRET))[:3], "235")
        self.assertEqual((await self.in_thread(sign_in, "alice", "wrong"))[:9], BAD)
        self.assertEqual((await self.in_thread(sign_in, "nobody", SECRET))[:9], BAD)
        (delivery,) = await self.queued()
        self.assertEqual(delivery.message.mechanism, "SCRAM-SHA-256")

    async def test_A2_one_address_is_slowed_down(self) -> None:
        await self.start()

        def guess() -> tuple[int, int, float]:
            tried = refused = 0
            begin = time.monotonic()
            for _ in range(8):
                client = self.client(signed_in=False)
                for _ in range(2):
                    reply = self._auth_plain(client, b"\0alice\0guess")
                    tried += reply.startswith(BAD)
                    refused += reply.startswith("454 4.7.0")
                client.close()
            return tried, refused, time.monotonic() - begin

        tried, refused, seconds = await self.in_thread(guess)
        self.assertLessEqual(tried, 5 + seconds)
        self.assertEqual(tried + refused, 16)

    async def test_A2_three_failures_end_a_connection(self) -> None:
        await self.start()

        def guess() -> list[str]:
            client = self.client(signed_in=False)
            codes = [self._auth_plain(client, b"\0alice\0guess")[:3] for _ in range(3)]
            return [*codes, str(client.getreply()[0])]

        self.assertEqual(await self.in_thread(guess), ["535", "535", "535", "421"])

    async def test_A2_a_known_address_is_not_locked_out(self) -> None:
        await self.start(auth_limits=AuthLimits(user_failures=3))
        await self.in_thread(self._plain, "alice", SECRET)
        throttle = self.service._parts.sign_in._throttle
        for number in range(10):
            throttle.failed(f"192.0.2.{number}", "alice", self.clock.monotonic())
        self.assertGreater(throttle.wait_seconds("192.0.2.99", "alice", self.clock.monotonic()), 0)
        self.assertEqual((await self.in_thread(self._plain, "alice", SECRET))[:3], "235")

    async def test_A3_each_wrong_guess_is_computed_once(self) -> None:
        await self.start(auth_limits=AuthLimits(free_failures=10_000))
        workers = CountingWorkers()
        self._compute_with(workers)
        for name, secret, count in (
            ("alice", "wrong", 1),
            ("nobody", "wrong", 1),
            ("alice", SECRET, 1),
            ("alice", SECRET, 0),  # right lately
            ("alice", "wrong", 1),
            ("nobody", SECRET, 1),
        ):
            workers.count = 0
            await self.in_thread(self._plain, name, secret)
            self.assertEqual(workers.count, count, f"{name} {secret}")

    async def test_A3_a_changed_secret_is_not_remembered(self) -> None:
        await self.start()
        self.assertEqual((await self.in_thread(self._plain, "alice", SECRET))[:3], "235")
        verifier = scram.make_verifier("another", b"another salt....")
        await self.store.accounts.set_user("alice", {"verifier": verifier})
        self.assertEqual((await self.in_thread(self._plain, "alice", SECRET))[:3], "535")
        self.assertEqual((await self.in_thread(self._plain, "alice", "another"))[:3], "235")

    async def test_A5_a_hundred_sign_ins_do_not_stall_the_reactor(self) -> None:
        """While a hundred passwords are being computed, other conversations go on."""
        await self.start(limits=ConnectionLimits(per_address=200))
        workers = HeldWorkers()
        self._compute_with(workers)
        auth = base64.b64encode(f"\0alice\0{SECRET}".encode())
        wires = await gatherResults([Deferred.fromCoroutine(self._dial_tls()) for _ in range(101)])
        for wire in wires[:100]:
            wire.say(b"AUTH PLAIN " + auth + b"\r\n")
        while len(workers.held) < 100:
            await self.clock.sleep(0.001)
        wires[100].say(b"NOOP\r\n")
        self.assertEqual((await wires[100].until(b"\r\n"))[:3], b"250")
        workers.release()
        for wire in wires[:100]:
            self.assertEqual((await wire.until(b"\r\n"))[:3], b"235")
        for wire in wires:
            wire.transport.abortConnection()  # type: ignore[union-attr]
            await wire.gone

    async def _dial_tls(self) -> Wire:
        wire = await dial(reactor, self.port_tls)
        await wire.shake_hands(PlainClientTls())
        await wire.until(b"220 ")
        wire.say(b"EHLO client.test\r\n")
        await wire.until(b"\r\n250 ")
        return wire

    def _compute_with(self, workers: object) -> None:
        for checker in self.service._parts.sign_in._portal.checkers.values():
            if hasattr(checker, "_workers"):
                checker._workers = workers

    async def test_R2_connections_of_one_address(self) -> None:
        await self.start(limits=ConnectionLimits(per_address=5))

        def connect(count: int) -> list[str]:
            clients, greetings = [], []
            for _ in range(count):
                client = smtplib.SMTP(timeout=10)
                code, text = client.connect("127.0.0.1", self.port)
                greetings.append(f"{code} {text.decode()}")
                clients.append(client)
            for client in clients:
                client.close()
            return greetings

        greetings = await self.in_thread(connect, 6)
        greeting = "220 mx.test ESMTP"  # RFC 5321 §4.2: with our name
        self.assertTrue(all(text.startswith(greeting) for text in greetings[:5]), greetings)
        self.assertTrue(greetings[5].startswith("421 4.7.0"), greetings)


class CountingWorkers:
    """Runs at once, and counts."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.count += 1
        return function(*arguments)


class HeldWorkers:
    """Runs nothing until it is told to."""

    def __init__(self) -> None:
        self.held: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.held.append((done, lambda: function(*arguments)))
        return done

    def release(self) -> None:
        for done, work in self.held:
            done.callback(work())
