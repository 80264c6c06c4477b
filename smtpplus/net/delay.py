"""How late the reactor is: a timer that measures its own lateness.

Guarantees: `worst` is the greatest lateness of about the last minute. Does not say who was slow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from smtpplus.ports import IClock

__all__ = ["ReactorDelay"]

_EVERY_SECONDS = 0.5
_REMEMBERED = 120  # measurements: a minute


class ReactorDelay:
    """Measures twice a second; `observe` gets each lateness, in seconds."""

    def __init__(self, clock: IClock, observe: Callable[[float], None]) -> None:
        self._clock = clock
        self._observe = observe
        self._seen: deque[float] = deque(maxlen=_REMEMBERED)
        self._cancel: Callable[[], None] | None = None

    @property
    def worst(self) -> float:
        """The greatest of the last minute, seconds."""
        return max(self._seen, default=0.0)

    def start(self) -> None:
        """Measure from now on."""
        due = self._clock.monotonic() + _EVERY_SECONDS

        def look() -> None:
            late = max(self._clock.monotonic() - due, 0.0)
            self._seen.append(late)
            self._observe(late)
            self.start()

        self._cancel = self._clock.call_later(_EVERY_SECONDS, look)

    def stop(self) -> None:
        """Measure no longer."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
