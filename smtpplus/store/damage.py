"""Damage that readers of a store met, and the look at the whole store that follows (D15).

Guarantees: what was met stands until a look that began after it has passed, or for an hour where
nothing can look; it is looked once an hour at most, or again in a minute where that could not be
done. Any thread may tell what it met, while one looks: each writes names of its own. Starts no
thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.logger import Logger

from smtpplus.values.errors import SmtpplusError, StoreCorruptError

__all__ = ["Damage", "Look"]

_log = Logger()
_LOOK_AFTER_SECONDS = 3_600.0  # it reads the whole store
_AGAIN_AFTER_SECONDS = 60.0

Look: TypeAlias = Callable[[], tuple[str, bool]]
"""What is wrong with the store, "" where nothing is, and does it spread where writing goes on?

Raises errors of ours where it could not look.
"""


class Damage:
    """What is known of it; `look` is None where nothing can look.

    `tell` is called with True where it spreads.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        look: Look | None,
        tell: Callable[[bool], object] = bool,
    ) -> None:
        self._monotonic = monotonic
        self._look = look
        self._tell = tell
        self._met: tuple[str] | None = None  # last; each is another tuple
        self._past: tuple[str] | None = None  # the one that stood when a check began that passed
        self._look_at = float("-inf")
        self.spreading: StoreCorruptError | None = None  # found, and not heeded so far

    @property
    def text(self) -> str:
        """What stands; "" where nothing does."""
        met = self._met
        return "" if met is None or met is self._past else met[0]

    @property
    def is_due(self) -> bool:
        """Is it time to look?"""
        return self._met is not self._past and self._monotonic() >= self._look_at

    def has_met(self, damage: StoreCorruptError) -> None:
        """A reader met `damage`: what it asked for is lost, and told of."""
        if not self.text:
            _log.critical("a part of the store cannot be read: {error}", error=str(damage))
            if self._look is None:
                self._look_at = self._monotonic() + _LOOK_AFTER_SECONDS
        self._met = (str(damage),)

    def begin_check(self) -> Callable[[], None]:
        """A check of the whole store begins; to be called once it has passed."""
        met = self._met

        def passed() -> None:
            self._past = met

        return passed

    def look(self) -> None:
        """Look, if it is time to. Never raises."""
        if not self.is_due:
            return
        passed = self.begin_check()
        if self._look is None:
            passed()  # told of for long enough: the server's own logs know more
            return
        self._look_at = self._monotonic() + _LOOK_AFTER_SECONDS
        try:
            found, spreads = self._look()
        except SmtpplusError as error:
            self._look_at = self._monotonic() + _AGAIN_AFTER_SECONDS
            _log.warn("the store could not be looked at: {error}", error=str(error))
            return
        if spreads:
            self.spreading = StoreCorruptError(found)
            self._tell(True)
        elif found:
            _log.critical("what can be read of the store is still written: {error}", error=found)
        else:
            passed()
            _log.warn("the store passes its check")
