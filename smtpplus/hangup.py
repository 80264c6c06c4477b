"""SIGHUP: the configuration and the certificates are read again.

Guarantees: a bad configuration is told of in the log, and the one before stays. Raises nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from smtpplus.assembly import Assembly
from smtpplus.config import Config
from smtpplus.log import LeastLevel
from smtpplus.values.errors import SmtpplusError

__all__ = ["Hangup"]


class Hangup:
    """What a process does when it is told."""

    _log = Logger()

    def __init__(
        self, service: Assembly, least: LeastLevel, load_again: Callable[[], Config]
    ) -> None:
        self._service = service
        self._least = least
        self._load_again = load_again

    def watch(self, reactor: Any) -> None:
        """From now on. The reactor sets its own signals when it begins to run: after that."""

        def hung_up(_number: int, _frame: object) -> None:
            reactor.callFromThread(self.reload)

        signal.signal(signal.SIGHUP, hung_up)

    def reload(self) -> None:
        """Now."""
        try:
            config = self._load_again()
            found = self._service.reconfigure(config)
        except (SmtpplusError, OSError) as error:
            self._log.error(
                "the new configuration is not used, the one before stays: {error}",
                error=str(error),
            )
            return
        self._least.set(found.config.log.level)
        self._log.info(
            "the configuration was read again; changed: {changed}",
            changed=", ".join(found.changed) or "nothing",
        )
        for key in found.waiting:
            self._log.warn("{key} has changed, which holds after a restart", key=key)
