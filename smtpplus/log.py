"""The log: one JSON object a line.

Guarantees: whatever an event holds, a line is one line of ASCII, its control characters
escaped, and bounded; a log that cannot be written stops nothing (C4); the message is the event's text, beside the fields it was made of
(ids of messages and the like). Does not choose what is logged, and does not rotate.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
)
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["JsonLines", "LeastLevel", "json_log"]

_MAX_TEXT = 8_192  # characters of a text; a traceback is cut in its middle
_LEGACY = {"message", "isError", "time", "format", "system", "why", "printed"}
_SCALARS = (str, int, float, bool)
_PLUGIN_CACHE = "Unable to write to plugin cache"  # an installation that root made: harmless


@implementer(ILogObserver)
class JsonLines:
    """Writes each event as a line of JSON."""

    def __init__(self, write: Callable[[str], object], flush: Callable[[], object]) -> None:
        self._write = write
        self._flush = flush
        self._lost = 0

    def __call__(self, event: LogEvent) -> None:
        """Write `event`; where that fails, the service goes on, and says so when it can (C4)."""
        if str(event.get("format", "")).startswith(_PLUGIN_CACHE):
            return
        try:
            self._write(_line(event) + "\n")
            self._flush()
        except (OSError, ValueError):  # no room, nobody reads, or it was closed
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._write(_line(_lost_lines(lost, event)) + "\n")


@implementer(ILogFilterPredicate)
class LeastLevel:
    """Passes what is at least of a level, which can be changed."""

    def __init__(self, level: str) -> None:
        self.set(level)

    def set(self, level: str) -> None:
        """From now on: debug, info, warn or error."""
        self._least = LogLevelFilterPredicate(LogLevel.lookupByName(level))

    def __call__(self, event: LogEvent) -> Any:
        """Twisted's question."""
        return self._least(event)


def json_log(
    write: Callable[[str], object], flush: Callable[[], object], least: LeastLevel
) -> ILogObserver:
    """An observer that writes what `least` lets pass."""
    return FilteringLogObserver(JsonLines(write, flush), [least])


def _lost_lines(lost: int, event: LogEvent) -> LogEvent:
    return {
        "log_time": event.get("log_time"),
        "log_level": LogLevel.warn,
        "log_namespace": __name__,
        "log_format": "{lost} lines could not be written to the log",
        "lost": lost,
    }


def _line(event: LogEvent) -> str:
    moment = dt.datetime.fromtimestamp(event.get("log_time") or 0.0, dt.UTC)
    level = event.get("log_level")
    line: dict[str, Any] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": getattr(level, "name", "info"),
        "source": str(event.get("log_namespace", "")),
        "text": _cut(_text(event)),
    }
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        line["traceback"] = _cut(failure.getTraceback())
    line.update(_fields(event))
    # DEL is the one control character that JSON leaves alone.
    return json.dumps(line, allow_nan=False).replace("\x7f", "\\u007f")


def _text(event: LogEvent) -> str:
    return eventAsText(event, includeTraceback=False, includeTimestamp=False, includeSystem=False)


def _fields(event: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in event.items():
        if name.startswith("log_") or name in _LEGACY or not isinstance(value, _SCALARS):
            continue
        if isinstance(value, float):
            found[name] = round(value, 6) if abs(value) < 1e15 else str(value)
        else:
            found[name] = _cut(value) if isinstance(value, str) else value
    return found


def _cut(text: str) -> str:
    if len(text) <= _MAX_TEXT:
        return text
    half = _MAX_TEXT // 2
    return f"{text[:half]} … {text[-half:]}"
