"""People, their sign-in links and sessions on a database: `IPeople`.

Guarantees: a sign-in link works once, also when two browsers use it in the same moment; a
changed password ends every session. What has expired goes when somebody
signs in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from zope.interface import implementer

from smtpplus.ports import IPeople
from smtpplus.store.account_sql import key_of
from smtpplus.store.commits import Transaction
from smtpplus.store.schema import person, session, sign_in
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import ConflictError, NotFoundError
from smtpplus.values.submission import Person, Role

__all__ = ["SqlPeople"]


@implementer(IPeople)
class SqlPeople:
    """Everybody who signs in."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def people(self) -> Sequence[Person]:
        """See `IPeople.people`."""
        query = select(person).order_by(person.c.email_key)
        return await self._transactions.read(
            lambda connection: [_person(row) for row in connection.execute(query)]
        )

    async def add_person(
        self,
        email: str,
        role: Role,
        account_id: int | None,
        password_hash: str | None,
        now: float,
    ) -> Person:
        """See `IPeople.add_person`."""

        def work(transaction: Transaction) -> Person:
            if _by_email(transaction.connection, email) is not None:
                raise ConflictError(f"There is a person with the e-mail {email} already.")
            row = {
                "email": email,
                "email_key": key_of(email),
                "role": role.value,
                "account_id": account_id,
                "password_hash": password_hash,
                "created_at": now,
            }
            transaction.execute(insert(person), row)
            made = _by_email(transaction.connection, email)
            assert made is not None
            return _person(made)

        return await self._transactions.write(work)

    async def set_password(self, person_id: int, password_hash: str) -> None:
        """See `IPeople.set_password`."""

        def work(transaction: Transaction) -> None:
            changing = update(person).where(person.c.id == person_id)
            if not transaction.execute(changing.values(password_hash=password_hash)).rowcount:
                raise NotFoundError(f"There is no person with the id {person_id}.")
            transaction.execute(delete(session).where(session.c.person_id == person_id))

        await self._transactions.write(work)

    async def password_hash(self, email: str) -> tuple[Person, str] | None:
        """See `IPeople.password_hash`."""
        row = await self._transactions.read(lambda connection: _by_email(connection, email))
        return None if row is None or not row.password_hash else (_person(row), row.password_hash)

    async def add_sign_in(self, token_hash: bytes, person_id: int, expires_at: float) -> None:
        """See `IPeople.add_sign_in`."""
        row = {"token_hash": token_hash, "person_id": person_id, "expires_at": expires_at}

        def work(transaction: Transaction) -> None:
            transaction.execute(insert(sign_in), row)

        await self._transactions.write(work)

    async def use_sign_in(self, token_hash: bytes, now: float) -> Person | None:
        """See `IPeople.use_sign_in`."""

        def work(transaction: Transaction) -> Person | None:
            using = delete(sign_in).where(sign_in.c.token_hash == token_hash)
            used = transaction.execute(using.returning(sign_in.c.person_id, sign_in.c.expires_at))
            link = used.one_or_none()
            transaction.execute(delete(sign_in).where(sign_in.c.expires_at <= now))
            transaction.execute(delete(session).where(session.c.expires_at <= now))
            if link is None or link.expires_at <= now:
                return None
            query = select(person).where(person.c.id == link.person_id)
            return _person(transaction.execute(query).one())

        return await self._transactions.write(work)

    async def add_session(
        self, token_hash: bytes, person_id: int, csrf: str, expires_at: float
    ) -> None:
        """See `IPeople.add_session`."""
        row = {
            "token_hash": token_hash,
            "person_id": person_id,
            "csrf": csrf,
            "expires_at": expires_at,
        }

        def work(transaction: Transaction) -> None:
            transaction.execute(insert(session), row)

        await self._transactions.write(work)

    async def session(self, token_hash: bytes, now: float) -> tuple[Person, str] | None:
        """See `IPeople.session`."""
        query = (
            select(person, session.c.csrf)
            .join(session, session.c.person_id == person.c.id)
            .where(session.c.token_hash == token_hash, session.c.expires_at > now)
        )
        row = await self._transactions.read(
            lambda connection: connection.execute(query).one_or_none()
        )
        return None if row is None else (_person(row), row.csrf)

    async def end_session(self, token_hash: bytes) -> None:
        """See `IPeople.end_session`."""

        def work(transaction: Transaction) -> None:
            transaction.execute(delete(session).where(session.c.token_hash == token_hash))

        await self._transactions.write(work)


def _by_email(connection: Connection, email: str) -> Row[Any] | None:
    query = select(person).where(person.c.email_key == key_of(email.strip()))
    return connection.execute(query).one_or_none()


def _person(row: Row[Any]) -> Person:
    return Person(
        id=row.id,
        email=row.email,
        role=Role(row.role),
        account_id=row.account_id,
        has_password=bool(row.password_hash),
        created_at=row.created_at,
    )
