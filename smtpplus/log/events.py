"""What goes through twisted.logger, as lines of JSON.

Guarantees: whatever an event holds, its line is bounded; the message is the event's text, beside
the fields it was made of (ids of messages and the like). Does not choose what is logged, and
does not write.
"""

from __future__ import annotations

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

from smtpplus.log.lines import Moments, cut, line

__all__ = ["JsonLines", "LeastLevel", "json_log"]

_LEGACY = {"message", "isError", "time", "format", "system", "why", "printed"}
_SCALARS = (str, int, float, bool)
_PLUGIN_CACHE = "Unable to write to plugin cache"  # an installation that root made: harmless


@implementer(ILogObserver)
class JsonLines:
    """Puts each event, as a line of JSON, to the log."""

    def __init__(self, put: Callable[[str], object]) -> None:
        self._put = put

    def __call__(self, event: LogEvent) -> None:
        """Put `event`."""
        if not str(event.get("format", "")).startswith(_PLUGIN_CACHE):
            self._put(_line(event))


@implementer(ILogFilterPredicate)
class LeastLevel:
    """Passes what is at least of a level, which can be changed."""

    def __init__(self, level: str) -> None:
        self.set(level)

    def set(self, level: str) -> None:
        """From now on: debug, info, warn or error."""
        self._least = LogLevelFilterPredicate(LogLevel.lookupByName(level))
        self.passes_info = level in {"debug", "info"}

    def __call__(self, event: LogEvent) -> Any:
        """Twisted's question."""
        return self._least(event)


def json_log(put: Callable[[str], object], least: LeastLevel) -> ILogObserver:
    """An observer that puts what `least` lets pass."""
    return FilteringLogObserver(JsonLines(put), [least])


def _line(event: LogEvent) -> str:
    level = event.get("log_level")
    fields: dict[str, Any] = {
        "time": Moments()(event.get("log_time") or 0.0),
        "level": getattr(level, "name", "info"),
        "source": str(event.get("log_namespace", "")),
        "text": cut(_text(event)),
    }
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        fields["traceback"] = cut(failure.getTraceback())
    fields.update(_fields(event))
    return line(fields)


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
            found[name] = cut(value) if isinstance(value, str) else value
    return found
