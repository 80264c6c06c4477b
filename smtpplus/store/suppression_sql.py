"""SQL of suppressions: functions that run inside a transaction, or a read.

A row is never changed but by lifting it, once; who is suppressed again gets another row. Rows of
erased addresses have a keyed hash for a key (`erased_key`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, insert, or_, select, update

from smtpplus.ports import SuppressionRow
from smtpplus.rules.suppression import OWN_WORDS, Reason, Scope, Suppression
from smtpplus.store.commits import Transaction
from smtpplus.store.messages import chunks
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import mail_list, suppression
from smtpplus.store.search import address_holds
from smtpplus.store.topics import SUPPRESSIONS
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError, UsageError
from smtpplus.values.ids import IdSource

__all__ = [
    "ERASED",
    "erased_key",
    "key_of_text",
    "lift",
    "listing",
    "of_keys",
    "row_of",
    "rows",
    "rows_of_key",
    "suppress",
]

ERASED = "erased:"
_HASH_OCTETS = 16
_ROWS = select(suppression, mail_list.c.name.label("list_name")).outerjoin(
    mail_list, mail_list.c.id == suppression.c.list_id
)


# SQLite would take the index of accounts, and look through all that an account has.
_BY_KEY = (suppression, "INDEXED BY ix_suppression_address_key", "sqlite")


def erased_key(secret: bytes, account_id: int, address_key: str) -> str:
    """What an erased address is known by: nobody without the secret can try addresses."""
    text = f"{account_id}\0{address_key}".encode()
    return ERASED + hashlib.blake2b(text, key=secret[:64], digest_size=_HASH_OCTETS).hexdigest()


def key_of_text(address: str) -> str:
    """The key of an address as people write it.

    Raises:
        UsageError: it is none.
    """
    try:
        return safe_text(Address.parse(address.strip().strip("<>")).key)
    except AddressError as error:
        raise UsageError(f"{address!r} is no mail address: {error}") from error


def suppress(
    transaction: Transaction,
    ids: IdSource,
    account_id: int,
    key: str,
    address: str,
    wanted: Suppression,
    by: str,
    now: float,
) -> int:
    """Suppress `address`; the id of the row. One that does the same already is left as it is.

    One that ends sooner does not, nor does a bypass that something later holds against: a row
    stands beside it then. `key` is its key, or where it was erased what it is known by, and
    `address` empty. Ids are of the time of writing, whatever `wanted.since` is: others look for
    what is new.
    """
    same = select(suppression.c.id).where(
        suppression.c.account_id == account_id,
        suppression.c.address_key == key,
        suppression.c.reason == wanted.reason.value,
        _in_list(wanted.list_id),
        *_stands(now),
        *_lasts_until(wanted.expires_at),
    )
    if wanted.reason is Reason.BYPASS:
        same = same.where(~_is_held_against())
    same = same.with_hint(*_BY_KEY).order_by(suppression.c.id).limit(1)
    found = transaction.execute(same).scalar()
    if found is not None:
        return int(found)
    made = ids.next(now)
    row = {
        "id": made,
        "account_id": account_id,
        "list_id": wanted.list_id if wanted.scope is Scope.LIST else None,
        "address_key": key,
        "address": safe_text(address),
        "reason": wanted.reason.value,
        "since": wanted.since,
        "expires_at": wanted.expires_at,
        "lifted_at": None,
        "detail": safe_text(wanted.detail),
        "set_by": safe_text(by),
        "lifted_by": "",
    }
    transaction.execute(insert(suppression), row)
    transaction.tell(SUPPRESSIONS)
    return made


def lift(
    transaction: Transaction,
    account_id: int | None,
    keys: Collection[str],
    list_id: int | None,
    reason: Reason | None,
    now: float,
    by: str,
) -> list[Row[Any]]:
    """Lift what stands for `keys`, of the list and the reason where given; the rows.

    An operator's bypass is lifted by its own name alone.
    """
    lifting = update(suppression).where(suppression.c.address_key.in_(keys), *_stands(now))
    if account_id is not None:
        lifting = lifting.where(suppression.c.account_id == account_id)
    if list_id is not None:
        lifting = lifting.where(suppression.c.list_id == list_id)
    if reason is not None:
        lifting = lifting.where(suppression.c.reason == reason.value)
    else:
        lifting = lifting.where(suppression.c.reason != Reason.BYPASS.value)
    values = {"lifted_at": now, "lifted_by": safe_text(by)}
    lifted = transaction.execute(lifting.values(**values).returning(suppression)).all()
    if lifted:
        transaction.tell(SUPPRESSIONS)
    return list(lifted)


def of_keys(
    connection: Connection, account_id: int, keys: Iterable[str]
) -> dict[str, list[Suppression]]:
    """What is not lifted for these keys, of all lists."""
    found: dict[str, list[Suppression]] = {}
    query = select(suppression).where(
        suppression.c.account_id == account_id, suppression.c.lifted_at.is_(None)
    )
    query = query.with_hint(*_BY_KEY)
    for some in chunks(keys):
        rows = connection.execute(query.where(suppression.c.address_key.in_(some)))
        for row in rows:
            found.setdefault(row.address_key, []).append(_suppression(row))
    return found


def listing(
    account_id: int | None,
    search: str,
    before: int | None,
    most: int,
    *,
    reason: Reason | None,
    list_id: int | None,
    standing_at: float | None,
) -> Select[Any]:
    """What `rows` reads: newest first."""
    query = _ROWS.order_by(suppression.c.id.desc()).limit(most)
    if account_id is not None:
        query = query.where(suppression.c.account_id == account_id)
    if before is not None:
        query = query.where(suppression.c.id < before)
    if reason is not None:
        query = query.where(suppression.c.reason == reason.value)
    if list_id is not None:
        query = query.where(suppression.c.list_id == list_id)
    if standing_at is not None:
        query = query.where(*_stands(standing_at))
    return (
        query.where(address_holds(suppression.c.address_key, search)) if search.strip() else query
    )


def rows(connection: Connection, query: Select[Any]) -> list[SuppressionRow]:
    """What `query`, one of `listing`, finds."""
    return [_row(row) for row in connection.execute(query)]


def row_of(connection: Connection, row_id: int) -> SuppressionRow:
    """One row."""
    return rows(connection, _ROWS.where(suppression.c.id == row_id))[0]


def rows_of_key(
    connection: Connection, account_id: int, keys: Collection[str]
) -> list[SuppressionRow]:
    """All rows of an address, newest first."""
    query = _ROWS.where(suppression.c.account_id == account_id, suppression.c.address_key.in_(keys))
    return rows(connection, query.with_hint(*_BY_KEY).order_by(suppression.c.id.desc()))


def _in_list(list_id: int | None) -> ColumnElement[bool]:
    if list_id is None:
        return suppression.c.list_id.is_(None)
    return suppression.c.list_id == list_id


def _stands(now: float) -> tuple[ColumnElement[bool], ...]:
    expires = suppression.c.expires_at
    return (suppression.c.lifted_at.is_(None), or_(expires.is_(None), expires > now))


def _lasts_until(expires_at: float | None) -> tuple[ColumnElement[bool], ...]:
    expires = suppression.c.expires_at
    return (
        expires.is_(None) if expires_at is None else or_(expires.is_(None), expires >= expires_at),
    )


def _is_held_against() -> ColumnElement[bool]:
    """Has the recipient said otherwise since the bypass of this row?"""
    later = suppression.alias("later")
    return exists().where(
        later.c.account_id == suppression.c.account_id,
        later.c.address_key == suppression.c.address_key,
        later.c.reason.in_([one.value for one in OWN_WORDS]),
        later.c.since > suppression.c.since,
        later.c.lifted_at.is_(None),
    )


def _suppression(row: Row[Any]) -> Suppression:
    return Suppression(
        scope=Scope.ACCOUNT if row.list_id is None else Scope.LIST,
        reason=Reason(row.reason),
        since=row.since,
        list_id=row.list_id,
        expires_at=row.expires_at,
        lifted_at=row.lifted_at,
        detail=row.detail,
    )


def _row(row: Row[Any]) -> SuppressionRow:
    return SuppressionRow(
        id=row.id,
        account_id=row.account_id,
        address=row.address,
        suppression=_suppression(row),
        list_name=row.list_name or "",
        lifted_by=row.lifted_by,
        set_by=row.set_by,
    )
