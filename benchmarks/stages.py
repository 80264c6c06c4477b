"""Processor time of each step of a message's way, in this process, without a socket.

A step is run over many messages; the figure is processor microseconds per message of the whole
process, so the store's own work in SQLite and the kernel's part of its writes are in it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.copy_stages import copy_steps
from benchmarks.mail import LINKS
from benchmarks.ours import SIGNED, Smtpplus
from benchmarks.plan import Plan
from benchmarks.programs import Programs
from benchmarks.results import Report
from benchmarks.timed import content
from smtpplus.config import load
from smtpplus.installation import open_installation
from smtpplus.message import dkim
from smtpplus.message.facts import ContentFacts
from smtpplus.message.headers import head_length
from smtpplus.message.submitted import examine
from smtpplus.message.trace import received
from smtpplus.smtp.client import ClientConversation
from smtpplus.smtp.client_events import BodyWanted
from smtpplus.smtp.events import (
    BodyEnded,
    BodyStarted,
    Connected,
    MailReceived,
    RcptReceived,
    ServerEvent,
    Wait,
)
from smtpplus.smtp.server import ServerConversation, ServerSettings
from smtpplus.smtp.transcript import Transcript
from smtpplus.store.store import run
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient
from smtpplus.values.ids import IdSource
from smtpplus.values.message import (
    Accepted,
    Delivery,
    DeliveryState,
    Message,
    NewDelivery,
    Settlement,
)
from smtpplus.values.outcome import Attempt, Outcome, Result, Stage
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["stages"]

_TO = "b@example.net"
_TOGETHER = 20  # messages of one commit, as many as sessions
_Step = Callable[[int], object]

_ANSWERS = {
    Connected: Reply.of(220, None, "bench ESMTP"),
    MailReceived: Reply.of(250, "2.1.0", "Sender OK"),
    RcptReceived: Reply.of(250, "2.1.5", "Recipient OK"),
    BodyStarted: Reply.of(354, None, "Go on"),
    BodyEnded: Reply.of(250, "2.0.0", "queued"),
}


def stages(plan: Plan, programs: Programs, report: Report) -> None:
    """Each step in turn, and again."""
    for octets in plan.sizes:
        mail = content(1, octets, SIGNED, _TO)
        steps: dict[str, _Step] = {
            "server conversation": _server(mail),
            "facts, head, Received": lambda _, mail=mail: _intake(mail),  # type: ignore[misc]
            "body hash": lambda _, mail=mail: _hash(mail),  # type: ignore[misc]
            "DKIM field": _field(mail),
            "RSA-2048 signature": _signature(mail),
            "client conversation": _client(mail),
        }
        for _, (name, step) in itertools.product(range(plan.rounds), steps.items()):
            step(0)
            _note(report, octets, name, _cost(step, plan.stage_messages), plan.stage_messages)
        _store(plan, programs, report, mail, octets)
    copies = copy_steps(programs)
    for _, (name, step) in itertools.product(range(plan.rounds), copies.items()):
        step(0)
        cost = _cost(step, plan.stage_messages)
        row = report.row("stages", "everything on", name, "µs")
        row.samples.append(cost)
        row.note = f"{plan.stage_messages} times, HTML and text with {LINKS} links"


def _cost(step: _Step, times: int) -> float:
    begin = time.process_time()
    for number in range(times):
        step(number)
    return (time.process_time() - begin) / times * 1e6


def _note(report: Report, octets: int, name: str, cost: float, messages: int) -> None:
    row = report.row("stages", f"{octets // 1024} KB", name, "µs")
    row.samples.append(cost)
    row.note = row.note or f"{messages} messages"


# ------------------------------------------------ conversations


def _server(mail: bytes) -> _Step:
    """MAIL, RCPT, DATA one by one as smtp-source says them, the content in reads of 64 KiB."""
    talk = ServerConversation(
        ServerSettings(hostname="bench", require_auth=False), client_ip="192.0.2.1", client_port=1
    )
    pieces = [
        f"MAIL FROM:<{SIGNED}>\r\n".encode(),
        f"RCPT TO:<{_TO}>\r\n".encode(),
        b"DATA\r\n",
        *(mail[at : at + 65536] for at in range(0, len(mail), 65536)),
        b".\r\n",
    ]
    pieces[-2:] = [pieces[-2] + pieces[-1]]

    def converse(_: int) -> None:
        for piece in pieces:
            talk.receive(piece)
            _answer(talk)

    _answer(talk)
    talk.receive(b"EHLO bench\r\n")
    _answer(talk)
    return converse


def _answer(talk: ServerConversation) -> None:
    while True:
        event: ServerEvent | Wait = talk.next_event()
        if event is Wait.NEED_DATA:
            talk.bytes_to_send()
            return
        reply = _ANSWERS.get(type(event))
        if reply is not None:
            talk.answer(reply)


def _client(mail: bytes) -> _Step:
    """A transaction with PIPELINING on a session that is open."""
    transcript = Transcript(time.monotonic)
    talk = ClientConversation(transcript)
    envelope = _ENVELOPE

    def hear(octets: bytes) -> object:
        talk.receive(octets)
        while (event := talk.next_event()) is not Wait.NEED_DATA:
            if isinstance(event, BodyWanted):
                return event
        return None

    def transact(_: int) -> None:
        talk.begin(envelope, len(mail))
        talk.bytes_to_send()
        assert hear(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go on\r\n") is not None
        talk.body(mail)
        talk.end_body()
        talk.bytes_to_send()
        hear(b"250 2.0.0 taken\r\n")
        transcript.take()

    hear(b"220 sink\r\n")
    talk.hello("bench")
    talk.bytes_to_send()
    hear(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000000000\r\n")
    return transact


# ------------------------------------------------ content


def _intake(mail: bytes) -> None:
    facts = ContentFacts()
    facts.update(mail)
    length = head_length(mail)
    assert length is not None
    examine(mail[:length], smtputf8=False)
    received(
        hello="bench",
        client_ip="192.0.2.1",
        host="bench.example",
        with_protocol="ESMTP",
        identifier="1",
        now=1.0,
        tls="",
        recipient=_TO,
        show_client=True,
    )


def _hash(mail: bytes) -> bytes:
    digest = dkim.BodyHash()
    digest.update(mail[head_length(mail) :])
    return digest.digest()


def _field(mail: bytes) -> _Step:
    head, digest = mail[: head_length(mail)], _hash(mail)
    return lambda number: dkim.prepare(
        head, digest, algorithm="rsa-sha256", domain="example.com", selector="bench", now=number
    )


def _signature(mail: bytes) -> _Step:
    key = dkim.SigningKey.load(dkim.generate_key()[0])
    unsigned = dkim.prepare(
        mail[: head_length(mail)],
        _hash(mail),
        algorithm=key.algorithm,
        domain="example.com",
        selector="bench",
        now=1,
    )
    return lambda _: unsigned.sign(key)


# ------------------------------------------------ store


def _store(plan: Plan, programs: Programs, report: Report, mail: bytes, octets: int) -> None:
    """Accept and settle, a commit for each message and one for as many as there are sessions."""
    made = Smtpplus(programs, f"stages-{octets}")
    with open_installation(load(Path(made.config), [])) as installation:
        queue, ids = installation.queue, IdSource(1023)
        user = run(installation.accounts.users(None))[0]

        def accepted(now: float) -> Accepted:
            message_id = ids.next(now)
            message = Message(
                id=message_id,
                account_id=user.account_id,
                list_id=user.list_id,
                user_id=user.id,
                received_at=now,
                expires_at=now + 432_000,
                envelope=_ENVELOPE,
                header_from=SIGNED,
                from_domain="example.com",
                subject="number 1",
                message_id=f"<{message_id}@load.example>",
                octets=len(mail),
                head_octets=head_length(mail) or 0,
                prepend=b"Received: from bench\r\n",
            )
            delivery = NewDelivery(ids.next(now), _ENVELOPE.recipients[0])
            return Accepted(message, (delivery,), mail, leased=True, due_at=now)

        for _ in range(plan.rounds):
            waiting = [accepted(time.time()) for _ in range(plan.stage_messages)]
            cost = _cost(lambda at, them=waiting: _now(queue.accept(them[at])), len(waiting))  # type: ignore[misc]
            _note(report, octets, "store: accept, a commit each", cost, len(waiting))
            settled = [_delivered(one) for one in waiting]
            groups = [settled[at : at + _TOGETHER] for at in range(0, len(settled), _TOGETHER)]
            cost = _cost(lambda at, them=groups: _now(queue.settle(them[at])), len(groups))  # type: ignore[misc]
            _note(
                *(report, octets, f"store: settle, a commit for {_TOGETHER}"),
                *(cost * len(groups) / len(settled), len(settled)),
            )


def _now(result: object) -> None:
    async def wait() -> None:
        await result  # type: ignore[misc]

    run(wait())


def _delivered(one: Accepted) -> Settlement:
    reply = Reply.of(250, "2.0.0", "taken")
    new = one.deliveries[0]
    now = one.message.received_at
    return Settlement(
        delivery=Delivery(new.id, one.message, new.recipient, attempts=0, due_at=now),
        state=DeliveryState.DELIVERED,
        at=now,
        outcome=Outcome(Result.DELIVERED, Stage.BODY, EnhancedCode(2, 0, 0), str(reply), reply),
        attempt=Attempt(now, 3, "127.0.0.1", "127.0.0.1", 25, transcript="x" * 400),
    )


_ENVELOPE = Envelope(
    sender=Address.parse(SIGNED), recipients=(EnvelopeRecipient(Address.parse(_TO)),)
)
