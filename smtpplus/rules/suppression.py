"""May this address be mailed? What suppresses it, what passes that, and what is said at RCPT.

A suppression has a scope (one list, or the account) and a reason. The strongest that holds
decides: hard bounce and complaint of the account first. Those two beat everything but an
operator's explicit bypass, which stands on record beside them and passes all of them but what the
recipient says after it: an unsubscribe or a complaint that came later holds. A message's own
bypass passes the others, but not what an operator has suppressed for the whole account; an
unsubscribe from the whole account stops subscribed streams only, one from a list stops that list
whatever its stream.

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

__all__ = [
    "OPERATORS_ONLY",
    "OWN_WORDS",
    "Reason",
    "Scope",
    "Suppressed",
    "Suppression",
    "bypass_of",
    "decide",
    "is_passed",
    "refusal",
]

_MAX_DETAIL = 120  # characters of a remote's words in a reply


class Scope(enum.StrEnum):
    """Where a suppression holds."""

    LIST = "list"
    ACCOUNT = "account"


class Reason(enum.StrEnum):
    """Why an address is not mailed; the stronger first.

    BYPASS is the opposite: an operator's word that it is mailed in spite of the others.
    """

    HARD_BOUNCE = "hard bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"
    REPEATED_SOFT_BOUNCE = "repeated soft bounce"
    UNSUBSCRIBE = "unsubscribe"
    BYPASS = "bypass"


_STRENGTH = {reason: number for number, reason in enumerate(Reason)}
OWN_WORDS = frozenset({Reason.COMPLAINT, Reason.UNSUBSCRIBE})  # the recipient's
_FINAL = frozenset({Reason.HARD_BOUNCE, Reason.COMPLAINT})
OPERATORS_ONLY = _FINAL | {Reason.BYPASS}  # an account's own people do not lift these


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
    bypass: bool = False,
) -> Suppressed | None:
    """Why `address` is not mailed by this list, or None: it is.

    Args:
        address: the recipient.
        suppressions: all that are on record for it in the account, in any order.
        list_id: the list the message belongs to.
        stream: that list's stream.
        now: Unix seconds.
        bypass: the message asks for it (``bypass_suppression`` of its options).
    """
    holding = [one for one in suppressions if one.holds(list_id, now)]
    passed = bypass_of(holding, list_id=list_id, now=now)
    if passed is not None:
        holding = [one for one in holding if _is_after(one, passed)]
    against = [one for one in holding if not _passes(one, stream=stream, bypass=bypass)]
    if not against:
        return None
    strongest = min(against, key=_rank)
    return Suppressed(strongest, _sentence(address, strongest))


def bypass_of(
    suppressions: Iterable[Suppression], *, list_id: int, now: float
) -> Suppression | None:
    """The newest operator's bypass that holds now for mail of this list."""
    bypasses = [
        one for one in suppressions if one.reason is Reason.BYPASS and one.holds(list_id, now)
    ]
    return max(bypasses, key=lambda one: one.since, default=None)


def is_passed(one: Suppression, bypass: Suppression) -> bool:
    """Does an operator's bypass pass `one` for all the mail that it stands against?"""
    of_same = bypass.scope is Scope.ACCOUNT or bypass.list_id == one.list_id
    return of_same and not _is_after(one, bypass)


def refusal(suppressed: Suppressed | None, suppressed_reply: str) -> Reply | None:
    """What to answer at RCPT, by the list's setting ``suppressed_reply`` (accept or refuse).

    None: take it; a suppressed recipient is then recorded as such and not mailed.
    """
    return suppressed.reply if suppressed is not None and suppressed_reply == "refuse" else None


def _is_after(one: Suppression, bypass: Suppression) -> bool:
    """Has the recipient said it after the operator let it be mailed?"""
    return one.reason in OWN_WORDS and one.since > bypass.since


def _passes(one: Suppression, *, stream: Stream, bypass: bool) -> bool:
    if one.reason in _FINAL:
        return False
    account_wide = one.scope is Scope.ACCOUNT
    if bypass:
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
