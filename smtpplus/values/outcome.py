"""What became of one attempt of one delivery: all that a bounce, a notice and a page need."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from smtpplus.values.made_quickly import made_quickly
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["Attempt", "Outcome", "Result", "Stage", "TlsFacts"]


class Stage(enum.StrEnum):
    """Where in an attempt something was said or went wrong."""

    __hash__ = str.__hash__  # Enum's own is slow, and in Python

    ROUTE = "route"  # DNS, null MX, loops: before any connection
    CONNECT = "connect"
    GREETING = "greeting"
    HELLO = "hello"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # the reply to DATA itself
    BODY = "body"  # the reply after the final dot
    RENDER = "render"  # this recipient's copy could not be made


class Result(enum.StrEnum):
    """How an attempt ended for its delivery."""

    __hash__ = str.__hash__

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """A TLS session as a page shows it. `peer_name_ok` and `trusted` are recorded, not enforced."""

    version: str  # "TLSv1.3"
    cipher: str
    subject: str = ""
    issuer: str = ""
    not_after: str = ""  # ISO 8601
    fingerprint_sha256: str = ""
    trusted: bool | None = None
    peer_name_ok: bool | None = None


@made_quickly
@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one delivery: where, how, what was said, how long.

    `started_at` is Unix seconds; `took_ms` wall milliseconds by a monotonic clock; `transcript`
    is bounded and never holds a credential or the body.
    """

    started_at: float
    took_ms: int = 0
    host: str = ""
    ip: str = ""
    port: int = 0
    source_ip: str = ""
    ehlo: str = ""
    tls: TlsFacts | None = None
    reused: bool = False
    signed_by: tuple[str, ...] = field(default=())  # "d=example.com s=sp1"
    sent_bytes: int = 0
    transcript: str = ""
    notes: tuple[str, ...] = field(default=())  # what of the list's wishes could not be done


@made_quickly
@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt: `result`, at which `stage`, by whose `reply`.

    `status` is always set: the peer's enhanced code, or the one that fits (RFC 3463).
    `reply` is the peer's, or None where the fault was found without one (DNS, connection);
    then `text` says what happened. `uncertain` marks a connection lost after the final dot.
    """

    result: Result
    stage: Stage
    status: EnhancedCode
    text: str
    reply: Reply | None = None
    uncertain: bool = False
