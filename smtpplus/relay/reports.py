"""A DSN as a message of our own: to the envelope sender, from the null reverse path.

RFC 3461 §5.2, RFC 3464; DS1, DR1 to DR4, AS1. Guarantees: never about a message that has no
sender; returns headers only, or the whole of a small message where RET=FULL asked for it.
A content that is gone or corrupt is left out of the report, which is sent all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from smtpplus.message.dsn import Report, ReportedRecipient, build
from smtpplus.message.headers import head_length
from smtpplus.ports import IClock, IContents
from smtpplus.rules.reports import Told
from smtpplus.rules.schedule import became_late, deliver_by_at, returns_at_expiry
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient, Notify, Ret
from smtpplus.values.errors import (
    CorruptContentError,
    NotFoundError,
    StoreBrokenError,
    StoreUnavailableError,
)
from smtpplus.values.ids import IdSource, show_id
from smtpplus.values.message import Accepted, DeliveryState, Message, NewDelivery, Settlement
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["Reporter"]

_MOST_RETURNED = 50 * 1024  # octets of a message returned in full (A8)
_EXPIRED = EnhancedCode(4, 4, 7)  # RFC 3463 §3.5: delivery time expired
_EXPIRED_AS_WISHED = EnhancedCode(5, 4, 7)  # RFC 2852 §4


def _expired(message: Message) -> EnhancedCode:
    return _EXPIRED_AS_WISHED if returns_at_expiry(message) else _EXPIRED


class Reporter:
    """Writes the reports of one installation.

    Args:
        hostname: Reporting-MTA, and the domain of MAILER-DAEMON.
        lifetime_seconds: how long a report itself is tried.
        ids: where ids come from.
    """

    def __init__(
        self,
        *,
        clock: IClock,
        contents: IContents,
        ids: IdSource,
        hostname: str,
        lifetime_seconds: float,
    ) -> None:
        self._clock = clock
        self._contents = contents
        self._ids = ids
        self._hostname = hostname
        self._lifetime_seconds = lifetime_seconds

    async def report(
        self, told: Told, settlements: Sequence[Settlement], *, leased: bool
    ) -> Accepted:
        """The report of `told` about these deliveries of one message."""
        message = settlements[0].delivery.message
        sender = message.envelope.sender
        assert sender is not None  # rules.reports refuses to report on a report
        now = self._clock.now()
        new_id = self._ids.next(now)
        head, content = await self._original(message, told)
        message_id = f"{show_id(new_id)}@{self._hostname}"
        octets = build(
            Report(
                reporting_mta=self._hostname,
                sender=sender,
                message_id=message_id,
                now=now,
                arrived_at=message.received_at,
                envid=message.envelope.envid,
                recipients=tuple(self._recipient(told, one) for one in settlements),
                original_head=head,
                original_content=content,
                subject=message.subject,
                deliver_by_at=deliver_by_at(message),
            )
        )
        return Accepted(
            message=self._message(message, sender, new_id, message_id, octets, now),
            deliveries=(
                NewDelivery(
                    self._ids.next(now),
                    EnvelopeRecipient(sender, notify=frozenset({Notify.NEVER})),
                ),
            ),
            content=octets,
            leased=leased,
            due_at=now,
            reports_on=message.id,
        )

    def _recipient(self, told: Told, settlement: Settlement) -> ReportedRecipient:
        outcome, message = settlement.outcome, settlement.delivery.message
        expired = settlement.state is DeliveryState.EXPIRED
        delayed, handed_on = told is Told.DELAYED, told in {Told.RELAYED, Told.LATE}
        late = handed_on and became_late(message, settlement.at)
        return ReportedRecipient(
            recipient=settlement.delivery.recipient,
            action=told.action,
            status=_expired(message) if expired else outcome.status,
            diagnostic=str(outcome.reply) if outcome.reply else "",
            text=outcome.text,
            remote_mta=settlement.attempt.host if settlement.attempt else "",
            last_attempt_at=settlement.at,
            will_retry_until=message.expires_at if delayed else None,
            late_since=deliver_by_at(message) if late else None,
        )

    async def _original(self, message: Message, told: Told) -> tuple[bytes, bytes | None]:
        """The head, and the whole where it is to be returned."""
        try:
            head = await self._contents.head(message)
            full = message.envelope.ret is Ret.FULL and told is Told.FAILED  # RFC 3461 §4.3
            full = full and message.octets <= _MOST_RETURNED
            return head, await self._contents.read(message) if full else None
        except (CorruptContentError, NotFoundError, StoreBrokenError, StoreUnavailableError):
            return b"", None

    def _message(
        self,
        about: Message,
        sender: Address,
        new_id: int,
        message_id: str,
        octets: bytes,
        now: float,
    ) -> Message:
        return Message(
            id=new_id,
            account_id=about.account_id,
            list_id=about.list_id,
            user_id=about.user_id,
            received_at=now,
            expires_at=now + self._lifetime_seconds,
            envelope=Envelope(
                sender=None, recipients=(EnvelopeRecipient(sender),), smtputf8=not sender.is_ascii
            ),
            header_from=f"Mail Delivery System <MAILER-DAEMON@{self._hostname}>",
            from_domain=self._hostname,
            subject="Undelivered mail",
            message_id=f"<{message_id}>",
            octets=len(octets),
            head_octets=head_length(octets) or len(octets),
            prepend=b"",
            eight_bit=not octets.isascii(),
            utf8_head=not sender.is_ascii,
            crc32=zlib.crc32(octets),
        )
