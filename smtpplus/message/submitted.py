"""The head of a submitted message: what is read from it, what is left out, what is refused.

Guarantees: an accepted head has exactly one From with exactly one address, which every reader
understands in the same way, and no line that is no field. Raises `RefusedError` with a reply
that says what is wrong. Linear time. Changes nothing: `cuts` say which octets are left out.

| finding | answer |
|---|---|
| head longer than 128 KiB | 552 5.6.0 |
| more than 10,000 fields, a field name longer than 256 octets, a NUL | 550 5.6.0 |
| a line that is no field; no head at all | 550 5.6.0 |
| From missing, twice (even the same), several addresses, group, unreadable | 550 5.6.0 |
| Sender unreadable or several | 550 5.6.0 |
| another field of `SINGLE` twice with different values | 550 5.6.0 |
| the same field of `SINGLE` repeated with the same value | the repetition is left out |
| Date or Message-ID missing or invalid | the invalid one is left out; the caller adds one |
| Bcc, Resent-Bcc, mbox ``From `` line, byte order mark | left out |
| 50 or more Received (ours is one more) | 554 5.4.6 |
| local part of the From address not ASCII, without SMTPUTF8 | 550 5.6.7 |
| other octets above 127 in fields without SMTPUTF8 | taken: real clients do it; the relay encodes them where the next hop needs it |
| To, Subject missing | taken (RFC 5322 §3.6) |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from smtpplus.message.headers import (
    BOM,
    MAX_FIELDS,
    MAX_HEAD_OCTETS,
    MAX_NAME_OCTETS,
    HeaderField,
    decode_words,
    parse_head,
)
from smtpplus.message.mailboxes import Mailbox, single_mailbox
from smtpplus.message.timestamp import is_valid_date
from smtpplus.values.errors import AddressError, RefusedError
from smtpplus.values.reply import Reply

__all__ = ["HEAD_TOO_LARGE", "MAX_RECEIVED", "SINGLE", "SubmittedHead", "check_count", "examine"]

# RFC 5322 §3.6 and, for the MIME fields, RFC 2045 §3 to §6; Gmail refuses them twice (550 5.7.1).
SINGLE = (
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
)
HEAD_TOO_LARGE = Reply.of(
    552, "5.6.0", f"The message's header is larger than {MAX_HEAD_OCTETS // 1024} KiB."
)
MAX_RECEIVED = 50  # Gmail refuses more hops; RFC 5321 §6.3 asks for a limit of at least 100
_LEFT_OUT = frozenset({"bcc", "resent-bcc"})  # RFC 5322 §3.6.3
_SHOWN = 500  # characters
_READ = 8192  # characters of a field that are decoded to show those
_MESSAGE_ID = re.compile(r"<(?:[^\s<>@\"\\]+|\"(?:[^\"\\\s]|\\[!-~])*\")@[^\s<>@]+>")
_MAX_MESSAGE_ID = 500  # Gmail's limit
_COMMENT_AFTER = re.compile(r"\s*\([^()]*\)\s*\Z")


@dataclass(frozen=True, slots=True)
class SubmittedHead:
    """What is known of a head.

    `header_from` and `subject` are decoded, safe to show and at most 500 characters.
    `message_id` keeps its angle brackets; "" where it is missing or invalid. `cuts` are octet
    spans in order. `has_eight_bit`: some field holds octets above 127. `auto_submitted` is
    the keyword of RFC 3834 §5, "" where there is none. `shown` are the To and Cc fields.
    """

    from_mailbox: Mailbox
    sender_mailbox: Mailbox | None
    header_from: str
    subject: str
    message_id: str
    has_valid_date: bool
    cuts: tuple[tuple[int, int], ...]
    received_count: int
    has_eight_bit: bool
    auto_submitted: str
    shown: tuple[HeaderField, ...]
    fields: tuple[HeaderField, ...]


def examine(head: bytes, *, smtputf8: bool) -> SubmittedHead:
    """Read and judge a head (with its empty line, where there is one).

    Args:
        head: octets up to and with the first empty line.
        smtputf8: was SMTPUTF8 given with MAIL?

    Raises:
        RefusedError: the message cannot be taken; the reply says why.
    """
    _check_size(head)
    fields = parse_head(head)
    named: dict[str, list[HeaderField]] = {}
    for field in fields:
        named.setdefault(field.lower, []).append(field)
    received = len(named.get("received", ()))
    if received >= MAX_RECEIVED:
        # RFC 5321 §6.3
        raise _refused(554, "5.4.6", f"Mail loop: the message has {received} Received fields.")
    cuts = [(0, len(BOM))] if head.startswith(BOM) else []
    cuts += _mbox_line(fields)
    cuts += _repetitions(named)
    cuts += [(f.start, f.end) for name in _LEFT_OUT for f in named.get(name, ())]
    date, message_id = _first(named, "date"), _first(named, "message-id")
    valid_date = date is not None and is_valid_date(date.unfolded)
    valid_id = _valid_message_id(message_id.unfolded) if message_id else ""
    cuts += [(date.start, date.end)] if date and not valid_date else []
    cuts += [(message_id.start, message_id.end)] if message_id and not valid_id else []
    from_mailbox = _from(named.get("from", []))
    if not (smtputf8 or from_mailbox.address.is_ascii):
        text = "The From address is not ASCII: SMTPUTF8 must be given with MAIL FROM."
        raise _refused(550, "5.6.7", text)  # RFC 6531 §3.5
    subject, auto = _first(named, "subject"), _first(named, "auto-submitted")
    return SubmittedHead(
        from_mailbox=from_mailbox,
        sender_mailbox=_mailbox(sender) if (sender := _first(named, "sender")) else None,
        header_from=str(from_mailbox)[:_SHOWN],
        subject=decode_words(subject.unfolded[:_READ])[:_SHOWN].strip() if subject else "",
        message_id=valid_id,
        has_valid_date=valid_date,
        cuts=_merged(cuts),
        received_count=received,
        has_eight_bit=not head.isascii(),
        auto_submitted=auto.unfolded[:_SHOWN].partition(";")[0].strip().lower() if auto else "",
        shown=(*named.get("to", ()), *named.get("cc", ())),
        fields=fields,
    )


def _refused(code: int, enhanced: str, text: str) -> RefusedError:
    return RefusedError(Reply.of(code, enhanced, text))


def _check_size(head: bytes) -> None:
    if len(head) > MAX_HEAD_OCTETS:
        raise RefusedError(HEAD_TOO_LARGE)
    check_count(head)
    if b"\0" in head:
        raise _refused(550, "5.6.0", "The message's header holds a NUL octet.")


def check_count(head: bytes) -> None:
    """A bound on the fields of a head, before any object is made of it.

    Raises:
        RefusedError: it has more than 10,000.
    """
    lines = head.count(b"\n")
    if lines > MAX_FIELDS and lines - head.count(b"\n ") - head.count(b"\n\t") > MAX_FIELDS + 1:
        text = f"The message has more than {MAX_FIELDS:,} header fields."
        raise _refused(550, "5.6.0", text)


def _mbox_line(fields: tuple[HeaderField, ...]) -> list[tuple[int, int]]:
    """Spans of lines that are no fields and can be left out; the others refuse the message."""
    spans = []
    for number, field in enumerate(fields, 1):
        if number == 1 and not field.name and field.value.startswith((b"From ", b">From ")):
            spans.append((field.start, field.end))
        elif not field.name:
            text = (
                "The message has no header: its first line is no header field (name: value)."
                if number == 1
                else f"Header field {number} has no name and colon; "
                "an empty line must stand between header and body."
            )
            raise _refused(550, "5.6.0", text)
        elif len(field.name) > MAX_NAME_OCTETS:
            text = f"The name of header field {number} is longer than {MAX_NAME_OCTETS} octets."
            raise _refused(550, "5.6.0", text)
    return spans


def _repetitions(named: dict[str, list[HeaderField]]) -> list[tuple[int, int]]:
    spans = []
    for name in SINGLE:
        present = named.get(name)
        if present is None or len(present) == 1:
            continue
        for field in present[1:]:
            if name == "from" or field.value.split() != present[0].value.split():
                text = f"The message has {len(present)} {field.name} header fields; one is allowed."
                raise _refused(550, "5.6.0", text)
            spans.append((field.start, field.end))
    return spans


def _from(fields: list[HeaderField]) -> Mailbox:
    if not fields:
        text = "The message has no From header field; exactly one with one address is needed."
        raise _refused(550, "5.6.0", text)
    return _mailbox(fields[0])


def _mailbox(field: HeaderField) -> Mailbox:
    try:
        return single_mailbox(field.unfolded)
    except AddressError as error:
        name = field.name.capitalize()
        text = f"The {name} header field must hold exactly one plain address: {error}"
        raise _refused(550, "5.6.0", text) from error


def _first(named: dict[str, list[HeaderField]], name: str) -> HeaderField | None:
    found = named.get(name)
    return found[0] if found else None


def _valid_message_id(value: str) -> str:
    """`value` without a comment behind it, where it is one Message-ID (RFC 5322 §3.6.4), or ""."""
    if len(value) > _MAX_MESSAGE_ID:
        return ""
    identifier = _COMMENT_AFTER.sub("", value).strip()
    return identifier if _MESSAGE_ID.fullmatch(identifier) and identifier.isprintable() else ""


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The spans in order, each once, touching ones joined."""
    ordered = sorted(set(spans))
    joined: list[tuple[int, int]] = ordered[:1]
    for (_, end), span in pairwise(ordered):
        if span[0] <= end:
            joined[-1] = (joined[-1][0], span[1])
        else:
            joined.append(span)
    return tuple(joined)
