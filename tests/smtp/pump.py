"""A driver for the server side in memory: octets in, replies and events out, by a fixed policy."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from smtpplus.smtp.events import (
    BodyChunk,
    BodyEnded,
    BodyStarted,
    Closed,
    Connected,
    MailReceived,
    PasswordOffered,
    RcptReceived,
    ScramProved,
    ScramStarted,
    ServerEvent,
    StartTls,
    TransactionReset,
    Wait,
)
from smtpplus.smtp.sasl import fake_verifier, make_verifier
from smtpplus.smtp.server import ServerConversation, ServerSettings, TlsChannel
from smtpplus.values.reply import Reply
from smtpplus.values.submission import ScramVerifier

Answer = Reply | ScramVerifier
Policy = dict[type, Callable[[Any], Answer]]

TLS = TlsChannel("TLSv1.3", "TLS_AES_256_GCM_SHA384", b"e" * 32)
VERIFIER = make_verifier("secret", b"salt" * 4)


def _password(event: PasswordOffered) -> Reply:
    right = (event.username, event.password) == ("user", "secret")
    return Reply.of(235, "2.7.0", "Welcome") if right else Reply.of(535, "5.7.8", "No")


def _rcpt(event: RcptReceived) -> Reply:
    local = event.recipient.address.local.lower()
    if local.startswith("refuse"):
        return Reply.of(550, "5.1.1", "No such user")
    if local.startswith("later"):
        return Reply.of(450, "4.2.1", "Later")
    return Reply.of(250, "2.1.5", "Recipient OK")


def _mail(event: MailReceived) -> Reply:
    if event.sender is not None and event.sender.local.startswith("refuse"):
        return Reply.of(550, "5.7.1", "Not your address")
    return Reply.of(250, "2.1.0", "Sender OK")


POLICY: Policy = {
    Connected: lambda _: Reply.of(220, None, "mx.example ESMTP"),
    PasswordOffered: _password,
    ScramStarted: lambda event: (
        VERIFIER if event.username == "user" else fake_verifier(event.username, b"key")
    ),
    ScramProved: lambda _: Reply.of(235, "2.7.0", "Welcome"),
    MailReceived: _mail,
    RcptReceived: _rcpt,
    BodyStarted: lambda _: Reply.of(354, None, "Go on"),
    BodyEnded: lambda event: Reply.of(250, "2.0.0", f"Queued {event.octets}"),
}


def settings(**changes: Any) -> ServerSettings:
    """A listener that wants neither AUTH nor TLS, but for `changes`."""
    return ServerSettings(**{"hostname": "mx.example", "require_auth": False, **changes})


class Pump:
    """One conversation; `answers` override the policy by event type."""

    def __init__(
        self,
        changed: ServerSettings | None = None,
        answers: Policy | None = None,
        *,
        greet: bool = True,
        **arguments: Any,
    ) -> None:
        self.talk = ServerConversation(
            changed or settings(),
            **{"client_ip": "192.0.2.1", "client_port": 4321, "nonce": lambda: "srv", **arguments},
        )
        self.policy = {**POLICY, **(answers or {})}
        self.events: list[ServerEvent] = []
        self.output = b""
        self.messages: list[bytes] = []
        self._content = bytearray()
        if greet:
            self.run()

    def send(self, *pieces: bytes) -> list[str]:
        """Send the pieces, working on after each; the replies that came, whole ones joined."""
        before = len(self.output)
        for piece in pieces:
            self.talk.receive(piece)
            self.run()
        return replies(self.output[before:])

    def hang_up(self) -> None:
        """The client closes."""
        self.talk.receive_eof()
        self.run()

    def run(self) -> None:
        """Answer until the conversation needs octets."""
        while True:
            event = self.talk.next_event()
            self.output += self.talk.bytes_to_send()
            if event is Wait.NEED_DATA:
                return
            assert not isinstance(event, Wait), "a question was left open"
            self.events.append(event)
            self._keep(event)
            if isinstance(event, StartTls):
                self.talk.tls_started(TLS)
            elif type(event) in self.policy:
                assert self.talk.next_event() is Wait.PAUSED
                answer = self.policy[type(event)](event)
                if isinstance(answer, ScramVerifier):
                    self.talk.answer_scram(answer)
                else:
                    self.talk.answer(answer)
            self.output += self.talk.bytes_to_send()

    def _keep(self, event: ServerEvent) -> None:
        if isinstance(event, BodyStarted | TransactionReset):
            self._content = bytearray()
        elif isinstance(event, BodyChunk):
            self._content += event.data
        elif isinstance(event, BodyEnded):
            assert event.octets == len(self._content)
            self.messages.append(bytes(self._content))

    def of(self, kind: type) -> list[Any]:
        """The events of this type so far."""
        return [event for event in self.events if type(event) is kind]

    @property
    def closed(self) -> str | None:
        """Why the conversation is over, or None."""
        ends = self.of(Closed)
        assert len(ends) <= 1
        assert not ends or self.events[-1] is ends[0]
        return ends[0].reason if ends else None


def replies(output: bytes) -> list[str]:
    """The replies in `output`, the lines of each joined with a newline."""
    found: list[str] = []
    lines: list[str] = []
    for line in output.decode("ascii").splitlines():
        assert len(line) >= 4, line
        assert line[:3].isdecimal(), line
        lines.append(line)
        if line[3] == " ":
            found.append("\n".join(lines))
            lines = []
    assert not lines
    return found


def codes(found: Iterable[str]) -> list[int]:
    """The codes of replies."""
    return [int(reply[:3]) for reply in found]


def cuts(octets: bytes, seed: int = 0) -> Iterator[list[bytes]]:
    """`octets` whole, octet by octet, and cut at random three times."""
    yield [octets]
    yield [octets[index : index + 1] for index in range(len(octets))]
    chance = random.Random(seed)
    for _ in range(3):
        pieces, at = [], 0
        while at < len(octets):
            width = chance.choice((1, 2, 3, 5, 8, 13, 100))
            pieces.append(octets[at : at + width])
            at += width
        yield pieces


def two_parts(octets: bytes) -> Iterator[list[bytes]]:
    """`octets` cut once, at every position."""
    for index in range(len(octets) + 1):
        yield [octets[:index], octets[index:]]
