"""What the client makes of refusals, of closing, and of what nobody asked for (O6, O7)."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.client import ClientConversation
from smtpplus.smtp.client_events import (
    BodyWanted,
    Command,
    RemoteClosed,
    Replied,
    TransactionEnded,
)
from smtpplus.smtp.client_states import ClientState
from smtpplus.smtp.reply_reader import RemoteProtocolError
from smtpplus.values.reply import Reply
from tests.smtp.client_dialog import (
    EHLO,
    EHLO_PIPELINING,
    at_each_stage,
    conversation,
    ended,
    envelope,
    hear,
    ready,
)

REFUSALS = [
    (f"{code} {mark}{text}\r\n", f"{code}-{mark}{text}\r\n{code} {mark}end\r\n")[multi]
    for code, enhanced, multi in product((450, 451, 452, 550, 552, 554), (False, True), (0, 1))
    for mark in (f"{code // 100}.7.1 " if enhanced else "",)
    for text in ("go away",)
]


class RefusedAnywhereTests(SynchronousTestCase):
    """O6: 4xx and 5xx at each stage, with and without enhanced code, in one line and in two."""

    def check(self, reply: Reply | None, text: str) -> None:
        assert reply is not None
        self.assertEqual(reply.code, int(text[:3]))
        self.assertEqual(
            str(reply.enhanced) if reply.enhanced else "", text[4:9] * (".7.1" in text)
        )
        self.assertEqual(reply.lines, ("go away", "end") if text.count("\n") == 2 else ("go away",))

    def test_O6_greeting(self) -> None:
        for text in REFUSALS:
            client = conversation()
            event = hear(client, text.encode())
            assert isinstance(event, Replied)
            self.check(event.reply, text)
            self.assertRaises(RuntimeError, client.hello, "x")
            client.quit()

    def test_O6_hello(self) -> None:
        for text in REFUSALS:
            client = conversation()
            hear(client, b"220 hi\r\n")
            client.hello("x")
            helo = text.encode() if text[0] == "5" else b""
            event = hear(client, text.encode() + helo)
            assert isinstance(event, Replied)
            self.check(event.reply, text)

    def test_O6_mail_rcpt_data_final(self) -> None:
        count = 0
        for text, pipelining, at, of in product(REFUSALS, (True, False), range(6), (1, 3)):
            # at: 0 MAIL, 1 to 3 that RCPT, 4 DATA, 5 the content
            if 1 <= at <= 3 and at > of:
                continue
            count += 1
            end, client = self.transact(text, pipelining=pipelining, at=at, of=of)
            if at == 0:
                self.check(end.mail, text)
                self.assertEqual(end.recipients, (None,) * of)
            for index, reply in enumerate(end.recipients):
                if at == index + 1:
                    self.check(reply, text)
                elif at:
                    self.assertEqual(reply and reply.code, 250)
            if at == 4:
                self.check(end.data, text)
            if at == 5:
                self.check(end.final, text)
            taken = at in {1, 2, 3} and of > 1
            self.assertEqual(end.final is not None and end.final.is_positive, taken)
            self.assertIn(client.state, {ClientState.READY, ClientState.OPEN})
        self.assertGreater(count, 200)

    def transact(
        self, text: str, *, pipelining: bool, at: int, of: int
    ) -> tuple[TransactionEnded, ClientConversation]:
        """A transaction with `of` recipients, refused with `text` at step `at` alone."""
        client = ready(EHLO_PIPELINING if pipelining else EHLO)
        client.begin(envelope(*(f"b{n}@example.net" for n in range(of))), 3)
        accepted = 0
        said = b""
        for _ in range(40):
            said += client.bytes_to_send()
            event = client.next_event()
            if isinstance(event, TransactionEnded):
                self.assertEqual(said, b"")
                return event, client
            if isinstance(event, BodyWanted):
                client.body(b"hi")
                client.end_body()
                self.assertEqual(client.bytes_to_send(), b"hi\r\n.\r\n")
                client.receive(text.encode() if at == 5 else b"250 ok\r\n")
                continue
            line, _, said = said.partition(b"\r\n")
            verb = line[:4]
            if verb == b"MAIL":
                client.receive(text.encode() if at == 0 else b"250 ok\r\n")
            elif verb == b"RCPT":
                number = int(line[10:11]) + 1
                good = at not in {0, number}
                accepted += good
                client.receive(
                    b"503 bad\r\n" if at == 0 else b"250 ok\r\n" if good else text.encode()
                )
            elif verb == b"DATA":
                answer = b"354 go\r\n" if accepted else b"503 bad\r\n"
                client.receive(text.encode() if at == 4 else answer)
        raise self.failureException("no end")


class ClosedTests(SynchronousTestCase):
    """O7: 421 and closing at any point, replies nobody asked for."""

    def test_O7_421_anywhere(self) -> None:
        for client, _ in at_each_stage():
            event = hear(client, b"421 4.3.2 shutting down\r\n")
            assert isinstance(event, RemoteClosed)
            self.assertEqual(event.reply, Reply.of(421, "4.3.2", "shutting down"))
            self.assertFalse(client.final_dot_unanswered)
            self.assertIs(client.state, ClientState.CLOSED)
            self.assertEqual(client.next_event(), event)

    def test_O7_closed_anywhere(self) -> None:
        texts = set()
        for client, uncertain in at_each_stage():
            client.receive_eof()
            event = client.next_event()
            assert isinstance(event, RemoteClosed)
            self.assertIsNone(event.reply)
            self.assertEqual(client.final_dot_unanswered, uncertain)
            self.assertRegex(event.text, r"^The remote closed the connection .*\.$")
            texts.add(event.text)
        self.assertGreater(len(texts), 7)

    def test_O7_closed_within_a_reply(self) -> None:
        client = ready()
        client.reset()
        client.receive(b"250-half\r\n250 o")
        client.receive_eof()
        event = client.next_event()
        assert isinstance(event, RemoteClosed)
        self.assertIn("in the middle of a reply", event.text)

    def test_O7_250_and_then_closed(self) -> None:
        client = ready()
        client.begin(envelope("b@example.net"), 2)
        hear(client, b"250 ok\r\n250 ok\r\n354 go\r\n")
        client.body(b"hi")
        client.end_body()
        client.receive(b"250 2.0.0 ok\r\n")
        client.receive_eof()
        end = ended(client.next_event())
        self.assertEqual(end.final, Reply.of(250, "2.0.0", "ok"))
        self.assertIsInstance(client.next_event(), RemoteClosed)

    def test_O7_a_reply_nobody_asked_for(self) -> None:
        for reply in (b"250 ok\r\n", b"550 no\r\n", b"354 go\r\n"):
            client = ready()
            client.receive(reply)
            self.assertRaises(RemoteProtocolError, client.next_event)
            self.assertIs(client.state, ClientState.CLOSED)

    def test_O7_a_reply_that_cannot_answer(self) -> None:
        wrong = {
            Command.MAIL: b"354 go\r\n",
            Command.RCPT: b"334 \r\n",
            Command.DATA: b"250 ok\r\n",
            Command.FINAL: b"354 go\r\n",
            Command.EHLO: b"334 \r\n",
            Command.STARTTLS: b"354 go\r\n",
            Command.RSET: b"354 go\r\n",
            Command.GREETING: b"354 go\r\n",
        }
        seen = set()
        for client, uncertain in at_each_stage():
            if client.awaited is None:
                continue
            seen.add(client.awaited)
            client.receive(wrong[client.awaited])
            self.assertRaises(RemoteProtocolError, client.next_event)
            self.assertEqual(client.final_dot_unanswered, uncertain)
        self.assertEqual(seen, set(wrong))

    def test_221_is_no_yes(self) -> None:
        for client, _ in at_each_stage():
            self.assertIsInstance(hear(client, b"221 2.0.0 bye\r\n"), RemoteClosed)
