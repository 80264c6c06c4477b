"""Processor time of each step that a recipient's copy takes, with everything on.

The mail is `benchmarks.mail.order_mail`, its list wants `EVERYTHING`. What is found once for a
message is told from what every recipient costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.mail import EVERYTHING, order_mail
from benchmarks.ours import SIGNED, Smtpplus
from benchmarks.programs import Programs
from smtpplus.config import load
from smtpplus.installation import open_installation
from smtpplus.message import dkim
from smtpplus.message.headers import head_length, parse_head
from smtpplus.message.recipient_copy import prepare
from smtpplus.message.structure import scan
from smtpplus.message.token import Tokens
from smtpplus.relay.rendering import Rendered, Rendering, RenderingSettings
from smtpplus.store.store import run
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Delivery, Message
from smtpplus.values.submission import SmtpUser

__all__ = ["copy_steps"]

_TO = "b@example.net"


class _Clock:
    def now(self) -> float:
        return time.time()


def copy_steps(programs: Programs) -> dict[str, Callable[[int], object]]:
    """The steps by name; each takes a number and does its work once."""
    made = Smtpplus(programs, "copies", wants=EVERYTHING)
    mail = order_mail(SIGNED, _TO)
    size = head_length(mail) or 0
    head, body = mail[:size], mail[size:]
    with open_installation(load(Path(made.config), [])) as installation:
        accounts = installation.accounts
        user = run(accounts.users(None))[0]
        settings = RenderingSettings(
            tokens=Tokens([b"a secret of thirty-two octets ...."]),
            hostname="bench.example",
            sender_id="bench",
            tracking_base="https://t.bench.example",
            return_domain="bounce.example.com",
        )
        clock: Any = _Clock()
        rendering = Rendering(
            accounts=accounts, queue=installation.queue, clock=clock, settings=settings
        )
        delivery = _delivery(user, mail, size)
        rendered = run(_rendered(rendering, delivery.message, head))

    def find(_: int) -> Rendered:
        return run(_rendered(rendering, delivery.message, head))

    structure, plan = scan(mail), rendered.plan
    known: dict[str, Any] = {
        "fields": rendered.fields,
        "visible": rendered.visible,
        "block": rendered.block,
    }
    prepared = prepare(rendered.head, body, structure, plan, **known)
    fields = rendering.copy_fields(delivery)
    copy = prepared.copy(fields)
    block = rendered.block
    assert callable(block)
    octets = b"".join([piece for piece in copy.body if isinstance(piece, bytes)])

    def sign(number: int) -> object:
        digest = dkim.BodyHash()
        digest.update(octets)
        return dkim.prepare(
            parse_head(copy.head),
            digest.digest(),
            algorithm="rsa-sha256",
            domain="example.com",
            selector="bench",
            now=number,
        )

    return {
        "message: what holds": find,
        "message: structure": lambda _: scan(mail),
        "message: prepare": lambda _: prepare(rendered.head, body, structure, plan, **known),
        "recipient: copy with its list fields": lambda _: prepared.copy(
            rendering.copy_fields(delivery)
        ),
        "recipient: of that the list fields": lambda _: block(fields),
        "recipient: return path": lambda _: rendering.return_path(delivery),
        "recipient: body hash, DKIM field": sign,
    }


async def _rendered(rendering: Rendering, message: Message, head: bytes) -> Rendered:
    found = await rendering.of(message, head, ())
    assert found is not None
    return found


def _delivery(user: SmtpUser, mail: bytes, head_octets: int) -> Delivery:
    ids, now = IdSource(1023), time.time()
    envelope = Envelope(
        sender=Address.parse(SIGNED), recipients=(EnvelopeRecipient(Address.parse(_TO)),)
    )
    message = Message(
        id=ids.next(now),
        account_id=user.account_id,
        list_id=user.list_id,
        user_id=user.id,
        received_at=now,
        expires_at=now + 432_000,
        envelope=envelope,
        header_from=SIGNED,
        from_domain="example.com",
        subject="Your order 4711",
        message_id="<4711@load.example>",
        octets=len(mail),
        head_octets=head_octets,
        mechanism="network",
        prepend=b"Received: from bench\r\n",
    )
    return Delivery(ids.next(now), message, envelope.recipients[0], attempts=0, due_at=now)
