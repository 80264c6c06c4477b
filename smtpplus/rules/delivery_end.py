"""What the end of a delivery says about its address: the step before `rules.soft_bounces`.

A first, cautious reading of our own transactions: hard is only what says that the mailbox does
not exist (P7). Policy, reputation, size and our own trouble say nothing about the address. What
other systems' reports mean is a matter of its own.

Guarantees: pure. Raises nothing.
"""

from __future__ import annotations

from smtpplus.rules.soft_bounces import DeliveryEnd
from smtpplus.values.message import DeliveryState
from smtpplus.values.outcome import Outcome, Stage

__all__ = ["delivery_end"]

# RFC 3463 §3.2: no such mailbox, bad syntax, moved; RFC 7505 §4: the domain takes no mail.
_HARD = {(1, 1), (1, 3), (1, 6), (1, 10)}
_FULL = {(2, 2)}  # RFC 3463 §3.3
_OF_ADDRESS = {1, 2}  # RFC 3463 §2: the subjects "addressing" and "mailbox"
_UNTOLD = {Stage.RENDER, Stage.AUTH, Stage.STARTTLS, Stage.MAIL}  # it was not about the address


def delivery_end(state: DeliveryState, outcome: Outcome) -> DeliveryEnd:
    """What a final `state` with this outcome says."""
    if state is DeliveryState.DELIVERED:
        return DeliveryEnd.DELIVERED
    if state is DeliveryState.CANCELLED or outcome.stage in _UNTOLD:
        return DeliveryEnd.NEUTRAL
    said = (outcome.status.subject, outcome.status.detail)
    if said in _FULL:
        return DeliveryEnd.FULL
    if state is DeliveryState.EXPIRED:
        # Days of trying: the host was away, or it always said "later".
        return DeliveryEnd.NEUTRAL if outcome.status.subject == 7 else DeliveryEnd.SOFT
    if said in _HARD and outcome.status.klass == 5:
        return DeliveryEnd.HARD
    return DeliveryEnd.SOFT if outcome.status.subject in _OF_ADDRESS else DeliveryEnd.NEUTRAL
