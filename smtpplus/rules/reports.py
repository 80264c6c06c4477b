"""Is the sender to be told what became of a recipient (RFC 3461 §4.1, §5.2; DS2, DR2, A9)?"""

from __future__ import annotations

import enum

from smtpplus.values.envelope import Envelope, EnvelopeRecipient, Notify

__all__ = ["Told", "is_traced", "wants_report"]


class Told(enum.Enum):
    """What a DSN would say; `action` is RFC 3464 §2.3.3's."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"  # handed to a system that reports no success itself
    LATE = "late"  # handed on after the time by which BY= wanted it there

    @property
    def action(self) -> str:
        """Its name in the report."""
        return Told.RELAYED.value if self is Told.LATE else self.value


_CONDITION = {
    Told.FAILED: Notify.FAILURE,
    Told.DELAYED: Notify.DELAY,
    Told.RELAYED: Notify.SUCCESS,
    Told.LATE: Notify.DELAY,
}


def is_traced(envelope: Envelope) -> bool:
    """Does BY= ask for a report of each relay (RFC 2852 §4)?"""
    return envelope.deliver_by is not None and envelope.deliver_by.trace


def wants_report(envelope: Envelope, recipient: EnvelopeRecipient, told: Told) -> bool:
    """Does the sender want it? Without NOTIFY: failures and delays, no successes.

    A message with the null reverse path is itself a report: nothing is ever told about it.
    """
    if envelope.sender is None:
        return False
    if (
        told is Told.RELAYED
        and is_traced(envelope)
        and recipient.notify != frozenset({Notify.NEVER})
    ):
        return True
    if recipient.notify is None:
        return told is not Told.RELAYED
    return _CONDITION[told] in recipient.notify
