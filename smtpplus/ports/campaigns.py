"""Campaigns: the buckets that messages are counted in, as people see, name and merge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zope.interface import Interface

__all__ = ["CampaignRow", "ICampaigns", "LinkRow"]


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign of a list. Its messages carry `key`; `name` is what people call it.

    Times are Unix seconds of the first and (within a minute) the last message, `totals` sums per
    metric over all time: those of campaigns merged into it are among both. `merged_into` is the
    key of the campaign that this one is counted in, "" where it stands for itself.
    """

    account_id: int
    list_id: int
    list_name: str
    key: str
    name: str
    first_at: float
    last_at: float
    merged_into: str = ""
    totals: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link of a campaign: clicks by persons, and by everything else."""

    target: str
    persons: int
    others: int


class ICampaigns(Interface):
    """Campaigns are made by the messages that are counted in them.

    `account_id` None sees all accounts. What is merged or renamed is so from now on in every
    sum: counters keep the key a message came with.
    """

    async def campaigns(
        account_id: int | None, search: str, skip: int, most: int
    ) -> Sequence[CampaignRow]:
        """Those that stand for themselves, by the last message, newest first.

        `search` is part of a name or key.
        """

    async def campaign(account_id: int | None, list_id: int, key: str) -> CampaignRow | None:
        """One campaign, merged or not."""

    async def series(
        list_id: int, key: str, since: float, until: float, step: float
    ) -> dict[str, list[int]]:
        """Per metric one number per `step` seconds, as `IHistory.counters` has them.

        What was merged into the campaign is among them.
        """

    async def links(list_id: int, key: str, most: int) -> Sequence[LinkRow]:
        """Its clicked links, those clicked by most persons first."""

    async def others(list_id: int, key: str, most: int) -> Sequence[CampaignRow]:
        """What a campaign of this list may be merged into, newest first, without totals."""

    async def merged(list_id: int, key: str) -> Sequence[CampaignRow]:
        """What was merged into this one; without totals."""

    async def rename(account_id: int | None, list_id: int, key: str, name: str) -> CampaignRow:
        """Call it `name`.

        Raises:
            NotFoundError: there is no such campaign.
            UsageError: the name is empty or too long.
        """

    async def merge(account_id: int | None, list_id: int, key: str, into: str) -> CampaignRow:
        """Count it in the campaign of key `into` of the same list; "" lets it stand again.

        What had been merged into it follows. Answers the campaign it is counted in.

        Raises:
            NotFoundError: there is no such campaign, or none of key `into`.
            UsageError: a campaign cannot be merged into itself.
        """
