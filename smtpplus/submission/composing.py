"""From a submitted head to the message and its deliveries, as they will be queued.

`Composer.look` reads the head and its control headers, `settle` what they ask for; between that
and `compose` the caller finds out who is suppressed. Guarantees: control headers are out of the
content when `settle` returns; what one recipient alone is told stands in its delivery, not in the
message's options. Raises `RefusedError`, where the message may not be taken; nothing was kept then.
Pure but for the ids it takes: it knows neither store nor relay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from smtpplus.message.controls import may_have_controls, read_controls
from smtpplus.message.headers import cut_spans
from smtpplus.message.submitted import SubmittedHead, check_count, examine
from smtpplus.message.trace import date_field, message_id_field, protocol, received
from smtpplus.rules.admission import SenderRights, refuse_header
from smtpplus.rules.effective import Effective
from smtpplus.rules.schedule import ends_at, held_until, level, priority
from smtpplus.rules.suppression import Suppressed
from smtpplus.submission.content import IncomingContent
from smtpplus.submission.duplicates import once
from smtpplus.submission.recipients import Addressed, addressed, names_in
from smtpplus.submission.schedule import Schedule, schedule
from smtpplus.submission.settled import SettledOptions, campaign
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope
from smtpplus.values.errors import RefusedError
from smtpplus.values.ids import IdSource
from smtpplus.values.message import EventType, Message, NewDelivery
from smtpplus.values.options import NOTHING_SAID, Options
from smtpplus.values.submission import MailList, SmtpUser

__all__ = ["Composed", "Composer", "ComposerSettings", "Looked", "Origin", "Reading"]

_SENT = ("", EventType.SUPPRESSED)
_DROPPED = (
    "A test by the message's own wish: accepted and counted, not delivered",
    EventType.CANCELLED,
)
_MOST_NAMED = 5  # recipients whose names are looked for in a subject
_MOST_PLACES = 10_000  # RCPT commands
_MAX_PERSONAL = 60  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposerSettings:
    """What the configuration says of messages."""

    hostname: str
    lifetime_seconds: float = 5 * 86_400.0
    show_client: bool = True
    max_header_recipients: int = 10_000
    pools: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sends a message, and how it came here."""

    user: SmtpUser
    mail_list: MailList
    rights: SenderRights
    client_ip: str
    hello: str
    extended: bool
    tls: str
    mechanism: str


class Looked(NamedTuple):
    """What a submission says. `envelope` names those who get it, `head` is as it is kept."""

    envelope: Envelope
    head: bytes
    known: SubmittedHead
    options: Options
    mails: Sequence[Addressed]
    cuts: tuple[tuple[int, int], ...]


class Reading(NamedTuple):
    """What a submission says, as in `Looked`, and what of it holds."""

    origin: Origin
    envelope: Envelope
    head: bytes
    known: SubmittedHead
    options: Options
    effective: Effective
    mails: Sequence[Addressed]


class Composed(NamedTuple):
    """What is to be queued; see `Accepted`."""

    message: Message
    deliveries: tuple[NewDelivery, ...]
    due_at: float
    once: str = ""
    once_until: float = 0.0


