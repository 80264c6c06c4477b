"""What machines ask for: probes, metrics, static files, robots.txt. No session is looked at."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus

from smtpplus.web.context import Visit
from smtpplus.web.exchange import Asked, PageError, Response
from smtpplus.web.shell import Shell

__all__ = ["MachinePages"]

CONTENT_TYPE_LATEST = "text/plain; version=0.0.4; charset=utf-8"  # of Prometheus
_PLAIN = "text/plain; charset=utf-8"


class MachinePages:
    """Probes and files."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def health(self, _visit: Visit) -> Response:
        """The process runs."""
        return Response(b"ok\n", content_type=_PLAIN)

    async def readiness(self, _visit: Visit) -> Response:
        """It can take and deliver mail now, or 503 and what is missing."""
        missing = await self._shell.ports.unready()
        status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        body = json.dumps({"ready": not missing, "missing": missing}).encode() + b"\n"
        return Response(body, status, "application/json")

    async def metrics(self, visit: Visit) -> Response:
        """For Prometheus; who it is not for learns nothing, not even that it is there."""
        if not self._may_measure(visit.asked):
            raise PageError(HTTPStatus.NOT_FOUND, "There is no such page.")
        return Response(await self._shell.ports.metrics(), content_type=CONTENT_TYPE_LATEST)

    def _may_measure(self, asked: Asked) -> bool:
        settings = self._shell.settings
        scheme, _, token = asked.authorization.partition(" ")
        if settings.metrics_token and scheme.lower() == "bearer":
            wanted = settings.metrics_token.encode()
            return hmac.compare_digest(token.strip().encode("utf-8", "replace"), wanted)
        return not asked.by_stranger and settings.may_measure(asked.client_ip)

    async def robots(self, _visit: Visit) -> Response:
        """Nothing here is for search engines."""
        return Response(b"User-agent: *\nDisallow: /\n", content_type=_PLAIN)

    async def favicon(self, visit: Visit) -> Response:
        """The icon, where browsers look for it."""
        return self._shell.static.answer("favicon.svg", visit.asked)

    async def static(self, visit: Visit) -> Response:
        """A file of the design."""
        return self._shell.static.answer(visit.parameters["name"], visit.asked)
