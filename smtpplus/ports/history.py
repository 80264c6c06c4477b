"""What has happened and what waits, read for pages, command line and API."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from zope.interface import Interface

from smtpplus.values.message import DeliveryState, Event, Message
from smtpplus.values.outcome import Attempt, Outcome

__all__ = ["AttemptRow", "DeliveryRow", "IHistory", "MessageRow", "QueueRow"]


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as a table shows it; `states` counts its deliveries by state."""

    message: Message
    username: str
    list_name: str
    states: dict[DeliveryState, int]
    first_recipient: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as the message's page shows it."""

    id: int
    message_id: int
    address: str
    state: DeliveryState
    attempts: int
    due_at: float | None
    settled_at: float | None
    last_outcome: Outcome | None
    name: str = ""
    withheld: str = ""  # why it was never to be mailed
    provider: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt as the message's page shows it."""

    delivery_id: int
    attempt: Attempt
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A waiting delivery as the queue page shows it."""

    delivery_id: int
    message_id: int
    address: str
    domain: str
    sender: str
    subject: str
    state: DeliveryState
    attempts: int
    due_at: float
    queued_at: float
    leased: bool
    last_reply: str

    def is_scheduled(self, now: float) -> bool:
        """Is its time of sending, or the end of its recall window, still to come?"""
        return not self.attempts and not self.leased and self.due_at > now


class IHistory(Interface):
    """Reads for pages, CLI and API. `account_id` None sees all accounts. Never locks writers."""

    async def messages(
        account_id: int | None,
        search: str,
        user_id: int | None,
        state: DeliveryState | None,
        before: int | None,
        most: int,
        down_to: int | None = None,
    ) -> Sequence[MessageRow]:
        """Newest first, ids below `before`, none below `down_to`.

        `search` finds an id, an address, or words of subject, sender and recipient.
        """

    async def reach(
        account_id: int | None,
        search: str,
        user_id: int | None,
        state: DeliveryState | None,
        before: int | None,
    ) -> int | None:
        """Down to which id `messages` of these can be found while somebody waits; None: all.

        What no index knows (words, a state of one user's messages) is looked for in one message
        after the other, and some thousands of them are looked through.
        """

    async def last_times(user_ids: Collection[int]) -> Mapping[int, float]:
        """When the newest message of each of these SMTP users came; without those who have none."""

    async def message(account_id: int | None, message_id: int) -> MessageRow | None:
        """One message."""

    async def deliveries(
        message_id: int, after: int | None = None, most: int | None = None
    ) -> Sequence[DeliveryRow]:
        """Its deliveries, in the order of the recipients; ids above `after`, at most `most`."""

    async def attempts(
        message_id: int, most: int, of: Collection[int] | None = None
    ) -> Sequence[AttemptRow]:
        """Its attempts, oldest first; with `of` those of these deliveries (a page of them)."""

    async def events(
        message_id: int, most: int, of: Collection[int] | None = None
    ) -> Sequence[Event]:
        """Its events, oldest first; with `of` the message's own and those of these deliveries."""

    async def queue(
        account_id: int | None, search: str, after: int | None, most: int
    ) -> Sequence[QueueRow]:
        """Waiting deliveries, next due first (ids above `after` where the due time is equal)."""

    async def queue_size(account_id: int | None) -> dict[DeliveryState, int]:
        """How many wait, by state."""

    async def queue_ages(ages: Sequence[float], now: float) -> dict[DeliveryState, Sequence[int]]:
        """How many wait, by state and by the time since they were accepted.

        One number for those younger than each of `ages`, seconds, and not than the one before it;
        a last one for those that are older than all.
        """

    async def counted(metric: str, since: float) -> Mapping[int, int]:
        """How many of one metric, by hour (its start, Unix time), from that of `since` on."""

    async def counters(
        account_id: int | None, since: float, until: float, step: float
    ) -> dict[str, list[int]]:
        """Per metric one number per `step` seconds (a multiple of 3,600).

        A metric is an `EventType` value. Those of opens and clicks count what persons did;
        beside them are ``opened once`` and ``clicked once`` (deliveries, each counted once) and
        what others did, by their class: ``opened privacy_proxy``, ``clicked scanner`` …
        ``anonymous opens`` are those of privacy mode, which ``opened once`` cannot count.
        """

    async def totals(
        account_id: int | None, since: float, until: float, by: str
    ) -> Sequence[tuple[str, dict[str, int]]]:
        """Sums per metric, largest first; days newest first.

        Grouped `by` ``user``, ``list``, ``day``, ``campaign`` (its name as it is now; what was
        merged is counted with what it was merged into) or ``provider`` (whose servers an attempt
        spoke to; what was not attempted stands under ``(none)``, and with it all
        that is counted before: ``accepted`` and ``messages``).
        """
