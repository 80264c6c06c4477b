"""Values to rows and back: messages, deliveries, attempts.

Guarantees: what a peer or a client sent never stops a row from being written: lone surrogates
and NUL, which no database keeps, become U+FFFD; all else comes back as it was. Rows of the hot
path are tuples in the order of the table's columns.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row

from smtpplus.rules.schedule import LEAST_URGENT, MOST_URGENT
from smtpplus.values.address import Address
from smtpplus.values.envelope import Body, DeliverBy, Envelope, EnvelopeRecipient, Notify, Ret
from smtpplus.values.message import Accepted, DeliveryState, Message, NewDelivery
from smtpplus.values.options import NOTHING_SAID, Options
from smtpplus.values.outcome import Attempt, Outcome

__all__ = [
    "address_key",
    "attempt_facts",
    "attempt_from",
    "delivery_rows",
    "fields_from",
    "fields_text",
    "is_leased_at_birth",
    "json_text",
    "message_from",
    "message_row",
    "options_from",
    "outcome_from",
    "recipient_from",
    "safe_text",
]

_SEARCHED_RECIPIENTS = 20
_SEARCHED_OCTETS = 2_000
_COMPRESS_FROM = 2_048
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NO_CUTS = ""
_QUEUED, _CANCELLED = DeliveryState.QUEUED.value, DeliveryState.CANCELLED.value
_BODIES = {body: body.value for body in Body}  # as Enum's own ``value``, sooner
_OF_RECIPIENTS = ("recipients", "extra_recipients")  # they stand in their deliveries

_encode = msgspec.json.Encoder().encode
_decode_outcome = msgspec.json.Decoder(Outcome).decode
_decode_facts = msgspec.json.Decoder(tuple[Attempt, Outcome]).decode
_decode_options = msgspec.json.Decoder(Options).decode
_decode_fields = msgspec.json.Decoder(dict[str, str]).decode
_decode_cuts = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode


def safe_text(text: str) -> str:
    """`text` as every database can keep it."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _safe_or_none(text: str | None) -> str | None:
    return None if text is None else safe_text(text)


def address_key(address: Address) -> str:
    """What addresses are compared and looked up by."""
    return safe_text(address.key)


# ---------------------------------------------------------------- message


def message_row(accepted: Accepted) -> tuple[Any, ...]:
    """The row of `schema.message`."""
    message = accepted.message
    envelope = message.envelope
    sender = envelope.sender
    return (
        message.id,
        message.account_id,
        message.list_id,
        message.user_id,
        len(accepted.deliveries),
        sum([not new.withheld for new in accepted.deliveries]),
        message.in_file,
        _search_text(accepted),
        None if sender is None else safe_text(str(sender)),
        None if sender is None else address_key(sender),
        message.received_at,
        message.expires_at,
        _BODIES[envelope.body],
        envelope.smtputf8,
        None if envelope.ret is None else envelope.ret.value,
        _safe_or_none(envelope.envid),
        min(envelope.declared_bytes, 1 << 62),
        safe_text(message.header_from),
        safe_text(message.from_domain),
        safe_text(message.subject),
        safe_text(message.message_id),
        message.octets,
        message.head_octets,
        _encode(message.cuts).decode() if message.cuts else _NO_CUTS,
        message.eight_bit,
        message.long_lines,
        message.utf8_head,
        safe_text(message.client_ip),
        safe_text(message.hello),
        safe_text(message.tls),
        safe_text(message.mechanism),
        safe_text(message.campaign),
        message.priority,
        accepted.reports_on,
        message.prepend,
        message.crc32,
        safe_text(message.campaign_name) or None,
        _options_text(message.options),
        None if envelope.deliver_by is None else str(envelope.deliver_by),
        envelope.mt_priority,
    )


def _options_text(options: Options) -> str | None:
    """What is said of the whole message; None where nothing is."""
    if options is NOTHING_SAID:
        return None
    said = options.said()
    for name in _OF_RECIPIENTS:
        said.pop(name, None)
    return json_text(said) if said else None


def options_from(text: str | None) -> Options:
    """What is kept of a message's wishes."""
    return _decode_options(text) if text else NOTHING_SAID


def _search_text(accepted: Accepted) -> str:
    message = accepted.message
    sender = message.envelope.sender
    parts = [message.subject, message.header_from, "" if sender is None else str(sender)]
    parts += [str(new.recipient.address) for new in accepted.deliveries[:_SEARCHED_RECIPIENTS]]
    return safe_text("\n".join(parts)[:_SEARCHED_OCTETS].lower())


