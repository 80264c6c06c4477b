"""Accounts, lists, SMTP users, sender domains and keys on a database: `IAccounts`.

Guarantees: what every submission and delivery asks (user, domains, key) is answered from
memory without a thread once it was asked; own writes and those of other processes (within
2 s, by `forget`) make it read again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection
from zope.interface import implementer

from smtpplus.ports import IAccounts
from smtpplus.rules.subject_learning import learn
from smtpplus.store import account_sql, domain_sql, subject_sql
from smtpplus.store.cache import ReadCache
from smtpplus.store.commits import Transaction
from smtpplus.store.seal import Seal
from smtpplus.store.topics import ACCOUNTS
from smtpplus.store.transactions import Transactions
from smtpplus.values.learnt_pattern import Learnt, LearntPattern
from smtpplus.values.submission import (
    Account,
    DkimKey,
    DkimKeyState,
    MailList,
    ScramVerifier,
    SenderDomain,
    SmtpUser,
    Stream,
)

__all__ = ["SqlAccounts"]

T = TypeVar("T")

_LEARN_SECONDS = 600.0
_FIRST_SECONDS = 60.0  # of a list that nothing is known of, while it has few subjects
_FEW = 500
_LEARN_FROM = 5_000  # the account's newest messages

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@implementer(IAccounts)
class SqlAccounts:
    """Everything about who may send what. `seal` keeps private keys."""

    def __init__(self, transactions: Transactions, seal: Seal, now: Callable[[], float]) -> None:
        self._transactions = transactions
        self._seal = seal
        self._now = now
        self._cache = ReadCache(transactions)

    def forget(self) -> None:
        """Another process committed something: what is in memory may be old."""
        self._cache.forget()

    @property
    def changes(self) -> int:
        """See `IAccounts.changes`."""
        return self._cache.changes

    # ------------------------------------------------ asked by every message

    async def user_by_name(self, username: str) -> SmtpUser | None:
        """See `IAccounts.user_by_name`."""
        found: SmtpUser | None = await self._cache.get(
            ("user", account_sql.key_of(username)),
            lambda connection: account_sql.find_user(connection, username),
        )
        return found

    async def user_by_ip(self, ip: str) -> SmtpUser | None:
        """See `IAccounts.user_by_ip`."""
        networks: list[tuple[_Network, SmtpUser]] = await self._cache.get("networks", _networks)
        if not networks:
            return None
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return next((user for network, user in networks if address in network), None)

    async def user_by_id(self, user_id: int) -> SmtpUser | None:
        """See `IAccounts.user_by_id`."""
        found: SmtpUser | None = await self._cache.get(
            ("user id", user_id), lambda connection: account_sql.user_of_id(connection, user_id)
        )
        return found

    async def list_by_id(self, list_id: int) -> MailList | None:
        """See `IAccounts.list_by_id`."""
        found: MailList | None = await self._cache.get(
            ("list id", list_id), lambda connection: account_sql.list_of_id(connection, list_id)
        )
        return found

    async def sender_domains(self, account_id: int) -> Sequence[SenderDomain]:
        """See `IAccounts.sender_domains`."""
        found: tuple[SenderDomain, ...] = await self._cache.get(
            ("domains", account_id),
            lambda connection: tuple(domain_sql.all_domains(connection, account_id)),
        )
        return found

    async def signing_key(self, domain: str) -> DkimKey | None:
        """See `IAccounts.signing_key`."""
        found: DkimKey | None = await self._cache.get(
            ("key", domain_sql.domain_key(domain)),
            lambda connection: domain_sql.active_key(connection, domain, self._seal),
        )
        return found

    # ------------------------------------------------ accounts and lists

    async def accounts(self) -> Sequence[Account]:
        """See `IAccounts.accounts`."""
        return await self._transactions.read(account_sql.all_accounts)

    async def add_account(self, name: str, now: float) -> Account:
        """See `IAccounts.add_account`."""
        return await self._change(lambda tx: account_sql.new_account(tx, name, now))

    async def lists(self, account_id: int | None) -> Sequence[MailList]:
        """See `IAccounts.lists`."""
        return await self._transactions.read(
            lambda connection: account_sql.all_lists(connection, account_id)
        )

    async def add_list(self, account: str, name: str, stream: Stream, now: float) -> MailList:
        """See `IAccounts.add_list`."""
        return await self._change(lambda tx: account_sql.new_list(tx, account, name, stream, now))

    async def list_by_name(self, name: str) -> MailList:
        """See `IAccounts.list_by_name`."""
        return await self._transactions.read(
            lambda connection: account_sql.list_named(connection, name)
        )

    async def set_list(self, list_id: int, key: str, value: Any) -> MailList:
        """See `IAccounts.set_list`."""
        now = self._now()
        return await self._change(lambda tx: account_sql.change_list(tx, list_id, key, value, now))

    async def learn(self, list_id: int, now: float) -> Learnt:
        """See `IAccounts.learn`."""
        at, known = await self._transactions.read(
            lambda connection: subject_sql.learnt(connection, list_id)
        )
        is_recent = at is not None and at <= now < at + _LEARN_SECONDS
        if at is not None and is_recent and (known or now < at + _FIRST_SECONDS):
            return Learnt(at, known)
        counts = await self._transactions.read(
            lambda connection: subject_sql.subjects(connection, list_id, _LEARN_FROM)
        )
        if at is not None and is_recent and len(counts) > _FEW:
            return Learnt(at, known)
        found = await self._transactions.in_files(learn, counts)  # it takes a while

        def work(transaction: Transaction) -> tuple[bool, tuple[LearntPattern, ...]]:
            answer = subject_sql.keep(transaction, list_id, found, now)
            if answer[0]:
                transaction.tell(ACCOUNTS)
            return answer

        is_new, known = await self._transactions.write(work)
        if is_new:
            self._cache.forget()
        return Learnt(now, known)

    # ------------------------------------------------ SMTP users

    async def users(self, account_id: int | None) -> Sequence[SmtpUser]:
        """See `IAccounts.users`."""
        return await self._transactions.read(
            lambda connection: account_sql.all_users(connection, account_id)
        )

    async def add_user(
        self,
        list_id: int,
        username: str | None,
        verifier: ScramVerifier,
        domains: Sequence[str],
        senders: Sequence[str],
        now: float,
    ) -> SmtpUser:
        """See `IAccounts.add_user`."""
        return await self._change(
            lambda tx: account_sql.new_user(tx, list_id, username, verifier, domains, senders, now)
        )

    async def set_user(self, username: str, changes: dict[str, Any]) -> SmtpUser:
        """See `IAccounts.set_user`."""
        now = self._now()
        return await self._change(lambda tx: account_sql.change_user(tx, username, changes, now))

    # ------------------------------------------------ domains and keys

    async def add_domain(
        self, account: str, domain: str, verified_at: float | None, now: float
    ) -> SenderDomain:
        """See `IAccounts.add_domain`."""
        return await self._change(
            lambda tx: domain_sql.new_domain(tx, account, domain, verified_at, now)
        )

    async def set_domain_verified(self, domain: str, verified_at: float | None) -> SenderDomain:
        """See `IAccounts.set_domain_verified`."""
        return await self._change(lambda tx: domain_sql.change_verified(tx, domain, verified_at))

    async def set_tracking_host(self, domain: str, host: str) -> SenderDomain:
        """See `IAccounts.set_tracking_host`."""
        return await self._change(lambda tx: domain_sql.change_tracking_host(tx, domain, host))

    async def domain_by_name(self, domain: str) -> SenderDomain:
        """See `IAccounts.domain_by_name`."""
        return await self._transactions.read(
            lambda connection: domain_sql.domain_named(connection, domain)
        )

    async def keys(self, domain: str) -> Sequence[DkimKey]:
        """See `IAccounts.keys`."""
        return await self._transactions.read(
            lambda connection: domain_sql.domain_keys(connection, domain, self._seal)
        )

    async def add_key(
        self,
        domain: str,
        selector: str,
        private_pem: bytes,
        public_b64: str,
        state: DkimKeyState,
        now: float,
    ) -> DkimKey:
        """See `IAccounts.add_key`."""
        return await self._change(
            lambda tx: domain_sql.new_key(
                tx, self._seal, domain, selector, private_pem, public_b64, state, now
            )
        )

    async def set_key_state(self, domain: str, selector: str, state: DkimKeyState) -> DkimKey:
        """See `IAccounts.set_key_state`."""
        return await self._change(
            lambda tx: domain_sql.change_key_state(tx, self._seal, domain, selector, state)
        )

    async def _change(self, work: Callable[[Transaction], T]) -> T:
        def telling(transaction: Transaction) -> T:
            transaction.tell(ACCOUNTS)
            return work(transaction)

        try:
            return await self._transactions.write(telling)
        finally:
            self._cache.forget()


def _networks(connection: Connection) -> list[tuple[_Network, SmtpUser]]:
    """Networks and the users they stand for, longest prefix first."""
    found: list[tuple[_Network, SmtpUser]] = [
        (ipaddress.ip_network(text, strict=False), user)
        for user in account_sql.users_with_networks(connection)
        for text in user.networks
    ]
    return sorted(found, key=lambda pair: pair[0].prefixlen, reverse=True)
