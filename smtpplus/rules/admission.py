"""Who may send as whom and to whom: AUTH, MAIL, RCPT and the From and Sender headers.

The rule for senders, which is the safe one of those in use: an address may be sent from when

1. its domain is itself a *verified* sender domain of the user's account, letter for letter.
   A verified ``example.com`` says nothing about ``shop.example.com``: the other one needs its
   own proof, its own DKIM key and its own owner (A7);
2. and the SMTP user is authorised for it: its `domains` hold this domain or a parent of it,
   or its `senders` hold this address, or both are empty, which means all of (1).

The null reverse path is admitted for whoever is signed in (auto-replies, RFC 3834 §3.3); the
From header is checked all the same. Recipients are unrestricted for a signed-in user, but for
their domain, which has to be fully qualified (RFC 6409 §4.2); tricks such as ``user%other@host``
are addresses like any other.

Guarantees: pure. Raises nothing: a refusal is the `Reply` to give, None means go on.
Does not look anything up and does not count (see `smtpplus.rules.quota`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smtpplus.values.address import Address, to_ascii
from smtpplus.values.errors import AddressError
from smtpplus.values.reply import Reply
from smtpplus.values.submission import SenderDomain, SmtpUser, UserStatus

__all__ = [
    "BAD_CREDENTIALS",
    "SenderRights",
    "refuse_header",
    "refuse_recipient",
    "refuse_sender",
    "refuse_sign_in",
    "refuse_user",
]

BAD_CREDENTIALS = Reply.of(535, "5.7.8", "Authentication credentials invalid")  # RFC 4954 §6


@dataclass(frozen=True, slots=True)
class SenderRights:
    """What one SMTP user may send as. Domains in lower-case A-labels, senders as `Address.key`."""

    username: str
    account_name: str
    verified: frozenset[str]
    unverified: frozenset[str]
    domains: frozenset[str]
    senders: frozenset[str]

    @classmethod
    def of(cls, user: SmtpUser, sender_domains: Iterable[SenderDomain]) -> SenderRights:
        """The rights of `user`, whose account has `sender_domains`."""
        known = tuple(one for one in sender_domains if one.account_id == user.account_id)
        return cls(
            username=user.username,
            account_name=user.account_name,
            verified=frozenset(
                to_ascii(one.domain) for one in known if one.verified_at is not None
            ),
            unverified=frozenset(to_ascii(one.domain) for one in known if one.verified_at is None),
            domains=frozenset(to_ascii(domain) for domain in user.domains),
            senders=frozenset(filter(None, map(_key, user.senders))),
        )

    def refusal(self, address: Address) -> str | None:
        """Why `address` may not be sent from, as a sentence with the way out; None: it may."""
        domain = address.ascii_domain
        if domain in self.verified and self._is_authorised(domain, address.key):
            return None
        what = f"<{address.wire}> is not an authorised sender of user {self.username}"
        if domain in self.unverified:
            return (
                f"{what}: the ownership of {domain} is not proven yet,"
                f" see `smtpplus domain check {domain}`"
            )
        if domain not in self.verified:
            account = self.account_name or "ACCOUNT"
            return f"{what}: add the domain with `smtpplus domain add {account} {domain}`"
        key = "domains" if self.domains or not self.senders else "senders"
        return f"{what}: extend them with `smtpplus user set {self.username} {key} ...`"

    def _is_authorised(self, domain: str, key: str) -> bool:
        if not self.domains and not self.senders:
            return True
        if key in self.senders or domain in self.domains:
            return True
        labels = domain.split(".")
        return any(".".join(labels[start:]) in self.domains for start in range(1, len(labels)))


def refuse_sign_in(user: SmtpUser, now: float) -> Reply | None:
    """AUTH with the right secret. Switched off by people, it is as if the secret were wrong."""
    if user.status is not UserStatus.ACTIVE:
        return BAD_CREDENTIALS
    if user.blocked_until is not None and now < user.blocked_until:
        return Reply.of(454, "4.7.0", _blocked(user.username, user.blocked_until))
    return None


def refuse_user(user: SmtpUser, now: float) -> Reply | None:
    """MAIL of a session that is signed in: the user's state may have changed since."""
    if user.status is not UserStatus.ACTIVE:
        return Reply.of(550, "5.7.1", f"User {user.username} may not send")
    if user.blocked_until is not None and now < user.blocked_until:
        return Reply.of(451, "4.7.1", _blocked(user.username, user.blocked_until))
    return None


def refuse_sender(rights: SenderRights, sender: Address | None) -> Reply | None:
    """MAIL FROM."""
    if sender is None:
        return None
    return _refused(rights.refusal(sender))


def refuse_header(
    rights: SenderRights, header_from: Sequence[Address], header_sender: Address | None
) -> Reply | None:
    """The From header's addresses and the Sender header's, at the end of the content (DM4)."""
    for address in (*header_from, *((header_sender,) if header_sender else ())):
        why = rights.refusal(address)
        if why is not None:
            return _refused(f"The header names a sender that is not allowed: {why}")
    return None


def refuse_recipient(recipient: Address, hostname: str = "") -> Reply | None:
    """RCPT TO of a signed-in user; our own `hostname` is always in order."""
    if (
        recipient.is_literal
        or "." in recipient.domain
        or recipient.ascii_domain == hostname.lower()
    ):
        return None
    return Reply.of(  # RFC 6409 §4.2
        550,
        "5.1.2",
        f"The domain of <{recipient.wire}> is not fully qualified: give it in full,"
        f" such as {recipient.domain}.example.com",
    )


def _blocked(username: str, until: float) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(until))
    return f"User {username} is blocked until {when} UTC, please try again then"


def _refused(why: str | None) -> Reply | None:
    return None if why is None else Reply.of(550, "5.7.1", why)


def _key(sender: str) -> str | None:
    try:
        return Address.parse(sender).key
    except AddressError:
        return None  # what was never an address authorises nothing
