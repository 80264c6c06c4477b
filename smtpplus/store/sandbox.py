"""The mails of a trial's mailbox server: `ISandbox`.

Guarantees: at most `MOST_MAILS` mails and `MOST_OCTETS` of them; the oldest go first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select
from zope.interface import implementer

from smtpplus.ports import ISandbox, SandboxMail
from smtpplus.store.commits import Transaction
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import sandbox_mail
from smtpplus.store.search import contains
from smtpplus.store.transactions import Transactions

__all__ = ["MOST_MAILS", "MOST_OCTETS", "SqlSandbox"]

MOST_MAILS = 2_000
MOST_OCTETS = 512 * 1024 * 1024

_SHOWN = [column for column in sandbox_mail.c if column.name not in {"content", "search"}]


@implementer(ISandbox)
class SqlSandbox:
    """What the sandbox took."""

    def __init__(
        self,
        transactions: Transactions,
        most_mails: int = MOST_MAILS,
        most_octets: int = MOST_OCTETS,
    ) -> None:
        self._transactions = transactions
        self._most_mails = most_mails
        self._most_octets = most_octets

    async def keep(self, mail: SandboxMail) -> None:
        """See `ISandbox.keep`."""
        shown = [mail.subject, mail.header_from, mail.sender, mail.recipient]
        row = {
            "id": mail.id,
            "received_at": mail.received_at,
            "octets": mail.octets,
            "search": safe_text("\n".join(shown).lower()),
            "sender": safe_text(mail.sender),
            "recipient": safe_text(mail.recipient),
            "subject": safe_text(mail.subject),
            "header_from": safe_text(mail.header_from),
            "tls": safe_text(mail.tls),
            "content": mail.content or b"",
        }

        def work(transaction: Transaction) -> None:
            transaction.execute(insert(sandbox_mail), row)
            self._drop_oldest(transaction)

        await self._transactions.write(work)

    async def mails(self, search: str, before: int | None, most: int) -> Sequence[SandboxMail]:
        """See `ISandbox.mails`."""
        query = select(*_SHOWN).order_by(sandbox_mail.c.id.desc()).limit(most)
        if before is not None:
            query = query.where(sandbox_mail.c.id < before)
        for word in search.split():
            query = query.where(contains(sandbox_mail.c.search, word))

        def work(connection: Connection) -> list[SandboxMail]:
            return [_mail(row, None) for row in connection.execute(query)]

        return await self._transactions.read(work)

    async def mail(self, mail_id: int) -> SandboxMail | None:
        """See `ISandbox.mail`."""
        query = select(sandbox_mail).where(sandbox_mail.c.id == mail_id)

        def work(connection: Connection) -> SandboxMail | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else _mail(row, bytes(row.content))

        return await self._transactions.read(work)

    def _drop_oldest(self, transaction: Transaction) -> None:
        """Keep the newest that fit."""
        kept = transaction.execute(
            select(func.count().label("mails"), func.sum(sandbox_mail.c.octets).label("octets"))
        ).one()
        count, octets = kept.mails, kept.octets or 0
        if count <= self._most_mails and octets <= self._most_octets:
            return
        rows = transaction.execute(
            select(sandbox_mail.c.id, sandbox_mail.c.octets).order_by(sandbox_mail.c.id)
        ).all()
        gone = []
        for row in rows[:-1]:  # the newest stays, whatever its size
            if count <= self._most_mails and octets <= self._most_octets:
                break
            gone.append(row.id)
            count, octets = count - 1, octets - row.octets
        transaction.execute(delete(sandbox_mail).where(sandbox_mail.c.id.in_(gone)))


def _mail(row: Row[Any], content: bytes | None) -> SandboxMail:
    return SandboxMail(
        id=row.id,
        received_at=row.received_at,
        sender=row.sender,
        recipient=row.recipient,
        subject=row.subject,
        header_from=row.header_from,
        octets=row.octets,
        tls=row.tls,
        content=content,
    )
