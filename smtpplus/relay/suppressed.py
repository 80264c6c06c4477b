"""Whom mail that waited must not go to any more.

What is suppressed when a message comes is recorded then and never queued; what comes between that
and the attempt (an unsubscribe, a bounce, somebody's hand) is seen here. Guarantees: where nothing
may stand against a recipient, nothing is read. Raises what the store raises: whether an address is
suppressed is never guessed.
"""

from __future__ import annotations

from smtpplus.ports import IAccounts, IClock, ISuppressions
from smtpplus.rules.suppression import decide
from smtpplus.values.message import Delivery

__all__ = ["SuppressedMeanwhile"]


class SuppressedMeanwhile:
    """Asks the store's suppressions about deliveries."""

    __slots__ = ("_accounts", "_clock", "_suppressions")

    def __init__(self, suppressions: ISuppressions, accounts: IAccounts, clock: IClock) -> None:
        self._suppressions = suppressions
        self._accounts = accounts
        self._clock = clock

    def may_hold(self, delivery: Delivery) -> bool:
        """At once: False is certain, True asks for `reason`. Reports of ours go to anybody."""
        message = delivery.message
        return bool(message.mechanism) and self._suppressions.may_hold(
            message.account_id, delivery.recipient.address.key
        )

    async def reason(self, delivery: Delivery) -> str:
        """Why it is not mailed; "": it is."""
        message, address = delivery.message, delivery.recipient.address
        mail_list = await self._accounts.list_by_id(message.list_id)
        if mail_list is None:
            return ""
        standing = await self._suppressions.of(message.account_id, [address.key])
        found = decide(
            address,
            standing.get(address.key, ()),
            list_id=mail_list.id,
            stream=mail_list.stream,
            now=self._clock.now(),
            bypass=bool(message.options.bypass_suppression),
        )
        return found.text if found is not None else ""
