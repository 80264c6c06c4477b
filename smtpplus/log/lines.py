"""A line of the log: one JSON object.

Guarantees: whatever the fields hold, a line is one line of ASCII, its control characters escaped
(S17). Does not bound its fields: see `cut`.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import msgspec

__all__ = ["Moments", "cut", "line"]

_MAX_TEXT = 8_192  # characters of a text; a traceback is cut in its middle
_quick = msgspec.json.Encoder().encode


def line(fields: dict[str, Any]) -> str:
    """`fields` as a line, with its end.

    Raises:
        ValueError: a number is not finite.
    """
    try:
        octets = _quick(fields)
        if octets.isascii() and b"\x7f" not in octets:  # the usual case, at a seventh of the time
            return octets.decode("ascii") + "\n"
    except (UnicodeEncodeError, OverflowError):  # half a surrogate pair, a huge number
        pass
    # DEL is the one control character that JSON leaves alone.
    return json.dumps(fields, allow_nan=False).replace("\x7f", "\\u007f") + "\n"


def cut(text: str, most: int = _MAX_TEXT) -> str:
    """`text`, without its middle where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … {text[-half:]}"


class Moments:
    """Writes Unix times as ``2026-11-23T09:41:07.123Z``, remembering the last second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = 0
        self._text = "1970-01-01T00:00:00"

    def __call__(self, at: float) -> str:
        """`at`, in UTC, its milliseconds cut off."""
        second = int(at)
        if second != self._second:
            moment = dt.datetime.fromtimestamp(second, dt.UTC)
            self._text = moment.isoformat(timespec="seconds")[:19]
            self._second = second
        return f"{self._text}.{int((at - second) * 1000):03d}Z"
