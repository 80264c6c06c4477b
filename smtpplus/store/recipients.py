"""The recipients that mail has made, on a database: `IRecipients`.

Guarantees: as the port says. Erasing (see erasure.py) is done in pieces, each a transaction; it
can be repeated where a crash left it half done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select
from zope.interface import implementer

from smtpplus.ports import IRecipients, MailRow, RecipientRow
from smtpplus.store.erasure import Erasure, accounts_of
from smtpplus.store.mails import read_mails
from smtpplus.store.rows import fields_from
from smtpplus.store.schema import account, recipient
from smtpplus.store.search import address_holds, contains, is_address
from smtpplus.store.subscription_sql import subscriptions
from smtpplus.store.suppression_sql import erased_key, key_of_text, rows_of_key
from smtpplus.store.transactions import Transactions
from smtpplus.values.address import Address

__all__ = ["SqlRecipients"]


@implementer(IRecipients)
class SqlRecipients:
    """Recipients of all accounts; `secret` hides erased addresses.

    `looked_through` recipients are searched for a part of an address or name at a time.
    """

    def __init__(self, transactions: Transactions, erasure: Erasure, secret: bytes) -> None:
        self._transactions = transactions
        self._erasure = erasure
        self._secret = secret
        self.looked_through = 50_000

    async def recipients(
        self,
        account_id: int | None,
        search: str,
        before: int | None,
        most: int,
        down_to: int | None = None,
    ) -> Sequence[RecipientRow]:
        """See `IRecipients.recipients`."""
        query = _newest(select(recipient), account_id, before).limit(most)
        word = search.strip()
        if is_address(word):
            # A whole address is found by index, which the accounts lead.
            query = query.where(address_holds(recipient.c.address_key, word))
            if account_id is None:
                query = query.where(recipient.c.account_id.in_(select(account.c.id)))
        elif word:
            query = query.where(contains(recipient.c.search, word))
        if down_to is not None:
            query = query.where(recipient.c.id >= down_to)
        return await self._transactions.read(
            lambda connection: [_row(row) for row in connection.execute(query)]
        )

    async def reach(self, account_id: int | None, search: str, before: int | None) -> int | None:
        """See `IRecipients.reach`."""
        if not search.strip() or is_address(search):
            return None
        query = _newest(select(recipient.c.id), account_id, before)
        query = query.offset(self.looked_through - 1).limit(2)

        def work(connection: Connection) -> int | None:
            found = list(connection.scalars(query))  # the last one, and an older one
            return found[0] if len(found) > 1 else None

        return await self._transactions.read(work)

    async def recipient(self, account_id: int | None, address: str) -> Sequence[RecipientRow]:
        """See `IRecipients.recipient`."""
        key = key_of_text(address)
        return await self._transactions.read(
            lambda connection: self._whole(connection, account_id, key)
        )

    async def known(self, account_id: int | None, address: str) -> Sequence[RecipientRow]:
        """See `IRecipients.known`."""
        key = key_of_text(address)

        def work(connection: Connection) -> list[RecipientRow]:
            found = self._whole(connection, account_id, key)
            mailed = {row.account_id for row in found}
            others = [
                RecipientRow(
                    id=0,
                    account_id=one,
                    address=str(Address.parse(address.strip().strip("<>"))),
                    name="",
                    fields={},
                    first_mail_at=0.0,
                    last_mail_at=0.0,
                    subscriptions=tuple(subscriptions(connection, one, key)),
                    suppressions=tuple(rows_of_key(connection, one, [key])),
                )
                for one in accounts_of(connection, account_id, key)
                if one not in mailed
            ]
            return [*found, *others]

        return await self._transactions.read(work)

    async def mails(
        self, account_id: int | None, address: str, before: int | None, most: int
    ) -> Sequence[MailRow]:
        """See `IRecipients.mails`."""
        key = key_of_text(address)
        return await self._transactions.read(
            lambda connection: read_mails(connection, account_id, key, before, most)
        )

    async def erase(self, account_id: int | None, address: str, now: float, by: str) -> int:
        """See `IRecipients.erase`."""
        return await self._erasure.erase(account_id, key_of_text(address), now, by)

    def _whole(
        self, connection: Connection, account_id: int | None, key: str
    ) -> list[RecipientRow]:
        # The accounts are few, and lead the index of addresses.
        accounts: Any = select(account.c.id) if account_id is None else [account_id]
        query = select(recipient).where(
            recipient.c.account_id.in_(accounts), recipient.c.address_key == key
        )
        found = []
        for row in connection.execute(query.order_by(recipient.c.account_id)).all():
            keys = [key, erased_key(self._secret, row.account_id, key)]
            found.append(
                _row(
                    row,
                    tuple(subscriptions(connection, row.account_id, key)),
                    tuple(rows_of_key(connection, row.account_id, keys)),
                )
            )
        return found


def _newest(query: Select[Any], account_id: int | None, before: int | None) -> Select[Any]:
    query = query.order_by(recipient.c.id.desc())
    if account_id is not None:
        query = query.where(recipient.c.account_id == account_id)
    return query if before is None else query.where(recipient.c.id < before)


def _row(row: Row[Any], lists: tuple[Any, ...] = (), held: tuple[Any, ...] = ()) -> RecipientRow:
    return RecipientRow(
        id=row.id,
        account_id=row.account_id,
        address=row.address,
        name=row.name,
        fields=fields_from(row.fields),
        first_mail_at=row.first_mail_at,
        last_mail_at=row.last_mail_at,
        last_delivery_at=row.last_delivery_at,
        last_open_at=row.last_open_at,
        last_click_at=row.last_click_at,
        complained_at=row.complained_at,
        mails=row.mails,
        delivered=row.delivered,
        bounced=row.bounced,
        opens=row.opens,
        clicks=row.clicks,
        subscriptions=lists,
        suppressions=held,
    )
