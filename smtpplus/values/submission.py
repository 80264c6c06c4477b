"""Who may send what: account, list, SMTP user, sender domain, as the store knows them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smtpplus.values.learnt_pattern import LearntPattern

__all__ = [
    "Account",
    "DkimKey",
    "DkimKeyState",
    "MailList",
    "Person",
    "Role",
    "ScramVerifier",
    "SenderDomain",
    "SmtpUser",
    "Stream",
    "UserStatus",
]


class Stream(enum.StrEnum):
    """What a list's mail is, in the words of the mailbox providers."""

    TRANSACTIONAL = "transactional"
    SUBSCRIBED = "subscribed"


class UserStatus(enum.StrEnum):
    """An SMTP user's state as people set it; `SmtpUser.blocked_until` is the system's own."""

    ACTIVE = "active"
    OFF = "off"
    BLOCKED_BY_OPERATOR = "blocked by operator"


class Role(enum.StrEnum):
    """What a person may do on the pages."""

    OWNER = "owner"
    ANALYST = "analyst"
    OPERATOR = "operator"


class DkimKeyState(enum.StrEnum):
    """A key's place in a rotation: published but unused, signing, still published."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Account:
    """The tenant. `created_at` and all times here are Unix seconds."""

    id: int
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class MailList:
    """The unit of policy inside an account; `settings` are the keys of ``list set``.

    `learnt` are the patterns that its subjects were found to have. `changed_at` is when settings
    or stream were changed last; None: never, or it is not known.
    """

    id: int
    account_id: int
    name: str
    stream: Stream
    settings: dict[str, Any]
    created_at: float
    learnt: tuple[LearntPattern, ...] = ()
    changed_at: float | None = None


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """What is kept of a secret (RFC 5803 §2, SCRAM-SHA-256): the secret itself is not."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SmtpUser:
    """A credential bound to one list. Limits are messages; None means no limit.

    `domains` and `senders` are what this user may send as, among the verified sender domains
    of its account: both empty means all of them. `networks` are CIDRs whose clients submit as
    this user without AUTH and TLS. `changed_at` is when what holds for its messages was changed
    last; None: never, or it is not known. `settings` are those of its list (by key) that are
    otherwise for this user's messages.
    """

    id: int
    account_id: int
    list_id: int
    username: str
    verifier: ScramVerifier
    domains: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    priority: int = 3
    campaign: str = ""
    limit_hour: int | None = None
    limit_day: int | None = None
    duplicates: float = 0.0
    recall: float = 0.0
    status: UserStatus = UserStatus.ACTIVE
    blocked_until: float | None = None
    block_reason: str = ""
    created_at: float = 0.0
    list_name: str = ""
    account_name: str = ""
    changed_at: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """A domain an account may send from; None `verified_at`: ownership is not proven yet.

    `tracking_host` is the name its tracked links have, a CNAME to ours; "": the installation's.
    """

    id: int
    account_id: int
    domain: str
    verified_at: float | None
    created_at: float
    tracking_host: str = ""


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A signing key; `public_b64` is for DNS (p=).

    `private_pem` never leaves the process. It is empty in a list where it does not open with this
    installation's secret.
    """

    id: int
    domain: str
    selector: str
    state: DkimKeyState
    private_pem: bytes = field(repr=False)
    public_b64: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who signs in to the pages; an operator belongs to no account."""

    id: int
    email: str
    role: Role
    account_id: int | None
    has_password: bool
    created_at: float
