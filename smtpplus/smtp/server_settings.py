"""What one listener wants of its conversations, and what it knows of their TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ServerSettings", "TlsChannel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a listener's conversations are held; sizes in octets, times in seconds."""

    hostname: str
    max_message_bytes: int = 31_457_280
    max_recipients: int = 1000
    max_messages: int = 0  # per connection, 0: no limit (RFC 9422 MAILMAX where there is one)
    starttls: bool = True  # offer STARTTLS (False on implicit TLS)
    # () is no AUTH at all (receiving listeners).
    mechanisms: tuple[str, ...] = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
    require_auth: bool = True  # MAIL without AUTH: 530 5.7.0
    auth_needs_tls: bool = True  # AUTH is neither offered nor taken in the clear
    bare_line_ends: Literal["normalise", "reject"] = "normalise"
    proxied: bool = False  # a PROXY header must come first
    smtputf8: bool = True
    chunking: bool = True
    dsn: bool = True
    longest_hold: int = 0  # seconds by FUTURERELEASE (RFC 4865), 0: it is not offered
    shortest_by: int | None = None  # seconds by DELIVERBY with R (RFC 2852), None: not offered
    mt_priority: bool = False  # offer MT-PRIORITY (RFC 6710)
    max_errors: int = 20  # then 421
    max_junk: int = 100  # commands without a message in between, then 421
    max_failed_auths: int = 3  # then 421
    tarpit_after: int = 10  # errors
    tarpit_seconds: float = 1.0
    # Does a refused MAIL or RCPT count as an error, where the client is not authenticated?
    refusals_count: bool = True


@dataclass(frozen=True, slots=True)
class TlsChannel:
    """A TLS connection, as the driver knows it.

    `exporter` is the tls-exporter channel binding (RFC 9266), 32 octets, or None where the
    library cannot tell or the version is below 1.3 without extended master secret.
    """

    version: str  # "TLSv1.3"
    cipher: str
    exporter: bytes | None = field(default=None, repr=False)