def message_from(row: Row[Any], recipients: Sequence[EnvelopeRecipient]) -> Message:
    """The message of a row; its recipients stand in the deliveries."""
    envelope = Envelope(
        sender=None if row.sender is None else _address(row.sender),
        recipients=tuple(recipients),
        body=Body(row.body),
        smtputf8=bool(row.smtputf8),
        ret=None if row.ret is None else Ret(row.ret),
        envid=row.envid,
        declared_bytes=row.declared_bytes,
        deliver_by=None if row.deliver_by is None else DeliverBy.parse(row.deliver_by),
        mt_priority=row.mt_priority,
    )
    return Message(
        id=row.id,
        account_id=row.account_id,
        list_id=row.list_id,
        user_id=row.user_id,
        received_at=row.received_at,
        expires_at=row.expires_at,
        envelope=envelope,
        header_from=row.header_from,
        from_domain=row.from_domain,
        subject=row.subject,
        message_id=row.header_message_id,
        octets=row.octets,
        head_octets=row.head_octets,
        prepend=bytes(row.prepend),
        cuts=_decode_cuts(row.cuts) if row.cuts else (),
        eight_bit=bool(row.eight_bit),
        long_lines=bool(row.long_lines),
        utf8_head=bool(row.utf8_head),
        in_file=bool(row.in_file),
        client_ip=row.client_ip,
        hello=row.hello,
        tls=row.tls,
        mechanism=row.mechanism,
        campaign=row.campaign,
        campaign_name=row.campaign_name or "",
        priority=row.priority,
        options=options_from(row.options),
        crc32=row.crc32,
    )


# ---------------------------------------------------------------- delivery


def is_leased_at_birth(accepted: Accepted, new: NewDelivery) -> bool:
    """Does it belong to the node that accepts it, and is to be attempted at once?"""
    return accepted.leased and accepted.goes_now(new)


def delivery_rows(accepted: Accepted, node: int, lease_until: float) -> list[tuple[Any, ...]]:
    """The rows of `schema.delivery`."""
    message = accepted.message
    rows = []
    for new in accepted.deliveries:
        recipient = new.recipient
        address = recipient.address
        withheld = new.withheld
        leased = is_leased_at_birth(accepted, new)
        rows.append(
            (
                new.id,
                message.id,
                message.account_id,
                _CANCELLED if withheld else _QUEUED,
                accepted.due_at if new.due_at is None else new.due_at,
                node if leased else None,
                lease_until if leased else None,
                safe_text(address.ascii_domain),
                0,
                safe_text(str(address)),
                address_key(address),
                None if recipient.notify is None else ",".join(sorted(recipient.notify)),
                _safe_or_none(recipient.orcpt),
                False,
                message.received_at if withheld else None,
                None,
                safe_text(new.name) or None,
                fields_text(new.fields) or None,
                safe_text(withheld) or None,
                None,
                None,
                None,
                min(max(message.priority, MOST_URGENT), LEAST_URGENT),
            )
        )
    return rows


def fields_text(fields: Mapping[str, str]) -> str:
    """Merge fields as JSON, empty for none."""
    return json_text(dict(fields)) if fields else ""


def fields_from(text: str | None) -> dict[str, str]:
    """What `fields_text` wrote."""
    return _decode_fields(text) if text else {}


def recipient_from(address: str, notify: str | None, orcpt: str | None) -> EnvelopeRecipient:
    """The recipient that a delivery's row holds."""
    conditions = None
    if notify is not None:
        conditions = frozenset(Notify(word) for word in notify.split(",") if word)
    return EnvelopeRecipient(_address(address), conditions, orcpt)


def _address(text: str) -> Address:
    local, _, domain = text.rpartition("@")  # was parsed when it came; a domain has no @
    return Address(local, domain)


# ---------------------------------------------------------------- outcome and attempt


def outcome_from(text: str | None) -> Outcome | None:
    """The outcome that `json_text` wrote."""
    return None if text is None else _decode_outcome(text)


def attempt_facts(attempt: Attempt, outcome: Outcome) -> bytes:
    """Both as JSON, deflated where long; JSON begins with ``[``, deflated octets never do."""
    facts = _json((attempt, outcome))
    return facts if len(facts) < _COMPRESS_FROM else zlib.compress(facts, 3)


def attempt_from(facts: bytes) -> tuple[Attempt, Outcome]:
    """What `attempt_facts` wrote."""
    return _decode_facts(facts if facts[:1] == b"[" else zlib.decompress(facts))


def json_text(value: Any) -> str:
    """Any of our values as JSON; what cannot be stored is replaced as `safe_text` does."""
    return _json(value).decode()


def _json(value: Any) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:  # a lone surrogate in what a peer said
        return _encode(_scrubbed(msgspec.to_builtins(value)))


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    if isinstance(value, dict):
        return {safe_text(key): _scrubbed(item) for key, item in value.items()}
    return value
