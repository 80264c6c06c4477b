"""Who of a message's recipients is not mailed, and why.

Guarantees: where nothing may stand against a recipient, the store is not read. Raises what the
store raises (`StoreUnavailableError`): whether an address is suppressed is never guessed. Does not
say what becomes of it: the conversation refuses at RCPT, the intake records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from smtpplus.ports import IClock, ISuppressions
from smtpplus.rules.suppression import Suppressed, decide
from smtpplus.values.address import Address
from smtpplus.values.submission import MailList

__all__ = ["SuppressedRecipients"]

_NOBODY: Mapping[str, Suppressed] = {}


class SuppressedRecipients:
    """Asks the store's suppressions."""

    __slots__ = ("_clock", "_suppressions")

    def __init__(self, suppressions: ISuppressions, clock: IClock) -> None:
        self._suppressions = suppressions
        self._clock = clock

    def may_hold(self, mail_list: MailList, addresses: Iterable[Address]) -> list[Address]:
        """Those of `addresses` that `among` has to be asked about; at once."""
        may_hold, account_id = self._suppressions.may_hold, mail_list.account_id
        return [one for one in addresses if may_hold(account_id, one.key)]

    async def among(
        self, mail_list: MailList, addresses: Collection[Address], *, bypass: bool = False
    ) -> Mapping[str, Suppressed]:
        """Those that mail of this list does not go to, by `Address.key`.

        Args:
            mail_list: the message's.
            addresses: recipients.
            bypass: the message asks to pass suppressions; not all let themselves be passed. An
                operator's own bypass stands among them.

        Raises:
            StoreUnavailableError: it cannot be told now.
        """
        if not addresses:
            return _NOBODY
        keys = {one.key for one in addresses}
        standing = await self._suppressions.of(mail_list.account_id, keys)
        now = self._clock.now()
        found = {}
        for address in addresses:
            suppressed = decide(
                address,
                standing.get(address.key, ()),
                list_id=mail_list.id,
                stream=mail_list.stream,
                now=now,
                bypass=bypass,
            )
            if suppressed is not None:
                found[address.key] = suppressed
        return found
