"""What machines ask for: probes, static files, robots.txt. No session is looked at."""

from __future__ import annotations

from http import HTTPStatus

from smtpplus.web.context import Visit
from smtpplus.web.exchange import Response
from smtpplus.web.shell import Shell

__all__ = ["MachinePages"]

_PLAIN = "text/plain; charset=utf-8"


class MachinePages:
    """Probes and files."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def health(self, _visit: Visit) -> Response:
        """The process runs."""
        return Response(b"ok\n", content_type=_PLAIN)

    async def readiness(self, _visit: Visit) -> Response:
        """It can take mail now, or 503."""
        if self._shell.ports.ready():
            return Response(b"ready\n", content_type=_PLAIN)
        return Response(b"not ready\n", HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN)

    async def robots(self, _visit: Visit) -> Response:
        """Nothing here is for search engines."""
        return Response(b"User-agent: *\nDisallow: /\n", content_type=_PLAIN)

    async def favicon(self, visit: Visit) -> Response:
        """The icon, where browsers look for it."""
        return self._shell.static.answer("favicon.svg", visit.asked)

    async def static(self, visit: Visit) -> Response:
        """A file of the design."""
        return self._shell.static.answer(visit.parameters["name"], visit.asked)
