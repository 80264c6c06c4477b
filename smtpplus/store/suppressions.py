"""What keeps mail from addresses, on a database: `ISuppressions`.

Guarantees: as the port says. `may_hold` is asked for each recipient of each message and answers
from memory; what this process suppresses is there before its answer is given, what another
one does within two seconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, select
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpplus.ports import ISuppressions, SuppressionRow
from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.store import suppression_sql as sql
from smtpplus.store.commits import Transaction
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import suppression
from smtpplus.store.subscription_sql import end_subscription, renew_subscription
from smtpplus.store.suppression_filter import SuppressionFilter, hash_of
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import SmtpplusError, UsageError
from smtpplus.values.ids import IdSource

__all__ = ["SqlSuppressions"]

_log = Logger()
_STANDS = suppression.c.lifted_at.is_(None)
_MARGIN = 120_000 << 22  # two minutes, as ids count: clocks differ, transactions take time


@implementer(ISuppressions)
class SqlSuppressions:
    """Suppressions of all accounts. `secret` hides erased addresses, `ids` are the writer's."""

    def __init__(
        self, transactions: Transactions, ids: IdSource, secret: bytes, now: Callable[[], float]
    ) -> None:
        self._transactions = transactions
        self._ids = ids
        self._secret = secret
        self._now = now
        self._filter = SuppressionFilter()
        self._newest = 0
        self._has_erased = True
        self._is_reading = False
        self._read_again = False

    # ------------------------------------------------ asked by every message

    def may_hold(self, account_id: int, address_key: str) -> bool:
        """See `ISuppressions.may_hold`."""
        if self._filter.may_hold(hash_of(account_id, address_key)):
            return True
        if not self._has_erased:
            return False
        hidden = sql.erased_key(self._secret, account_id, address_key)
        return self._filter.may_hold(hash_of(account_id, hidden))

    async def of(
        self, account_id: int, address_keys: Collection[str]
    ) -> Mapping[str, Sequence[Suppression]]:
        """See `ISuppressions.of`."""
        asked = self._with_hidden(account_id, address_keys)
        found = await self._transactions.read(
            lambda connection: sql.of_keys(connection, account_id, asked)
        )
        answer: dict[str, list[Suppression]] = {}
        for key, some in found.items():
            answer.setdefault(asked[key], []).extend(some)
        return answer

    # ------------------------------------------------ for people

    async def listed(
        self,
        account_id: int | None,
        search: str,
        before: int | None,
        most: int,
        *,
        reason: Reason | None = None,
        list_id: int | None = None,
        standing_at: float | None = None,
    ) -> Sequence[SuppressionRow]:
        """See `ISuppressions.listed`."""
        query = sql.listing(
            account_id,
            search,
            before,
            most,
            reason=reason,
            list_id=list_id,
            standing_at=standing_at,
        )
        return await self._transactions.read(lambda connection: sql.rows(connection, query))

    async def add(
        self, account_id: int, address: str, wanted: Suppression, by: str
    ) -> SuppressionRow:
        """See `ISuppressions.add`."""
        key = sql.key_of_text(address)
        if (wanted.scope is Scope.LIST) != (wanted.list_id is not None):
            raise UsageError("A suppression holds for one list, or for the whole account.")

        now = self._now()

        def work(transaction: Transaction) -> SuppressionRow:
            text = address.strip().strip("<>")
            found = sql.suppress(transaction, self._ids, account_id, key, text, wanted, by, now)
            if wanted.reason is Reason.UNSUBSCRIBE and wanted.list_id is not None:
                since = wanted.since
                end_subscription(transaction, account_id, wanted.list_id, key, since, wanted.detail)
            return sql.row_of(transaction.connection, found)

        row = await self._transactions.write(work)
        self.note([(account_id, key)])
        return row

    async def lift(
        self,
        account_id: int | None,
        address: str,
        list_id: int | None,
        reason: Reason | None,
        now: float,
        by: str,
    ) -> int:
        """See `ISuppressions.lift`."""
        key = sql.key_of_text(address)

        def work(transaction: Transaction) -> int:
            keys = [key, *self._hidden(transaction, account_id, key)]
            lifted = sql.lift(transaction, account_id, keys, list_id, reason, now, by)
            for row in lifted:
                if row.list_id is not None and row.reason == Reason.UNSUBSCRIBE.value:
                    renew_subscription(transaction, row.list_id, key, now)
            return len(lifted)

        return await self._transactions.write(work)

    def _hidden(self, transaction: Transaction, account_id: int | None, key: str) -> list[str]:
        """What the key would be known by if it was erased."""
        accounts = [account_id]
        if account_id is None:
            every = select(suppression.c.account_id).distinct()
            accounts = list(transaction.execute(every).scalars())
        return [sql.erased_key(self._secret, one, key) for one in accounts if one is not None]

    # ------------------------------------------------ the filter

    def note(self, keys: Iterable[tuple[int, str]]) -> None:
        """These are suppressed from now on."""
        for account_id, key in keys:
            self._filter.add([hash_of(account_id, safe_text(key))])
            self._has_erased = self._has_erased or key.startswith(sql.ERASED)

    async def load(self) -> None:
        """Read all of them; until then `may_hold` knows nothing for certain."""
        hashes, newest, has_erased = await self._transactions.read(_all)
        self._filter.replace(hashes)
        self._newest, self._has_erased = max(newest, self._newest), has_erased

    def follow(self) -> None:
        """Somebody has written: read what is new."""
        if not self._filter.is_loaded:
            return
        self._read_again = self._is_reading
        if self._is_reading:
            return
        self._is_reading = True
        since = self._newest - _MARGIN
        reading = self._transactions.read(lambda connection: _since(connection, since))
        reading.addCallbacks(self._take, _tell).addBoth(self._have_read)

    def _have_read(self, _: object) -> None:
        self._is_reading = False
        if self._read_again:
            self.follow()

    def _take(self, rows: Sequence[tuple[int, int, str]]) -> None:
        self._filter.add(hash_of(account_id, key) for _, account_id, key in rows)
        self._newest = max([self._newest, *(row[0] for row in rows)])
        self._has_erased = self._has_erased or any(row[2].startswith(sql.ERASED) for row in rows)

    def _with_hidden(self, account_id: int, keys: Collection[str]) -> dict[str, str]:
        """Each key, and what it would be known by if it was erased: to the key."""
        asked = {safe_text(key): key for key in keys}
        if self._has_erased:
            asked |= {sql.erased_key(self._secret, account_id, key): key for key in keys}
        return asked


def _all(connection: Connection) -> tuple[array[int], int, bool]:
    """The hashes of all that is not lifted, sorted; the newest id; is an erased one there?"""
    query = select(suppression.c.id, suppression.c.account_id, suppression.c.address_key)
    newest, has_erased, hashes = 0, False, []
    for row_id, account_id, key in connection.execute(query.where(_STANDS)):
        newest = max(newest, row_id)
        has_erased = has_erased or key.startswith(sql.ERASED)
        hashes.append(hash_of(account_id, key))
    return array("q", sorted(hashes)), newest, has_erased


def _since(connection: Connection, row_id: int) -> list[tuple[int, int, str]]:
    query = select(suppression.c.id, suppression.c.account_id, suppression.c.address_key)
    rows = connection.execute(query.where(_STANDS, suppression.c.id > row_id))
    return [(row[0], row[1], row[2]) for row in rows]


def _tell(failure: Failure) -> None:
    """The next change, or the poll behind it, asks again."""
    failure.trap(SmtpplusError)  # type: ignore[no-untyped-call]
    _log.warn("suppressions could not be read: {error}", error=failure.getErrorMessage())
