"""An outbound session in memory: deadlines, back-pressure, cancelling, what is lost and how."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpplus.net.client_session import ClientSession
from smtpplus.net.client_wire import is_loopback
from smtpplus.ports import ISmtpSession, SessionLostError, TransactionReplies
from smtpplus.values.errors import StoreUnavailableError
from smtpplus.values.reply import Reply
from tests.net.remote import Content, MemoryRemote, envelope

PIECE = b"x" * 1022 + b"\r\n"


class Case(SynchronousTestCase):
    def lost(self, waiting: Deferred[Any]) -> SessionLostError:
        failure = self.failureResultOf(waiting, SessionLostError)
        assert isinstance(failure.value, SessionLostError)
        return failure.value

    def sending(
        self, remote: MemoryRemote, content: Content, *replies: bytes
    ) -> Deferred[TransactionReplies]:
        """A transaction, up to the replies given."""
        waiting: Deferred[TransactionReplies] = remote.start(
            remote.session.send(envelope(), content)
        )
        for reply in replies:
            remote.say(reply)
        return waiting


class SessionTests(Case):
    def test_provides_the_port(self) -> None:
        self.assertTrue(verifyObject(ISmtpSession, MemoryRemote().session))

    def test_from_greeting_to_quit(self) -> None:
        remote = MemoryRemote()
        session = remote.session
        greeting = remote.start(session.greeting())
        self.assertNoResult(greeting)
        remote.say(b"220 m")
        remote.say(b"x\r\n")
        self.assertEqual(self.successResultOf(greeting), Reply.of(220, None, "mx"))
        hello = remote.start(session.hello("me.example.com"))
        self.assertEqual(remote.said(), b"EHLO me.example.com\r\n")
        remote.say(b"250-mx\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=7\r\n")
        self.assertEqual(self.successResultOf(hello).code, 250)
        self.assertEqual(session.extensions.mail_limit, 7)
        content = Content(b"hello\r\n")
        sent = self.sending(remote, content)
        self.assertEqual(len(remote.transport.written), 1)
        self.assertTrue(remote.said().endswith(b"DATA\r\n"))
        remote.say(b"250 ok\r\n250 ok\r\n354 go\r\n")
        self.assertEqual(remote.transport.written, [b"hello\r\n.\r\n"])
        remote.said()
        remote.say(b"250 2.0.0 taken\r\n")
        replies = self.successResultOf(sent)
        self.assertEqual(replies.final, Reply.of(250, "2.0.0", "taken"))
        self.assertEqual((session.messages, content.closed), (1, 1))
        quitting = remote.start(session.quit())
        self.assertEqual(remote.said(), b"QUIT\r\n")
        self.assertNoResult(quitting)
        remote.say(b"221 bye\r\n")
        self.successResultOf(quitting)
        self.assertFalse(session.is_open)
        self.assertEqual(remote.transport.closed, "closing")
        remote.close()
        self.assertEqual(remote.reactor.getDelayedCalls(), [])

    def test_a_greeting_that_came_before_it_was_asked_for(self) -> None:
        remote = MemoryRemote()
        remote.say(b"554 no\r\n")
        greeting = remote.start(remote.session.greeting())
        self.assertEqual(self.successResultOf(greeting).code, 554)
        quitting = remote.start(remote.session.quit())
        self.assertEqual(remote.said(), b"QUIT\r\n")
        remote.close()
        self.successResultOf(quitting)

    def test_refused_half_way_then_rset_before_the_next(self) -> None:
        remote = MemoryRemote().ready()
        first = self.sending(remote, Content(b"a"), b"250 ok\r\n", b"550 no\r\n")
        replies = self.successResultOf(first)
        self.assertEqual(replies.recipients, (Reply.of(550, None, "no"),))
        remote.said()
        second = self.sending(remote, Content(b"b"))
        self.assertEqual(remote.said(), b"RSET\r\n")
        remote.say(b"250 ok\r\n")
        self.assertEqual(remote.said(), b"MAIL FROM:<a@example.com>\r\n")
        for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 ok\r\n"):
            remote.say(reply)
        final = self.successResultOf(second).final
        assert final is not None
        self.assertEqual(final.code, 250)
        self.assertEqual(remote.session.messages, 2)

    def test_rset_refused_ends_the_session(self) -> None:
        remote = MemoryRemote().ready()
        self.sending(remote, Content(b"a"), b"250 ok\r\n", b"550 no\r\n")
        second = self.sending(remote, Content(b"b"), b"451 no\r\n")
        self.assertIn("RSET", str(self.lost(second)))
        self.assertFalse(remote.session.is_open)

    def test_S16_smtputf8_not_offered_is_the_callers_mistake(self) -> None:
        remote = MemoryRemote().ready()
        content = Content(b"a")
        waiting = remote.start(remote.session.send(envelope("grüße@example.net"), content))
        self.failureResultOf(waiting, ValueError)
        self.assertEqual((remote.said(), content.closed), (b"", 1))

    def test_one_method_at_a_time(self) -> None:
        remote = MemoryRemote()
        first = remote.start(remote.session.greeting())
        self.failureResultOf(remote.start(remote.session.greeting()), RuntimeError)
        self.assertNoResult(first)
        remote.say(b"220 hi\r\n")
        self.successResultOf(first)

    def test_loopback(self) -> None:
        for ip in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(is_loopback(ip), ip)
        for ip in ("192.0.2.1", "::", "fe80::1%eth0", "::ffff:192.0.2.1"):
            self.assertFalse(is_loopback(ip), ip)


class LogInTests(Case):
    def test_no_credentials_in_the_clear(self) -> None:
        remote = MemoryRemote().ready("AUTH PLAIN")
        lost = self.lost(remote.start(remote.session.log_in("user", "secret")))
        self.assertIn("TLS", str(lost))
        self.assertEqual(remote.said(), b"")

    def test_on_this_machine(self) -> None:
        remote = MemoryRemote("127.0.0.1").ready("AUTH LOGIN PLAIN")
        waiting = remote.start(remote.session.log_in("user", "secret"))
        self.assertEqual(remote.said(), b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n")
        remote.say(b"235 2.7.0 ok\r\n")
        self.assertEqual(self.successResultOf(waiting).code, 235)
        self.assertNotIn("AHVz", remote.session.transcript())

    def test_nothing_known(self) -> None:
        remote = MemoryRemote("127.0.0.1").ready("AUTH GSSAPI")
        lost = self.lost(remote.start(remote.session.log_in("user", "secret")))
        self.assertIn("GSSAPI", str(lost))


class LostTests(Case):
    def test_O7_421_while_idle(self) -> None:
        remote = MemoryRemote().ready()
        remote.say(b"421 4.4.2 idle too long\r\n")
        self.assertFalse(remote.session.is_open)
        self.assertEqual(remote.transport.closed, "aborted")
        lost = self.lost(self.sending(remote, Content(b"a")))
        self.assertEqual(str(lost.reply), "421 4.4.2 idle too long")
        self.assertFalse(lost.after_final_dot)

    def test_O7_closed_while_idle(self) -> None:
        remote = MemoryRemote().ready()
        remote.close()
        self.assertFalse(remote.session.is_open)
        lost = self.lost(self.sending(remote, Content(b"a")))
        self.assertIn("between two commands", str(lost))
        self.assertEqual(remote.reactor.getDelayedCalls(), [])

    def test_O7_something_said_while_idle(self) -> None:
        remote = MemoryRemote().ready()
        remote.say(b"250 ok\r\n")
        self.assertFalse(remote.session.is_open)

    def test_O7_421_in_place_of_the_final_reply(self) -> None:
        remote = MemoryRemote().ready("PIPELINING")
        waiting = self.sending(
            remote, Content(b"a"), b"250 ok\r\n250 ok\r\n354 go\r\n", b"421 4.3.2 no\r\n"
        )
        final = self.successResultOf(waiting).final
        self.assertEqual(final, Reply.of(421, "4.3.2", "no"))
        self.assertFalse(remote.session.is_open)

    def test_O6_YH3_a_refusal_stands_where_the_session_ends_on_top_of_it(self) -> None:
        no = Reply.of(550, "5.7.1", "no")
        for said, expected in (
            (b"550 5.7.1 no\r\n", (no, (None,), None, None)),
            (b"250 ok\r\n550 5.7.1 no\r\n", (Reply.of(250, None, "ok"), (no,), None, None)),
        ):
            for end, data in (
                (MemoryRemote.close, None),
                (lambda remote: remote.say(b"garbage\r\n"), None),
                (lambda remote: remote.reactor.advance(3_600), None),
                (lambda remote: remote.say(b"421 4.7.0 bye\r\n"), "421"),
            ):
                remote = MemoryRemote().ready("PIPELINING")
                content = Content(b"a")
                waiting = self.sending(remote, content, said)
                self.assertNoResult(waiting)
                end(remote)
                replies = self.successResultOf(waiting)
                found = (replies.mail, replies.recipients, replies.data, replies.final)
                if data is not None and expected[1][0] is no:
                    self.assertEqual(str(found[2])[:3], data)
                else:
                    self.assertEqual(found, expected)
                self.assertFalse(remote.session.is_open)
                self.assertEqual(content.closed, 1)
                self.lost(self.sending(remote, Content(b"b")))  # it is no answer to another

    def test_O6_a_session_that_ends_before_all_are_refused_says_nothing_of_them(self) -> None:
        remote = MemoryRemote().ready("PIPELINING")
        waiting = self.sending(remote, Content(b"a"), b"250 ok\r\n250 ok\r\n")
        remote.close()
        self.lost(waiting)

    def test_GM3_O7_421_stands_at_the_step_that_it_answers(self) -> None:
        later = Reply.of(421, "4.7.28", "slower")
        for said, place in ((b"", 0), (b"250 ok\r\n", 1), (b"250 ok\r\n250 ok\r\n", 2)):
            remote = MemoryRemote().ready("PIPELINING")
            waiting = self.sending(remote, Content(b"a"), said, b"421 4.7.28 slower\r\n")
            replies = self.successResultOf(waiting)
            found = (replies.mail, replies.recipients[0], replies.data, replies.final)
            self.assertEqual(found[place:], (later, *[None] * (3 - place)))

    def test_O7_closed_after_the_final_dot(self) -> None:
        for reason, words in (
            (ConnectionDone(), "awaited."),
            (ConnectionLost("reset by peer"), "reset by peer)"),
        ):
            remote = MemoryRemote().ready("PIPELINING")
            waiting = self.sending(remote, Content(b"a"), b"250 ok\r\n250 ok\r\n354 go\r\n")
            remote.transport.end("closed", reason)
            lost = self.lost(waiting)
            self.assertTrue(lost.after_final_dot)
            self.assertIn(words, str(lost))
            self.assertIn(str(lost), remote.session.transcript())

    def test_O7_garbage_after_the_final_dot(self) -> None:
        remote = MemoryRemote().ready("PIPELINING")
        waiting = self.sending(
            remote, Content(b"a"), b"250 ok\r\n250 ok\r\n354 go\r\n", b"\xff\x00garbage\r\n"
        )
        self.assertTrue(self.lost(waiting).after_final_dot)
        self.assertIn(r"\xff\x00garbage", remote.session.transcript())

    def test_O7_250_and_closed(self) -> None:
        remote = MemoryRemote().ready("PIPELINING")
        waiting = self.sending(remote, Content(b"a"), b"250 ok\r\n250 ok\r\n354 go\r\n")
        remote.say(b"250 ok\r\n")
        remote.close()
        final = self.successResultOf(waiting).final
        assert final is not None
        self.assertTrue(final.is_positive)
        self.assertFalse(remote.session.is_open)

    def test_R7_hostile_greetings(self) -> None:
        for octets in (b"220-x\r\n" * 1000, b"x" * 1_000_000, b"220-" + b"x" * 20_000):
            remote = MemoryRemote()
            waiting = remote.start(remote.session.greeting())
            for start in range(0, len(octets), 65_536):
                remote.say(octets[start : start + 65_536])
            self.assertLess(len(str(self.lost(waiting))), 400)
            self.assertEqual(remote.transport.closed, "aborted")
            self.assertEqual(remote.reactor.getDelayedCalls(), [])
            self.assertLess(len(remote.session.transcript()), 1000)


Step = Callable[[ClientSession], Coroutine[Any, Any, Any]]


class DeadlineTests(Case):
    """R7: each step has its own deadline, and octets do not prolong it."""

    def check(
        self, remote: MemoryRemote, waiting: Deferred[Any], seconds: float, drip: bytes
    ) -> SessionLostError:
        drops = 20
        for index in range(drops):
            remote.reactor.advance(seconds / (drops + 1))
            self.assertNoResult(waiting)
            if drip:
                remote.say(drip[index : index + 1])
        remote.reactor.advance(seconds / (drops + 1) - 0.01)
        self.assertNoResult(waiting)
        remote.reactor.advance(0.02)
        lost = self.lost(waiting)
        self.assertIn(f"within {seconds:g} s", str(lost))
        self.assertEqual(remote.transport.closed, "aborted")
        self.assertFalse(remote.session.is_open)
        self.assertEqual(remote.reactor.getDelayedCalls(), [])
        return lost

    def test_R7_greeting_hello_reset_tls(self) -> None:
        steps: list[tuple[float, Step]] = [
            (300, lambda session: session.hello("x")),
            (60, lambda session: session.reset()),
            (60, lambda session: session.start_tls("mx.example.net")),
        ]
        for drip in (b"", b"250-" + b"x" * 16):
            remote = MemoryRemote()
            self.check(remote, remote.start(remote.session.greeting()), 300, drip)
            for seconds, step in steps:
                remote = MemoryRemote().ready()
                self.check(remote, remote.start(step(remote.session)), seconds, drip)

    def test_R7_transaction(self) -> None:
        ok = b"250 ok\r\n"
        for drip in (b"", b"250-" + b"x" * 16):
            for replies, seconds in (
                ([], 300),
                ([ok], 300),
                ([ok, ok], 120),
                ([ok, ok, b"354 go\r\n"], 600),
            ):
                for keywords in ((), ("PIPELINING",)):
                    remote = MemoryRemote().ready(*keywords)
                    waiting = self.sending(remote, Content(b"a"))
                    for reply in replies:
                        remote.reactor.advance(100)
                        remote.say(reply)
                    lost = self.check(remote, waiting, seconds, drip)
                    self.assertEqual(lost.after_final_dot, len(replies) == 3)

    def test_block(self) -> None:
        remote = MemoryRemote().ready("PIPELINING")
        content = Content(*[PIECE] * 10)
        waiting = self.sending(remote, content)
        remote.say(b"250 ok\r\n250 ok\r\n")
        remote.transport.is_narrow = True
        remote.say(b"354 go\r\n")
        remote.reactor.advance(170)
        remote.session.wire.resumeProducing()
        self.check(remote, waiting, 180, b"")
        self.assertEqual(content.closed, 1)

    def test_an_idle_session_has_no_deadline(self) -> None:
        remote = MemoryRemote().ready()
        remote.reactor.advance(100_000)
        self.assertTrue(remote.session.is_open)
        self.assertEqual(remote.reactor.getDelayedCalls(), [])

    def test_quit_is_brief(self) -> None:
        remote = MemoryRemote().ready()
        waiting = remote.start(remote.session.quit())
        remote.reactor.advance(5)
        self.successResultOf(waiting)
        self.assertEqual(remote.transport.closed, "aborted")

    def test_closing_is_brief(self) -> None:
        remote = MemoryRemote().ready()
        waiting = remote.start(remote.session.quit())
        remote.say(b"221 bye\r\n")
        self.successResultOf(waiting)
        self.assertEqual(remote.transport.closed, "closing")
        remote.reactor.advance(5)
        self.assertEqual(remote.transport.closed, "aborted")


class ContentTests(Case):
    def test_no_more_than_the_remote_takes(self) -> None:
        remote = MemoryRemote().ready("PIPELINING")
        content = Content(*[PIECE] * 10)
        waiting = self.sending(remote, content, b"250 ok\r\n250 ok\r\n")
        wire = remote.session.wire
        remote.transport.is_narrow = True
        remote.said()
        remote.say(b"354 go\r\n")
        for taken in range(1, 10):
            self.assertEqual(len(b"".join(remote.transport.written)), taken * len(PIECE))
            self.assertEqual(content.given, taken + 1)
            wire.resumeProducing()
        self.assertEqual(remote.said(), PIECE * 10 + b".\r\n")
        self.assertIsNone(remote.transport.producer)
        remote.say(b"250 ok\r\n")
        self.successResultOf(waiting)

    def test_refused_while_it_is_held_back(self) -> None:
        for reply, lost in ((b"552 5.3.4 too big\r\n", False), (b"421 4.3.1 bye\r\n", True)):
            remote = MemoryRemote().ready("PIPELINING")
            content = Content(*[PIECE] * 10)
            waiting = self.sending(remote, content, b"250 ok\r\n250 ok\r\n")
            remote.transport.is_narrow = True
            remote.say(b"354 go\r\n")
            remote.said()
            remote.say(reply)
            if lost:
                self.assertFalse(self.lost(waiting).after_final_dot)
            else:
                final = self.successResultOf(waiting).final
                self.assertEqual(final, Reply.of(552, "5.3.4", "too big"))
            self.assertFalse(remote.session.is_open)
            self.assertEqual((remote.said(), content.closed), (b"", 1))
            self.assertEqual(remote.reactor.getDelayedCalls(), [])

    def test_refused_while_the_next_piece_is_read(self) -> None:
        remote = MemoryRemote().ready("PIPELINING")
        reading: Deferred[bytes] = Deferred()

        class Slow(Content):
            async def next_chunk(self) -> bytes:
                return await reading

        content = Slow(size=5)
        waiting = self.sending(remote, content, b"250 ok\r\n250 ok\r\n354 go\r\n")
        remote.said()
        remote.say(b"552 5.3.4 too big\r\n")
        self.assertNoResult(waiting)
        reading.callback(b"hello")
        self.assertEqual(str(self.successResultOf(waiting).final), "552 5.3.4 too big")
        self.assertEqual(remote.said(), b"")

    def test_a_content_of_another_size_is_never_ended(self) -> None:
        for size in (4, 6, 0):
            remote = MemoryRemote().ready("PIPELINING")
            content = Content(b"hello", size=size)
            waiting = self.sending(remote, content, b"250 ok\r\n250 ok\r\n354 go\r\n")
            self.failureResultOf(waiting, StoreUnavailableError)
            self.assertNotIn(b"\r\n.\r\n", remote.said())
            self.assertEqual((remote.transport.closed, content.closed), ("aborted", 1))

    def test_a_content_that_cannot_be_read(self) -> None:
        class Broken(Content):
            async def next_chunk(self) -> bytes:
                raise StoreUnavailableError("gone")

        remote = MemoryRemote().ready("PIPELINING")
        waiting = self.sending(remote, Broken(size=5), b"250 ok\r\n250 ok\r\n354 go\r\n")
        self.failureResultOf(waiting, StoreUnavailableError)
        self.assertEqual(remote.transport.closed, "aborted")


class CancelTests(Case):
    def test_a_cancelled_method_aborts(self) -> None:
        steps: list[tuple[Step, list[bytes]]] = [
            (lambda session: session.hello("x"), []),
            (lambda session: session.reset(), []),
            (lambda session: session.quit(), []),
            (lambda session: session.start_tls("x"), []),
            (lambda session: session.send(envelope(), Content(b"a")), []),
            (lambda session: session.send(envelope(), Content(b"a")), [b"250 ok\r\n"] * 2),
            (
                lambda session: session.send(envelope(), Content(b"a")),
                [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"],
            ),
        ]
        for step, replies in steps:
            remote = MemoryRemote().ready()
            waiting = remote.start(step(remote.session))
            for reply in replies:
                remote.say(reply)
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
            self.assertFalse(remote.session.is_open)
            self.assertEqual(remote.transport.closed, "aborted")
            self.assertEqual(remote.reactor.getDelayedCalls(), [])

    def test_abort_wakes_who_waits(self) -> None:
        remote = MemoryRemote().ready()
        content = Content(b"a")
        waiting = self.sending(remote, content)
        remote.session.abort()
        self.assertIn("aborted by this side", str(self.lost(waiting)))
        self.assertEqual(content.closed, 1)
        remote.session.abort()
        self.successResultOf(remote.start(remote.session.quit()))

    def test_quit_while_something_else_runs(self) -> None:
        remote = MemoryRemote().ready()
        waiting = self.sending(remote, Content(b"a"))
        self.successResultOf(remote.start(remote.session.quit()))
        self.lost(waiting)
