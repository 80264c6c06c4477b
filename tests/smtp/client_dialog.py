"""A client's conversation at any stage, for tests to go on with."""

from __future__ import annotations

from smtpplus.smtp.client import ClientConversation
from smtpplus.smtp.client_events import (
    ClientEvent,
    TransactionEnded,
)
from smtpplus.smtp.client_states import ClientState
from smtpplus.smtp.events import Wait
from smtpplus.smtp.transcript import Transcript
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient

__all__ = [
    "EHLO",
    "EHLO_PIPELINING",
    "at_each_stage",
    "conversation",
    "ended",
    "envelope",
    "hear",
    "hear_nothing",
    "ready",
]

EHLO = b"250-mx.example.net\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
EHLO_PIPELINING = b"250-mx.example.net\r\n250-PIPELINING\r\n250 8BITMIME\r\n"


def envelope(*recipients: str, sender: str | None = "a@example.com") -> Envelope:
    return Envelope(
        sender=Address.parse(sender) if sender else None,
        recipients=tuple(EnvelopeRecipient(Address.parse(r)) for r in recipients),
    )


def conversation() -> ClientConversation:
    return ClientConversation(Transcript(lambda: 0.0))


def ready(ehlo: bytes = EHLO) -> ClientConversation:
    """A conversation after EHLO."""
    client = conversation()
    hear(client, b"220 hello\r\n")
    client.hello("me.example.com")
    hear(client, ehlo)
    assert client.state is ClientState.READY
    client.bytes_to_send()
    return client


def hear(client: ClientConversation, octets: bytes) -> ClientEvent:
    """The one event that `octets` make."""
    client.receive(octets)
    event = client.next_event()
    assert not isinstance(event, Wait), "no event"
    return event


def hear_nothing(client: ClientConversation, octets: bytes) -> None:
    client.receive(octets)
    assert client.next_event() is Wait.NEED_DATA


def ended(event: ClientEvent | Wait) -> TransactionEnded:
    assert isinstance(event, TransactionEnded), event
    return event


def at_each_stage() -> list[tuple[ClientConversation, bool]]:
    """A conversation at each stage; is a final dot unanswered there?"""
    greeted = conversation()
    hear(greeted, b"220 hi\r\n")
    helo = conversation()
    hear(helo, b"220 hi\r\n")
    helo.hello("x")
    tls = ready()
    tls.start_tls()
    reset = ready()
    reset.reset()
    mail = ready()
    mail.begin(envelope("b@example.net"), 2)
    rcpt = ready()
    rcpt.begin(envelope("b@example.net"), 2)
    hear_nothing(rcpt, b"250 ok\r\n")
    data = ready()
    data.begin(envelope("b@example.net"), 2)
    hear_nothing(data, b"250 ok\r\n250 ok\r\n")
    body = ready()
    body.begin(envelope("b@example.net"), 2)
    hear(body, b"250 ok\r\n250 ok\r\n354 go\r\n")
    final = ready()
    final.begin(envelope("b@example.net"), 2)
    hear(final, b"250 ok\r\n250 ok\r\n354 go\r\n")
    final.body(b"hi")
    final.end_body()
    idle = ready()
    plain = [conversation(), greeted, helo, tls, reset, mail, rcpt, data, body, idle]
    return [*((client, False) for client in plain), (final, True)]
