"""DNS, as a role asks for it: answers or one of two errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zope.interface import Interface

__all__ = ["IResolver", "LookupFailedError", "MxHost", "NoSuchDomainError"]


class LookupFailedError(Exception):
    """DNS gave no answer that can be relied on (SERVFAIL, time-out, REFUSED, bogus)."""


class NoSuchDomainError(Exception):
    """NXDOMAIN: the name does not exist."""


@dataclass(frozen=True, slots=True)
class MxHost:
    """One MX record; `host` in lower-case A-labels without the final dot, "" for null MX."""

    preference: int
    host: str


class IResolver(Interface):
    """DNS. An empty answer means: the name exists, without records of this type (NODATA)."""

    async def mx(domain: str) -> Sequence[MxHost]:
        """MX records as they came, unsorted.

        Raises:
            NoSuchDomainError: NXDOMAIN.
            LookupFailedError: no reliable answer.
        """

    async def addresses(host: str) -> Sequence[str]:
        """A and AAAA records, IPv6 first where this machine has IPv6. Raises as `mx`."""

    async def txt(name: str) -> Sequence[str]:
        """TXT records, the strings of each joined. Raises as `mx`."""
