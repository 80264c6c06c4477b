"""Enhanced mail system status codes (RFC 3463, registry of RFC 5248).

Guarantees: an `EnhancedCode` is always well formed. Does not judge what a code means for a
delivery; `smtpplus.rules.failure` and `smtpplus.rules.verdict` do.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

__all__ = ["EnhancedCode"]

_LONGEST = len("5.999.999")
_PATTERN = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")


@dataclass(frozen=True, slots=True, order=True)
class EnhancedCode:
    """``class.subject.detail``: 2 success, 4 persistent transient, 5 permanent (RFC 3463 §2)."""

    klass: int
    subject: int
    detail: int

    @classmethod
    def parse(cls, text: str) -> EnhancedCode | None:
        """The code that `text` is, or None where it is not one."""
        return _parsed(text) if len(text) <= _LONGEST else None

    @classmethod
    def leading(cls, text: str) -> tuple[EnhancedCode | None, str]:
        """Split a reply's text into its leading code, if any, and the rest (RFC 2034 §4)."""
        first, _, rest = text.partition(" ")
        code = cls.parse(first)
        return (code, rest.lstrip()) if code else (None, text)

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"


@functools.lru_cache(maxsize=512)  # few codes are in use
def _parsed(text: str) -> EnhancedCode | None:
    match = _PATTERN.fullmatch(text)
    return EnhancedCode(*map(int, match.groups())) if match else None
