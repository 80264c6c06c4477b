"""The web role: listens, and ends in good order.

Guarantees: after `stopService` has fired nothing listens and no connection is open. Raises
ConfigError at start where the address is not to be had. Does not
speak TLS: a proxy in front does.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred

from smtpplus.net.bound import BoundPorts
from smtpplus.web.context import WebPorts, WebSettings
from smtpplus.web.site import make_site

__all__ = ["WebService"]


class WebService(Service):
    """Serves the pages on ``host:port`` (port 0: the kernel chooses; see `port`)."""

    def __init__(
        self,
        ports: WebPorts,
        settings: WebSettings,
        reactor: Any,
        listen: str,
        bound: BoundPorts | None = None,
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        self._bound = bound or BoundPorts()
        self._reactor = reactor
        self._site = make_site(ports, settings, reactor)
        self._listening: Any = None

    @property
    def port(self) -> int:
        """Where it listens; 0 before it does."""
        return int(self._listening.getHost().port) if self._listening else 0

    @property
    def responses(self) -> dict[str, int]:
        """Opens and clicks of this process: written, lost, waiting."""
        tracking = self._site.tracking
        return {} if tracking is None else tracking.recorder.counts

    def startService(self) -> None:
        """Listen."""
        super().startService()  # type: ignore[no-untyped-call]
        host, port = self._address
        self._listening = self._bound.listen(self._reactor, host, port, self._site)

    def reconfigure(self, settings: WebSettings) -> None:
        """Hold to `settings` from the next request on; the public address stays what it is."""
        self._site.reconfigure(settings)

    def stopService(self) -> Deferred[None]:
        """Take no new connections and end the idle ones."""
        listening, self._listening = self._listening, None
        stopped: Deferred[Any] = maybeDeferred(Service.stopService, self)
        if listening is None:
            return stopped
        self._site.close_connections()
        return Deferred.fromCoroutine(self._stop(listening))

    async def _stop(self, listening: Any) -> None:
        await maybeDeferred(listening.stopListening)
        if self._site.tracking is not None:
            await self._site.tracking.recorder.stop()
