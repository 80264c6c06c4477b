"""When an outbound session uses TLS, and whether it may go on without (T7, TL2, TL3).

Without a policy a certificate proves nothing about the right host (MX answers are not signed),
so it is recorded and never enforced; encryption is used whenever the remote offers it.
"""

from __future__ import annotations

import enum

__all__ = ["TlsLevel", "may_fall_back", "starts_tls"]


class TlsLevel(enum.StrEnum):
    """How much TLS a destination gets."""

    NONE = "none"  # never: a next hop on the same machine
    MAY = "may"  # opportunistic (RFC 7435)
    REQUIRE = "require"  # no clear text, ever; no name is checked


def starts_tls(level: TlsLevel, *, offered: bool) -> bool | None:
    """Say STARTTLS? None: the session must end, TLS is required and not offered."""
    if level is TlsLevel.NONE:
        return False
    if offered:
        return True
    return None if level is TlsLevel.REQUIRE else False


def may_fall_back(level: TlsLevel) -> bool:
    """After a failed handshake: once more in the clear, on a new connection?"""
    return level is TlsLevel.MAY
