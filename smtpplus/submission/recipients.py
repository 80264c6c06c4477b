"""Who gets a message: the envelope's recipients, or those that its control headers name instead.

Guarantees: a recipient from a header passes what one of RCPT passes; the order is that of the
envelope, or of the header; the same address twice in a header is two mails, as it may have other
fields. Names are those the message says, else those of its To and Cc. Raises `RefusedError`, and
then nobody gets it. Does not look into the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from smtpplus.message.headers import HeaderField
from smtpplus.message.mailboxes import addresses
from smtpplus.rules.admission import refuse_recipient
from smtpplus.values.envelope import Envelope, EnvelopeRecipient
from smtpplus.values.errors import AddressError, RefusedError
from smtpplus.values.options import NOTHING_SAID, Options, RecipientOptions
from smtpplus.values.reply import Reply

__all__ = ["Addressed", "addressed", "names_in"]

_NAMELESS: Mapping[str, str] = {}
_NO_FIELDS: Mapping[str, str] = {}
_PLAIN = re.compile(  # one mailbox of a list, as nearly all are written
    r' *+(?:(?:"([^"\\=]*+)" *+|([^"\\<>@,;:()\[\]=]*+))<([A-Za-z0-9_+.\-]++@[A-Za-z0-9.\-]++)>'
    r"|[A-Za-z0-9_+.\-]++@[A-Za-z0-9.\-]++) *+(,|\Z)"
)
_ALONE = re.compile(  # the whole field is one, in ASCII
    rb' *+(?:(?:"([ !#-<>-\[\]-~]*+)" *+|([ !#-\'*+\--9/?A-Z^-~]*+))<'
    rb"([A-Za-z0-9_+.\-]++@[A-Za-z0-9.\-]++)>|[A-Za-z0-9_+.\-]++@[A-Za-z0-9.\-]++) *+"
)
_MAX_NAME = 200  # characters


class Addressed(NamedTuple):
    """One mail that a message is to become. `send_at` None: with the others."""

    recipient: EnvelopeRecipient
    name: str = ""
    fields: Mapping[str, str] = _NO_FIELDS
    send_at: float | None = None


def addressed(
    envelope: Envelope, options: Options, names: Mapping[str, str], *, most: int, hostname: str
) -> Sequence[Addressed]:
    """The mails of a message.

    Args:
        envelope: what MAIL and RCPT said.
        options: what the message says.
        names: by `Address.key`, from its header (`names_in`).
        most: recipients that header fields may name.
        hostname: our own, always a domain in order.

    Raises:
        RefusedError: too many, or one that no mail can go to; the reply names it.
    """
    given = envelope.recipients
    if options is NOTHING_SAID:
        if not names:
            return [Addressed(one) for one in given]
        return [Addressed(one, names.get(one.address.key, "")) for one in given]
    if options.replaces_envelope:
        known = {one.address.key: one for one in given}
        asked: Iterable[RecipientOptions] = options.recipients
        found = [_mail(one, known, names) for one in asked]
        new: Sequence[RecipientOptions] = options.recipients
    else:
        said = options.by_key()
        found = [_with(one, said.get(one.address.key), names) for one in given]
        new = ()
    there = {one.recipient.address.key for one in found}
    extra = [one for one in options.extra_recipients if one.address.key not in there]
    found += [_mail(one, {}, names) for one in extra]
    _check([*new, *extra], envelope, most, hostname)
    if not found:
        raise RefusedError(Reply.of(554, "5.5.1", "The message names no recipient"))
    return found


def names_in(fields: Sequence[HeaderField]) -> Mapping[str, str]:
    """The display names in To and Cc, by `Address.key`; of a field that cannot be read, none."""
    if len(fields) == 1:
        alone = _ALONE.fullmatch(fields[0].value)
        if alone is not None:
            quoted, plain, address = alone.groups()
            name = (quoted or plain or b"").decode().strip()
            return {address.decode().lower(): name[:_MAX_NAME]} if name else _NAMELESS
    names: dict[str, str] = {}
    for one in fields:
        if b"<" in one.value or b"(" in one.value:  # else addresses alone
            _add_names(one.unfolded.replace("\t", " "), names)
    return names


def _add_names(value: str, names: dict[str, str]) -> None:
    found: dict[str, str] = {}
    position, mark = 0, ","
    while mark:
        match = _PLAIN.match(value, position)
        if match is None:
            break
        quoted, plain, address, mark = match.groups()
        name = quoted or plain
        if name:
            found[address.lower()] = name.strip()
        position = match.end()
    if mark or not value.isprintable():
        try:
            found = {one.address.key: one.display_name for one in addresses(value)}
        except AddressError:
            return
    for key, name in found.items():
        if name:
            names.setdefault(key, name[:_MAX_NAME])


def _mail(
    asked: RecipientOptions, known: Mapping[str, EnvelopeRecipient], names: Mapping[str, str]
) -> Addressed:
    key = asked.address.key
    recipient = known.get(key) or EnvelopeRecipient(asked.address)
    return Addressed(recipient, asked.name or names.get(key, ""), asked.fields, asked.send_at)


def _with(
    recipient: EnvelopeRecipient, said: RecipientOptions | None, names: Mapping[str, str]
) -> Addressed:
    name = names.get(recipient.address.key, "")
    if said is None:
        return Addressed(recipient, name)
    return Addressed(recipient, said.name or name, said.fields, said.send_at)


def _check(asked: Sequence[RecipientOptions], envelope: Envelope, most: int, hostname: str) -> None:
    """What RCPT would have said of those that it did not see."""
    if len(asked) > most:
        text = f"The header names {len(asked):,} recipients, at most {most:,} are taken"
        raise RefusedError(Reply.of(550, "5.5.3", text))
    for one in asked:
        refusal = refuse_recipient(one.address, hostname)
        if refusal is not None:
            raise RefusedError(refusal)
        if not (one.address.is_ascii or envelope.smtputf8):  # RFC 6531 §3.5
            text = "The header names a recipient in UTF-8: it needs SMTPUTF8 with MAIL"
            raise RefusedError(Reply.of(553, "5.6.7", text))
