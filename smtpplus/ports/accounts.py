"""Accounts, lists, SMTP users, sender domains and their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import Attribute, Interface

from smtpplus.values.learnt_pattern import Learnt
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

__all__ = ["IAccounts"]


class IAccounts(Interface):
    """Accounts, lists, SMTP users, sender domains and their keys.

    Readers answer from the store's latest commit, also another process's, within 2 s.
    Writers raise NotFoundError, ConflictError or UsageError, with a sentence for the person.
    """

    changes = Attribute(
        "Grows whenever what was answered before may not be the answer any more (int)."
    )

    async def user_by_name(username: str) -> SmtpUser | None:
        """The SMTP user, whatever its status (cached; exact spelling, case-insensitive)."""

    async def user_by_ip(ip: str) -> SmtpUser | None:
        """The active SMTP user whose `networks` hold `ip`, longest prefix first (cached)."""

    async def user_by_id(user_id: int) -> SmtpUser | None:
        """The SMTP user with this id (cached)."""

    async def list_by_id(list_id: int) -> MailList | None:
        """The list with this id (cached)."""

    async def sender_domains(account_id: int) -> Sequence[SenderDomain]:
        """The account's domains, verified or not (cached)."""

    async def signing_key(domain: str) -> DkimKey | None:
        """The active DKIM key of exactly this domain (cached)."""

    async def accounts() -> Sequence[Account]:
        """All accounts by name."""

    async def add_account(name: str, now: float) -> Account:
        """A new account."""

    async def lists(account_id: int | None) -> Sequence[MailList]:
        """Lists, of one account or all."""

    async def add_list(account: str, name: str, stream: Stream, now: float) -> MailList:
        """A new list in the account named `account`."""

    async def list_by_name(name: str) -> MailList:
        """A list by ``name`` where it is unique, or ``account/name``."""

    async def set_list(list_id: int, key: str, value: Any) -> MailList:
        """Change one setting; the caller has checked key and value."""

    async def learn(list_id: int, now: float) -> Learnt:
        """What the list's subjects have in common, learnt again if that is ten minutes ago.

        From the account's newest messages, and kept: what was known stays (`MailList.learnt`).
        The work is done in a thread, at most once in ten minutes for a list, whoever asks; once a
        minute where nothing is known yet and there are few subjects to learn from.
        """

    async def users(account_id: int | None) -> Sequence[SmtpUser]:
        """SMTP users, of one account or all."""

    async def add_user(
        list_id: int,
        username: str | None,
        verifier: ScramVerifier,
        domains: Sequence[str],
        senders: Sequence[str],
        now: float,
    ) -> SmtpUser:
        """A new SMTP user; `username` None: the next of the form ``s12345_07``."""

    async def set_user(username: str, changes: dict[str, Any]) -> SmtpUser:
        """Change fields of `SmtpUser` by name (`verifier` among them)."""

    async def add_domain(
        account: str, domain: str, verified_at: float | None, now: float
    ) -> SenderDomain:
        """A new sender domain. A domain belongs to one account of the installation."""

    async def set_domain_verified(domain: str, verified_at: float | None) -> SenderDomain:
        """Ownership proven, or no longer."""

    async def set_tracking_host(domain: str, host: str) -> SenderDomain:
        """The name of the domain's tracked links, "" for the installation's; it was checked."""

    async def domain_by_name(domain: str) -> SenderDomain:
        """A sender domain."""

    async def keys(domain: str) -> Sequence[DkimKey]:
        """All DKIM keys of a domain, newest first."""

    async def add_key(
        domain: str,
        selector: str,
        private_pem: bytes,
        public_b64: str,
        state: DkimKeyState,
        now: float,
    ) -> DkimKey:
        """Keep a key. A new active key retires the one before."""

    async def set_key_state(domain: str, selector: str, state: DkimKeyState) -> DkimKey:
        """Rotate: making a key active retires the active one."""
