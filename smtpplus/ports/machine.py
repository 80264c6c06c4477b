"""The machine: time, background work and threads, as arguments of a role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from zope.interface import Interface

__all__ = ["IClock", "ISpawn", "IWorkers"]


T = TypeVar("T")


class IClock(Interface):
    """Time, as an argument."""

    def now() -> float:
        """Unix time in seconds: what is stored and shown."""

    def monotonic() -> float:
        """Seconds that never jump: what is measured and waited for."""

    async def sleep(seconds: float) -> None:
        """Return after `seconds` of monotonic time."""

    def call_later(seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call once after `seconds`; the answer cancels it (harmless when it is too late)."""


class ISpawn(Interface):
    """The one place where a coroutine becomes background work."""

    def spawn(name: str, work: Coroutine[Any, Any, Any]) -> Callable[[], None]:
        """Start `work` now; count it under `name`, log its failure. The answer cancels it."""

    async def drain(seconds: float) -> int:
        """Wait for all work to end, at most `seconds`; then cancel. How many were cancelled."""


class IWorkers(Interface):
    """A bounded pool of threads for work that holds the processor or blocks."""

    def run(function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Run ``function(*arguments)`` in a thread; its result or exception arrives here."""
