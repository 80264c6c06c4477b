"""Outbound SMTP sessions: dialling, a transaction and what was said to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from zope.interface import Attribute, Interface

from smtpplus.ports.contents import IBody
from smtpplus.values.envelope import Envelope
from smtpplus.values.reply import Reply

__all__ = ["Extensions", "IDialer", "ISmtpSession", "SessionLostError", "TransactionReplies"]


class SessionLostError(Exception):
    """The session ended, timed out or broke protocol; nothing more can be done with it.

    Its text is one sentence for a person: what was waited for and what happened.
    `after_final_dot`: the remote may have taken the message (RFC 1047).
    `reply` is what the remote said where it said 421 on its own.
    """

    def __init__(
        self, text: str, *, after_final_dot: bool = False, reply: Reply | None = None
    ) -> None:
        super().__init__(text)
        self.after_final_dot = after_final_dot
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the remote's EHLO reply offered; keywords upper-case, parameters as they came."""

    keywords: dict[str, str] = field(default_factory=dict)

    def __contains__(self, keyword: object) -> bool:
        return keyword in self.keywords

    @property
    def size(self) -> int | None:
        """SIZE's limit in octets; None where not offered or without limit (RFC 1870 §4)."""
        value = self.keywords.get("SIZE", "")
        return int(value) if value.isdecimal() and len(value) < 19 and int(value) else None

    @property
    def auth(self) -> frozenset[str]:
        """SASL mechanisms offered."""
        return frozenset(self.keywords.get("AUTH", "").upper().split())

    @property
    def shortest_by(self) -> int:
        """The least that DELIVERBY takes with R, in seconds; 0: not said (RFC 2852 §3)."""
        value = self.keywords.get("DELIVERBY", "")
        return int(value) if value.isdecimal() and len(value) < 10 else 0

    @property
    def mail_limit(self) -> int | None:
        """LIMITS' MAILMAX: transactions a session may carry (RFC 9422 §4.1); None: not said."""
        for limit in self.keywords.get("LIMITS", "").upper().split():
            name, _, value = limit.partition("=")
            if name == "MAILMAX" and value.isdecimal() and len(value) < 10 and int(value):
                return int(value)
        return None


@dataclass(frozen=True, slots=True)
class TransactionReplies:
    """What the remote said to one transaction; None where it was not asked.

    `recipients` has one reply per envelope recipient (None: MAIL failed). `final` is the reply
    after the final dot, `data` the one to DATA (None with BDAT).
    """

    mail: Reply | None
    recipients: tuple[Reply | None, ...]
    data: Reply | None
    final: Reply | None


class ISmtpSession(Interface):
    """An outbound SMTP session. Every method may raise `SessionLostError`; then it is closed."""

    host = Attribute("Host name the session was dialled for (str).")
    ip = Attribute("The remote's address (str).")
    port = Attribute("The remote's port (int).")
    source_ip = Attribute("Our own address (str).")
    extensions = Attribute("`Extensions` of the last EHLO.")
    tls = Attribute("`TlsFacts` or None.")
    messages = Attribute("How many transactions it has carried (int).")
    is_open = Attribute("False once the session was lost, quit or aborted (bool).")

    async def greeting() -> Reply:
        """The 220 banner, or what came in its place."""

    async def hello(name: str) -> Reply:
        """EHLO; HELO where EHLO is not known (5xx). Sets `extensions`."""

    async def start_tls(server_name: str) -> Reply:
        """STARTTLS and, after 220, the handshake (no verification is enforced: `tls` records it).

        `extensions` is empty afterwards: say `hello` again. Octets the remote sent in the clear
        after its 220 end the session (T2).
        """

    async def log_in(username: str, password: str) -> Reply:
        """AUTH by the best mechanism both sides know."""

    async def send(envelope: Envelope, body: IBody) -> TransactionReplies:
        """One transaction, pipelined where offered; closes `body`.

        The parameters the remote offers are used, the others left out. A refused transaction
        leaves the session usable.
        """

    async def reset() -> Reply:
        """RSET."""

    async def quit() -> None:
        """QUIT, wait briefly for its reply, close. Never raises."""

    def abort() -> None:
        """Close at once."""

    def withdraw() -> None:
        """Close at once, unless the final dot was sent: then its reply is still waited for."""

    def transcript() -> str:
        """What was said since the last call, at most 16 KiB; no credentials, no body."""


class IDialer(Interface):
    """Opens outbound sessions."""

    async def dial(host: str, ip: str, port: int, source_ip: str | None) -> ISmtpSession:
        """Connect to `ip`; `host` is its name, for TLS and for the record.

        Raises:
            SessionLostError: no connection, with the operating system's reason.
        """