class Composer:
    """Makes messages of submissions."""

    def __init__(self, settings: ComposerSettings, ids: IdSource) -> None:
        self._settings = settings
        self._ids = ids
        self._settled = SettledOptions()

    def look(self, origin: Origin, envelope: Envelope, head: bytes) -> Looked:
        """What the submission says; `head` is its content's. May run in any thread.

        Raises:
            RefusedError: it cannot be taken; the reply says why.
        """
        head, options, cuts = _controls(envelope, head)
        if options.pool is not None and options.pool not in self._settings.pools:
            unknown = (*options.unknown, f"pool {options.pool}")
            options = replace(options, pool=None, unknown=unknown)
        known = examine(head, smtputf8=envelope.smtputf8)
        sender = known.sender_mailbox
        refusal = refuse_header(
            origin.rights, (known.from_mailbox.address,), sender.address if sender else None
        )
        if refusal is not None:
            raise RefusedError(refusal)
        mails = addressed(
            envelope,
            options,
            names_in(known.shown),
            most=self._settings.max_header_recipients,
            hostname=self._settings.hostname,
        )
        if options.replaces_envelope or options.extra_recipients:
            envelope = replace(
                envelope, recipients=tuple(one.recipient for one in mails), places=()
            )
        return Looked(envelope, head, known, options, mails, cuts)

    def settle(self, origin: Origin, looked: Looked, content: IncomingContent) -> Reading:
        """What of it holds; takes the control headers out of `content`."""
        envelope, head, known, options, mails, cuts = looked
        if cuts:
            content.leave_out(cuts)
        effective = self._settled.of(options, origin.user, origin.mail_list)
        return Reading(origin, envelope, head, known, options, effective, mails)

    def compose(
        self,
        reading: Reading,
        content: IncomingContent,
        suppressed: Mapping[str, Suppressed],
        now: float,
    ) -> Composed:
        """What is to be queued at `now`.

        Raises:
            RefusedError: its times cannot be kept.
        """
        effective = reading.effective
        times = self._times(reading, now)
        deliveries = self._deliveries(reading, times.own, suppressed, now)
        message = self._message(reading, content, now, times.expires_at)
        if not effective.duplicates and not effective.idempotency_key:
            return Composed(message, deliveries, times.due_at)
        name, seconds = once(
            user_id=reading.origin.user.id,
            key=effective.idempotency_key,
            window=effective.duplicates,
            message_id=reading.known.message_id,
            sender=reading.envelope.sender,
            recipients=[one.recipient.address for one in reading.mails],
        )
        if not name or _nobody_is_left(deliveries):
            seconds = 0.0  # of what goes to nobody: once it can, sending it anew is no duplicate
        return Composed(message, deliveries, times.due_at, name, now + seconds)

    def _deliveries(
        self,
        reading: Reading,
        own_times: Mapping[int, float],
        suppressed: Mapping[str, Suppressed],
        now: float,
    ) -> tuple[NewDelivery, ...]:
        new_id, mails = self._ids.next, reading.mails
        if not suppressed and not own_times and not reading.effective.drop:  # nearly always
            return tuple(
                [NewDelivery(new_id(now), one.recipient, one.name, one.fields) for one in mails]
            )
        otherwise = _DROPPED if reading.effective.drop else _SENT
        return tuple(
            [
                NewDelivery(
                    new_id(now),
                    one.recipient,
                    one.name,
                    one.fields,
                    own_times.get(place),
                    *_withheld(suppressed, one, otherwise),
                )
                for place, one in enumerate(mails)
            ]
        )

    def _times(self, reading: Reading, now: float) -> Schedule:
        effective, lifetime = reading.effective, self._settings.lifetime_seconds
        envelope = reading.envelope
        if reading.options is NOTHING_SAID and envelope.says_no_time:
            return Schedule(now + effective.recall, now + effective.recall + lifetime)
        earliest = max(now + effective.recall, held_until(envelope, now))
        ends = [end for end in (effective.expires_at, ends_at(envelope, now)) if end]
        return schedule(
            now,
            send_at=effective.send_at,
            recall=earliest - now,
            each_send_at=[one.send_at for one in reading.mails],
            expires_at=min(ends, default=0.0),
            expires_after=effective.expires_after,
            lifetime=lifetime,
        )

    def _message(
        self, reading: Reading, content: IncomingContent, now: float, expires_at: float
    ) -> Message:
        origin, known, effective = reading.origin, reading.known, reading.effective
        user, facts = origin.user, content.facts
        identifier = content.shown_id
        from_domain = known.from_mailbox.address.ascii_domain
        prepend = [self._received(origin, reading.envelope, identifier, now)]
        if not known.has_valid_date:
            prepend.append(date_field(now))
        if not known.message_id:  # RFC 6409 §8.3
            prepend.append(message_id_field(identifier, from_domain))
        learnt = origin.mail_list.learnt
        bucket = campaign(reading.options, user, effective, known, now, _personal(reading), learnt)
        return Message(
            id=content.message_id,
            account_id=user.account_id,
            list_id=user.list_id,
            user_id=user.id,
            received_at=now,
            expires_at=expires_at,
            envelope=reading.envelope,
            header_from=known.header_from,
            from_domain=from_domain,
            subject=known.subject,
            message_id=known.message_id or f"<{identifier}@{from_domain}>",
            octets=facts.octets,
            head_octets=len(reading.head),
            prepend=b"".join(prepend),
            cuts=known.cuts,
            eight_bit=facts.eight_bit,
            long_lines=facts.long_lines,
            utf8_head=not reading.head.isascii()
            and not cut_spans(reading.head, known.cuts).isascii(),  # Bcc asks nothing of a remote
            in_file=content.is_large,
            client_ip=origin.client_ip,
            hello=origin.hello,
            tls=origin.tls,
            mechanism=origin.mechanism,
            campaign=bucket.key,
            campaign_name=bucket.name,
            priority=priority(reading.envelope, reading.options, effective.priority),
            options=_of_message(reading, now),
            crc32=facts.crc32,
        )

    def _received(self, origin: Origin, envelope: Envelope, identifier: str, now: float) -> bytes:
        only = envelope.recipients[0].address.wire if len(envelope.recipients) == 1 else ""
        return received(
            hello=origin.hello,
            client_ip=origin.client_ip,
            host=self._settings.hostname,
            with_protocol=protocol(
                extended=origin.extended,
                tls=bool(origin.tls),
                # RFC 3848: by AUTH; an address in `networks` is no authentication of SMTP's
                authenticated=origin.mechanism not in {"", "network"},
                smtputf8=envelope.smtputf8,
            ),
            identifier=identifier,
            now=now,
            tls=origin.tls,
            recipient=only,
            show_client=self._settings.show_client,
        )


