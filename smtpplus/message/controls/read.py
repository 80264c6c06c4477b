"""The control headers of a message: found, read, and marked to be left out.

Guarantees: what any dialect knows as a control is left out, also what is ignored, also a
misspelt one; traces that services leave in mail they delivered are no controls and stay. Pure
and bounded. Raises `ControlsError` (550 5.6.0, header and key named). The caller makes sure
that the message is an authenticated user's.

Dialects, in the order of their precedence where a message speaks several: our own, MailUp and
SendGrid (X-SMTPAPI), Mandrill, Mailgun, Postmark, Amazon SES, SparkPost, Postal, Cuttlefish,
SMTPeter, MailerQ, ZoneMTA, KumoMTA. How they are united: `smtpplus.message.controls.draft`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from smtpplus.message.controls import (
    mailgun,
    mandrill,
    own,
    postmark,
    ses,
    smaller,
    sparkpost,
    x_smtpapi,
)
from smtpplus.message.controls.draft import Draft
from smtpplus.message.headers import BOM, HeaderField, parse_head
from smtpplus.values.address import Address
from smtpplus.values.options import Options

__all__ = ["Controls", "control_spans", "may_have_controls", "read_controls"]

_NOTHING = Options()
_Read = Callable[[Iterable[HeaderField], Draft], list[str] | None]

# What stands between the first and the second hyphen tells the dialect; in this order they are
# asked. X-SMTPAPI names its dialects itself.
_DIALECTS: tuple[tuple[str, tuple[str, ...], _Read], ...] = (
    ("X-SMTPPlus", ("smtpplus", "idempotency"), own.read),
    ("", ("smtpapi",), x_smtpapi.read),
    ("Mandrill", ("mc",), mandrill.read),
    ("Mailgun", ("mailgun",), mailgun.read),
    ("Postmark", ("pm",), postmark.read),
    ("Amazon SES", ("ses",), ses.read),
    ("SparkPost", ("msys",), sparkpost.read),
    ("Postal", ("postal", "amp"), smaller.read_postal),
    ("Cuttlefish", ("cuttlefish",), smaller.read_cuttlefish),
    ("SMTPeter", ("smtpeter",), smaller.read_smtpeter),
    ("MailerQ", ("mq",), smaller.read_mailerq),
    ("ZoneMTA", ("sending",), smaller.read_zonemta),
    ("KumoMTA", ("schedule",), smaller.read_kumomta),
)
_PLACE = {word: place for place, (_, words, _) in enumerate(_DIALECTS) for word in words}
# Families of which only these are controls; of the others every name is.
_EXACT = {
    "smtpapi": frozenset({"x-smtpapi"}),
    "idempotency": frozenset({"x-idempotency-key"}),
    "msys": frozenset({"x-msys-api"}),
    "postal": frozenset({"x-postal-tag"}),
    "sending": frozenset({"x-sending-zone"}),
}
_BY_VALUE = {"amp": ("x-amp", smaller.is_skip), "schedule": ("x-schedule", smaller.is_schedule)}
_TRACES = frozenset(
    {
        "x-mc-user",
        "x-mailgun-sid",
        "x-mailgun-incoming",
        "x-mailgun-sflag",
        "x-mailgun-sscore",
        "x-mailgun-spf",
        "x-mailgun-dkim-check-result",
        "x-pm-message-id",
        "x-pm-rcpt",
        "x-ses-dkim-signature",
        "x-ses-outgoing",
        "x-ses-receipt",
        "x-ses-spam-verdict",
        "x-ses-virus-verdict",
    }
)
_ANY = re.compile(
    rb"\n[Xx]-(?:%s)"  # begins with one letter: searched for at the speed of memchr
    % b"|".join(
        b"".join(b"[%c%c]" % (letter, letter - 32) for letter in word.encode())
        for word in sorted(_PLACE)
    )
)
_AFTER_CR = re.compile(rb"\r[Xx]-")
_FIRST = frozenset({b"X-", b"x-"})


@dataclass(frozen=True, slots=True)
class Controls:
    """What the control headers say. `cuts` are octet spans of the head, in order.

    `dialects` names those that the message speaks, for its page and for counting.
    """

    options: Options = _NOTHING
    cuts: tuple[tuple[int, int], ...] = ()
    dialects: tuple[str, ...] = ()


_NONE = Controls()


def may_have_controls(head: bytes) -> bool:
    """A quick look: False where no control header can be in `head`."""
    return (
        _ANY.search(head) is not None
        or head.removeprefix(BOM)[:2] in _FIRST  # nothing before it that could be searched for
        or _AFTER_CR.search(head) is not None
    )


def control_spans(head: bytes) -> tuple[tuple[int, int], ...]:
    """What `Controls.cuts` will be, found without reading what the headers say."""
    if not may_have_controls(head):
        return ()
    fields = parse_head(head)
    return tuple((field.start, field.end) for field in fields if _dialect(field) is not None)


def read_controls(
    head: bytes,
    fields: Sequence[HeaderField] | None = None,
    envelope: Sequence[Address | None] = (),
) -> Controls:
    """What a submitted head asks for.

    Args:
        head: octets up to and with the first empty line.
        fields: its fields, where they are known already.
        envelope: the addresses of the RCPT commands in their order, for a dialect that counts
            recipients by their place; None for one that names no recipient.

    Raises:
        ControlsError: a control header cannot be read; the reply names it.
    """
    if not may_have_controls(head):
        return _NONE
    found: list[list[HeaderField]] = [[] for _ in _DIALECTS]
    cuts: list[tuple[int, int]] = []
    for field in parse_head(head) if fields is None else fields:
        place = _dialect(field)
        if place is not None:
            found[place].append(field)
            cuts.append((field.start, field.end))
    if not cuts:
        return _NONE
    draft = Draft(envelope)
    spoken: list[str] = []
    for (name, _, read), own_fields in zip(_DIALECTS, found, strict=True):
        if own_fields:
            spoken += read(own_fields, draft) or filter(None, (name,))
    return Controls(draft.options(), tuple(cuts), tuple(spoken))


def _dialect(field: HeaderField) -> int | None:
    """Whose control header it is, as a place in the table."""
    name = field.lower
    if not name.startswith("x-"):
        return None
    word = name[2:].partition("-")[0]
    place = _PLACE.get(word)
    if place is None or name in _TRACES:
        return None
    if word in _BY_VALUE:
        known, is_control = _BY_VALUE[word]
        return place if name == known and is_control(field) else None
    if word in _EXACT:
        return place if name in _EXACT[word] else None
    return place if len(name) > len(word) + 3 else None
