"""Credentials that were right lately, so that a client which signs in for each mail is cheap.

Guarantees: holds no password, only HMACs under a key of this process, bound to the verifier
they were right for: a changed secret is another row. Bounded, and short-lived. Raises nothing.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict

from smtpplus.values.submission import ScramVerifier

__all__ = ["VerifiedCredentials"]


class VerifiedCredentials:
    """Rows live for `seconds`; `key` is random and this process's own."""

    __slots__ = ("_key", "_most", "_seconds", "_until")

    def __init__(self, key: bytes, *, seconds: float = 300.0, most: int = 10_000) -> None:
        self._key = key
        self._seconds = seconds
        self._most = most
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def mark(self, verifier: ScramVerifier, password: str) -> bytes:
        """What stands for this password of this verifier."""
        octets = verifier.stored_key + password.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, octets, "sha256")

    def holds(self, mark: bytes, now: float) -> bool:
        """Was it right lately? `now` is seconds of a clock that never jumps."""
        until = self._until.get(mark)
        return until is not None and now < until

    def add(self, mark: bytes, now: float) -> None:
        """It is right."""
        self._until[mark] = now + self._seconds
        self._until.move_to_end(mark)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._until)
