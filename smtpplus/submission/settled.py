"""What holds for a message, kept for those that say nothing: nearly all.

Guarantees: the answers of `smtpplus.rules.effective` and `smtpplus.rules.aggregation`, at once
where a user's last message that said nothing was of the same user and list as they are now. Raises
nothing. Does not look into the store: both come with the message's origin.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from smtpplus.message.submitted import SubmittedHead
from smtpplus.rules.aggregation import POLICIES, CampaignFacts, CampaignKey, bucket
from smtpplus.rules.effective import Effective, settle
from smtpplus.values.learnt_pattern import LearntPattern
from smtpplus.values.options import NOTHING_SAID, Options
from smtpplus.values.submission import MailList, SmtpUser

__all__ = ["SettledOptions", "campaign"]

_MOST_KEPT = 10_000
_QUARTER_SECONDS = 900.0  # a day begins with one, whatever the time zone
_SAME_FOR_A_QUARTER = frozenset({"day", "week", "month", "year", "user", "campaign"})
_MOST_PERSONAL = 20  # words of a subject that are looked for


class SettledOptions:
    """Settles options with SMTP user and list."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, tuple[SmtpUser, MailList, Effective]] = {}

    def of(self, options: Options, user: SmtpUser, mail_list: MailList) -> Effective:
        """What holds for a message that says `options`."""
        if options is not NOTHING_SAID:
            return settle(options, user, mail_list)
        known = self._kept.get(user.id)
        if known is not None and known[0] is user and known[1] is mail_list:
            return known[2]
        effective = settle(options, user, mail_list)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[user.id] = (user, mail_list, effective)
        return effective


def campaign(
    options: Options,
    user: SmtpUser,
    effective: Effective,
    head: SubmittedHead,
    now: float,
    personal: tuple[str, ...] = (),
    learnt: Sequence[LearntPattern] = (),
) -> CampaignKey:
    """The campaign a message is counted in.

    Args:
        options: what the message says.
        user: whose it is.
        effective: what holds for it: the list's ``aggregation`` and ``timezone``.
        head: of the message.
        now: when it came, Unix seconds.
        personal: what is known to be its recipient's own (name, merge fields).
        learnt: the patterns that its list's subjects are known to have.
    """
    policy, zone = effective.aggregation, effective.timezone
    if options is NOTHING_SAID and (user.campaign or policy in _SAME_FOR_A_QUARTER):
        return _of_quarter(policy, zone, user.username, user.campaign, now // _QUARTER_SECONDS)
    facts = CampaignFacts(
        received_at=now,
        subject=head.subject,
        sender=str(head.from_mailbox.address),
        sender_name=head.from_mailbox.display_name,
        username=user.username,
        campaign_code=options.campaign_code or "",
        campaign_name=options.campaign_name or "",
        tags=options.tags,
        default_code=user.campaign,
        personal=tuple(word for word in personal if word)[:_MOST_PERSONAL],
    )
    return bucket(policy if policy in POLICIES else "month", facts, _zone(zone), learnt)


@functools.lru_cache(maxsize=1024)
def _of_quarter(policy: str, zone: str, username: str, code: str, quarter: float) -> CampaignKey:
    facts = CampaignFacts(
        received_at=quarter * _QUARTER_SECONDS, username=username, default_code=code
    )
    return bucket(policy if policy in POLICIES else "month", facts, _zone(zone))


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):  # it was known where it was set
        return UTC
