"""A span of time whose unit cannot be mistaken."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Duration"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Duration:
    """A span of `seconds`, never negative."""

    seconds: float

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``"90s"``, ``"15m"``, ``"4h"``, ``"5d"``, ``"250ms"``.

        Raises:
            ValueError: the text has no number with one of these units.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a duration such as 90s, 15m, 4h or 5d")
        return cls(seconds=float(match[1]) * _UNITS[match[2]])

    def __str__(self) -> str:
        for unit in ("d", "h", "m"):
            if self.seconds and self.seconds % _UNITS[unit] == 0:
                return f"{self.seconds / _UNITS[unit]:.0f}{unit}"
        # Not by :g, which has six digits and an exponent, and `parse` none.
        return f"{f'{self.seconds:.3f}'.rstrip('0').rstrip('.')}s"
