"""What people do to waiting deliveries, and which of them they mean."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["QueueChange", "Selection"]


class QueueChange(enum.StrEnum):
    """A change to deliveries that wait."""

    HOLD = "hold"  # queued → held: not tried until released
    RELEASE = "release"  # held → queued, due now, or at its time of sending
    CANCEL = "cancel"  # queued or held → cancelled, for good
    FLUSH = "flush"  # queued: due now, but for what is scheduled


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which waiting deliveries: all that meet every condition given; at least one is needed.

    `ids` are those of deliveries or of messages. `domain` is the recipient's, in lower-case
    A-labels. `account_id` narrows the others to one account. `everything` is said by name, so
    that an empty selection never means the whole queue. `scheduled`: flushing sends also what
    waits for its time of sending, or for the end of its recall window; only of deliveries and
    messages that are named.
    """

    ids: tuple[int, ...] = ()
    domain: str = ""
    user_id: int | None = None
    account_id: int | None = None
    everything: bool = False
    scheduled: bool = False

    def __post_init__(self) -> None:
        if not (self.ids or self.domain or self.user_id is not None or self.everything):
            raise ValueError("a selection names ids, a domain, a user or everything")
        if self.scheduled and not self.ids:
            raise ValueError("what is scheduled is flushed by its ids")
