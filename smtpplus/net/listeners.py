"""The listening ports of a role, as one: all of them listen, or none; and a service that has some.

Guarantees: where one cannot listen, those that did stop again. Raises `ConfigError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults

from smtpplus.net.listener import SmtpListener
from smtpplus.values.errors import ConfigError

__all__ = ["Listeners", "ListeningService"]


class Listeners(tuple[SmtpListener, ...]):
    """Several `SmtpListener` that live and end together."""

    __slots__ = ()

    def start(self) -> None:
        """Listen on every address.

        Raises:
            ConfigError: one of them cannot be listened on; then none is.
        """
        started: list[SmtpListener] = []
        try:
            for listener in self:
                listener.start()
                started.append(listener)
        except ConfigError:
            _stop(started, 0.0)
            raise

    def stop(self, seconds: float) -> Deferred[Any]:
        """Accept no more; fires when the last connection has ended, after so long at most."""
        return _stop(self, seconds)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where they listen, as host and port."""
        return [listener.address for listener in self]

    @property
    def connections(self) -> dict[str, int]:
        """Connections now, by the address listened on."""
        return {_shown(one): one.connections for one in self}

    @property
    def stress(self) -> dict[str, bool]:
        """Which are short of connections."""
        return {_shown(one): one.stress is not None for one in self}


class ListeningService(Service):
    """A role that listens. It sets `listeners`, and how long what is under way may take at a stop."""

    listeners: Listeners
    stop_seconds: float

    def startService(self) -> None:
        """Listen on every address.

        Raises:
            ConfigError: one of them cannot be listened on; then none is.
        """
        self.listeners.start()
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Deferred[Any]:
        """Accept no more; fires when the last connection has ended."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self.listeners.stop(self.stop_seconds)


def _shown(listener: SmtpListener) -> str:
    host, port = listener.address
    return f"[{host}]:{port}" if ":" in host else f"{host or '*'}:{port}"


def _stop(listeners: Iterable[SmtpListener], seconds: float) -> Deferred[Any]:
    return gatherResults([Deferred.fromCoroutine(one.stop(seconds)) for one in listeners])