def _controls(
    envelope: Envelope, head: bytes
) -> tuple[bytes, Options, tuple[tuple[int, int], ...]]:
    """The head as it is kept, what its control headers said, and where they stand."""
    if not may_have_controls(head):
        return head, NOTHING_SAID, ()
    check_count(head)
    controls = read_controls(head, None, _by_place(envelope))
    if not controls.cuts:
        return head, NOTHING_SAID, ()
    return cut_spans(head, controls.cuts), controls.options, controls.cuts


def _by_place(envelope: Envelope) -> Sequence[Address | None]:
    """Whom each RCPT command named; None where it was refused, or named somebody again."""
    addresses = [one.address for one in envelope.recipients]
    if not envelope.places:
        return addresses
    if envelope.places[-1] >= _MOST_PLACES:
        return ()
    found: list[Address | None] = [None] * (envelope.places[-1] + 1)
    for place, address in zip(envelope.places, addresses, strict=True):
        found[place] = address
    return found


def _of_message(reading: Reading, now: float) -> Options:
    """What is kept with the message, what MAIL said with it.

    What concerns one recipient stands in its delivery.
    """
    options, effective = reading.options, reading.effective
    envelope = reading.envelope
    if options is NOTHING_SAID and envelope.mt_priority is None and envelope.says_no_time:
        return options
    if options.priority is None and envelope.mt_priority is not None:
        options = replace(options, priority=level(envelope.mt_priority))
    held_to = held_until(envelope, now)
    if held_to > max(now, options.send_at or 0.0):
        options = replace(options, send_at=held_to)
    if options is NOTHING_SAID:
        return options
    return replace(
        options, recipients=(), extra_recipients=(), merge=tuple(sorted(effective.merge))
    )


def _withheld(
    suppressed: Mapping[str, Suppressed], mail: Addressed, otherwise: tuple[str, EventType]
) -> tuple[str, EventType]:
    """Why this mail is not sent ("": it is), and the event that tells of it."""
    found = suppressed.get(mail.recipient.address.key) if suppressed else None
    return otherwise if found is None else (found.text, EventType.SUPPRESSED)


def _nobody_is_left(deliveries: Sequence[NewDelivery]) -> bool:
    """Is everybody suppressed? A test goes to nobody, too, but is what it was wanted to be."""
    return all(one.withheld and one.withheld_as is EventType.SUPPRESSED for one in deliveries)


def _personal(reading: Reading) -> tuple[str, ...]:
    """What of a subject may be the recipient's own."""
    if reading.effective.aggregation != "dynamic-subject":
        return ()
    words = [*reading.options.fields.values()]
    for mail in reading.mails[:_MOST_NAMED]:
        words += [mail.name, *mail.fields.values()]
    return tuple(word for word in words if 1 < len(word) <= _MAX_PERSONAL)
