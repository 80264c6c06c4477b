"""The mail that a trial's mailbox server took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zope.interface import Interface

__all__ = ["ISandbox", "SandboxMail"]


@dataclass(frozen=True, slots=True)
class SandboxMail:
    """A mail the sandbox took. `content` is what arrived, octet for octet."""

    id: int
    received_at: float
    sender: str
    recipient: str
    subject: str
    header_from: str
    octets: int
    tls: str
    content: bytes | None


class ISandbox(Interface):
    """The mail a trial's mailbox server took. Bounded: the oldest go first."""

    async def keep(mail: SandboxMail) -> None:
        """Keep one."""

    async def mails(search: str, before: int | None, most: int) -> Sequence[SandboxMail]:
        """Newest first, `content` left out."""

    async def mail(mail_id: int) -> SandboxMail | None:
        """One, whole."""
