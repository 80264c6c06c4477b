"""May this address be mailed? What suppresses it, what passes that, and what is said at RCPT.

A suppression has a scope (one list, or the account) and a reason. The strongest that holds
decides: hard bounce and complaint of the account first. Those two beat everything but an
operator's explicit bypass. A message's own bypass passes the others, but not what an operator has
suppressed for the whole account; an unsubscribe from the whole account stops subscribed streams
only, one from a list stops that list whatever its stream.

Guarantees: pure, time is an argument (Unix seconds). Raises nothing. Does not look anything up
and does not say what a bounce means (`smtpplus.rules.verdict`).
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterable
from dataclasses import dataclass

from smtpplus.values.address import Address
from smtpplus.values.reply import Reply
from smtpplus.values.submission import Stream

__all__ = ["Bypass", "Reason", "Scope", "Suppressed", "Suppression", "decide", "refusal"]

_MAX_DETAIL = 120  # characters of a remote's words in a reply


class Scope(enum.StrEnum):
    """Where a suppression holds."""

    LIST = "list"
    ACCOUNT = "account"


class Reason(enum.StrEnum):
    """Why an address is not mailed; the stronger first."""

    HARD_BOUNCE = "hard bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"
    REPEATED_SOFT_BOUNCE = "repeated soft bounce"
    UNSUBSCRIBE = "unsubscribe"


_STRENGTH = {reason: number for number, reason in enumerate(Reason)}
_FINAL = frozenset({Reason.HARD_BOUNCE, Reason.COMPLAINT})


class Bypass(enum.Enum):
    """What was asked for in spite of suppressions.

    MESSAGE is what a sender may say (``bypass_suppression`` of its options), OPERATOR what only
    an operator may, for one address.
    """

    NONE = "none"
    MESSAGE = "message"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Suppression:
    """One reason not to mail an address.

    `list_id` is the list where `scope` is LIST. `since`, `expires_at` and `lifted_at` are Unix
    seconds; a lifted or expired one stays on record and does not hold. `detail` is what a remote
    or a person said.
    """

    scope: Scope
    reason: Reason
    since: float
    list_id: int | None = None
    expires_at: float | None = None
    lifted_at: float | None = None
    detail: str = ""

    def holds(self, list_id: int, now: float) -> bool:
        """Does it hold now, for mail of this list?"""
        if self.lifted_at is not None and self.lifted_at <= now:
            return False
        if self.expires_at is not None and self.expires_at <= now:
            return False
        return self.scope is Scope.ACCOUNT or self.list_id == list_id


@dataclass(frozen=True, slots=True)
class Suppressed:
    """The address is not mailed, because of `by`; `text` says it for pages and replies."""

    by: Suppression
    text: str

    @property
    def reply(self) -> Reply:
        """What RCPT is answered where the list refuses."""
        return Reply.of(550, "5.7.1", self.text)


def decide(
    address: Address,
    suppressions: Iterable[Suppression],
    *,
    list_id: int,
    stream: Stream,
    now: float,
    bypass: Bypass = Bypass.NONE,
) -> Suppressed | None:
    """Why `address` is not mailed by this list, or None: it is.

    Args:
        address: the recipient.
        suppressions: all that are on record for it in the account, in any order.
        list_id: the list the message belongs to.
        stream: that list's stream.
        now: Unix seconds.
        bypass: what was asked for.
    """
    if bypass is Bypass.OPERATOR:
        return None
    holding = [
        one
        for one in suppressions
        if one.holds(list_id, now) and not _passes(one, stream=stream, bypass=bypass)
    ]
    if not holding:
        return None
    strongest = min(holding, key=_rank)
    return Suppressed(strongest, _sentence(address, strongest))


def refusal(suppressed: Suppressed | None, suppressed_reply: str) -> Reply | None:
    """What to answer at RCPT, by the list's setting ``suppressed_reply`` (accept or refuse).

    None: take it; a suppressed recipient is then recorded as such and not mailed.
    """
    return suppressed.reply if suppressed is not None and suppressed_reply == "refuse" else None


def _passes(one: Suppression, *, stream: Stream, bypass: Bypass) -> bool:
    if one.reason in _FINAL:
        return False
    account_wide = one.scope is Scope.ACCOUNT
    if bypass is Bypass.MESSAGE:
        return not (account_wide and one.reason is Reason.MANUAL)
    return account_wide and one.reason is Reason.UNSUBSCRIBE and stream is Stream.TRANSACTIONAL


def _rank(one: Suppression) -> tuple[int, int, float]:
    return (_STRENGTH[one.reason], one.scope is not Scope.ACCOUNT, one.since)


def _sentence(address: Address, one: Suppression) -> str:
    where = "this list" if one.scope is Scope.LIST else "all lists of the account"
    day = time.strftime("%Y-%m-%d", time.gmtime(one.since))
    text = f"<{address.wire}> is suppressed for {where} since {day}: {one.reason}"
    if one.detail:
        text += f" ({' '.join(one.detail.split())[:_MAX_DETAIL]})"
    if one.expires_at is not None:
        text += f", until {time.strftime('%Y-%m-%d', time.gmtime(one.expires_at))}"
    return text
