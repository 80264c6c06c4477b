"""The client's octets: content, answers cut anywhere, and the transcript of it all."""

from __future__ import annotations

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.client import ClientConversation
from smtpplus.smtp.client_events import (
    BodyWanted,
    ClientEvent,
    RemoteClosed,
)
from smtpplus.smtp.client_states import ClientState
from smtpplus.smtp.events import Wait
from smtpplus.smtp.reply_reader import RemoteProtocolError
from smtpplus.smtp.transcript import Transcript
from smtpplus.values.reply import Reply
from tests.smtp.client_dialog import (
    EHLO_PIPELINING,
    at_each_stage,
    conversation,
    envelope,
    hear,
    ready,
)


class ContentTests(SynchronousTestCase):
    """What leaves is one message, whatever the pieces held (S2, S3, SM3, SM4)."""

    def sent(self, pieces: list[bytes]) -> bytes:
        client = ready(EHLO_PIPELINING)
        client.begin(envelope("b@example.net"), sum(map(len, pieces)))
        client.bytes_to_send()
        hear(client, b"250 ok\r\n250 ok\r\n354 go\r\n")
        out = b""
        for piece in pieces:
            client.body(piece)
            out += client.bytes_to_send()
        client.end_body()
        return out + client.bytes_to_send()

    @staticmethod
    def read(wire: bytes) -> bytes:
        """What a strict server makes of it: there is one end, and it is at the end."""
        lines = b"\r\n" + wire
        end = lines.index(b"\r\n.\r\n")
        assert end == len(lines) - 5
        return lines[: end + 2].replace(b"\r\n.", b"\r\n")[2:]

    def test_S3_SM4_dots_at_every_offset(self) -> None:
        edges = [
            *range(16_370, 16_400),
            *(n + d for n in (4096, 8192, 65_536) for d in range(-2, 3)),
        ]
        for offset in edges:
            content = (b"x" * 70 + b"\r\n") * 1000
            content = content[: offset - 2] + b"\r\n.\r\n.." + content[offset:70_000] + b"\r\n"
            for size in (16_384, 65_536, 4096):
                pieces = [content[i : i + size] for i in range(0, len(content), size)]
                self.assertEqual(self.read(self.sent(pieces)), content, (offset, size))

    def test_S3_first_line(self) -> None:
        for content in (b".\r\n", b"..\r\n", b".", b"", b"\r\n.\r\n", b".a\r\n.\r\n"):
            whole = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
            self.assertEqual(self.read(self.sent([content])), whole)
            cut = [content[i : i + 1] for i in range(len(content))]
            self.assertEqual(self.read(self.sent(cut)), whole)

    @given(
        st.lists(
            st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\0", b"\r\n.\r\n"])).map(
                b"".join
            ),
            max_size=6,
        )
    )
    @settings(max_examples=600, deadline=None)
    def test_S2_SM3_no_bare_line_end_leaves(self, pieces: list[bytes]) -> None:
        wire = self.sent(pieces)
        self.assertNotRegex(wire, re.compile(rb"\r(?!\n)|(?<!\r)\n|\0"))
        self.read(wire)


class CutTests(SynchronousTestCase):
    script = (
        b"220-mx\r\n220 hi\r\n",
        b"250-mx\r\n250 PIPELINING\r\n",
        b"250 ok\r\n550-5.1.1 no\r\n550 5.1.1 never\r\n250 2.1.5 ok\r\n354 go\r\n",
        b"250 2.0.0 taken\r\n",
        b"221 bye\r\n",
    )

    def play(self, cuts: list[int]) -> tuple[list[ClientEvent], bytes]:
        """The whole dialog, each answer cut at `cuts`."""
        client = conversation()
        events: list[ClientEvent] = []
        said = b""

        def answer(octets: bytes) -> None:
            nonlocal said
            edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
            for start, stop in itertools.pairwise(edges):
                client.receive(octets[start:stop])
                while not isinstance(event := client.next_event(), Wait):
                    events.append(event)
                said += client.bytes_to_send()

        answer(self.script[0])
        client.hello("me")
        answer(self.script[1])
        client.begin(envelope("b@example.net", "c@example.net"), 9)
        answer(self.script[2])
        client.body(b"a\r\n.\r\nb\r\n")
        client.end_body()
        answer(self.script[3])
        client.quit()
        answer(self.script[4])
        return events, said

    def test_octet_by_octet(self) -> None:
        self.assertEqual(self.play(list(range(200))), self.play([]))

    @given(st.lists(st.integers(0, 100), max_size=6))
    @settings(max_examples=200, deadline=None)
    def test_cut_anywhere(self, cuts: list[int]) -> None:
        self.assertEqual(self.play(cuts), self.play([]))

    @given(st.binary(max_size=300), st.integers(0, 10))
    @settings(max_examples=500, deadline=None)
    def test_garbage_ends_in_an_event_or_a_protocol_error(self, octets: bytes, at: int) -> None:
        client = at_each_stage()[at][0]
        client.receive(octets)
        client.receive_eof()
        try:
            while not isinstance(event := client.next_event(), RemoteClosed):
                self.assertNotIsInstance(event, Wait)
                if isinstance(event, BodyWanted):
                    break
        except RemoteProtocolError:
            self.assertIs(client.state, ClientState.CLOSED)


class TranscriptTests(SynchronousTestCase):
    def test_a_whole_session(self) -> None:
        now = [100.0]

        def tick() -> float:
            now[0] += 0.004
            return now[0]

        transcript = Transcript(tick)
        client = ClientConversation(transcript)
        transcript.note("connected")
        hear(client, b"220 mx\r\n")
        client.hello("me")
        hear(client, b"250-mx\r\n250 PIPELINING\r\n")
        client.begin(envelope("b@example.net"), 10240)
        hear(client, b"250 ok\r\n250 ok\r\n354 go\r\n")
        client.body(b"x" * 10240)
        client.end_body()
        hear(client, b"550 5.7.1 \x1b]0;you\x07\r\n")
        self.assertEqual(
            transcript.take().splitlines(),
            [
                "     4 = connected",
                "     8 < 220 mx",
                "    12 > EHLO me",
                "    16 < 250-mx",
                "    16 < 250 PIPELINING",
                "    20 > MAIL FROM:<a@example.com>",
                "    24 > RCPT TO:<b@example.net>",
                "    28 > DATA",
                "    32 < 250 ok",
                "    36 < 250 ok",
                "    40 < 354 go",
                "    44 > (10240 octets)",
                "    48 > .",
                "    52 < 550 5.7.1 \\x1b]0;you\\x07",
            ],
        )
        self.assertEqual(transcript.take(), "")

    def test_is_bounded_and_keeps_both_ends(self) -> None:
        transcript = Transcript(lambda: 0.0)
        for number in range(2000):
            transcript.sent(f"RCPT TO:<{number}@example.net>")
            transcript.received(Reply(250, None, ("\u4e2d" * 600,)))
        text = transcript.take()
        self.assertLessEqual(len(text.encode()), 16_384)
        self.assertIn("<0@example.net>", text)
        self.assertIn("left out", text)
        self.assertTrue(text.endswith("\u4e2d\n"))
