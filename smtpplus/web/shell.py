"""What every page stands in: templates, navigation, the common names of the templates.

Guarantees: a page is rendered whole, or as its live part where the script asks for that.
Raises what the templates raise.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from smtpplus.values.submission import Role
from smtpplus.web.context import Visit, WebPorts, WebSettings
from smtpplus.web.exchange import Asked, PageError, Response, redirect
from smtpplus.web.static import StaticFiles
from smtpplus.web.templates import Templates, templates_folder

__all__ = ["Shell"]


class Shell:
    """Ports, settings and templates, as the pages share them."""

    def __init__(self, ports: WebPorts, settings: WebSettings) -> None:
        folder = templates_folder()
        self.ports = ports
        self.settings = settings
        self.static = StaticFiles(folder / "static", settings.base)
        self._templates = Templates(
            folder,
            base=settings.base,
            hostname=settings.hostname,
            static=self.static.url,
        )

    def show(
        self,
        visit: Visit,
        name: str,
        values: dict[str, Any],
        status: HTTPStatus = HTTPStatus.OK,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """The page `name`, in its current state."""
        everything = {
            "visit": visit,
            "person": visit.person,
            "is_operator": visit.person is not None and visit.person.role is Role.OPERATOR,
            "now": visit.now,
            "page": name,
            **values,
        }
        if visit.asked.is_live:
            return Response(self._templates.part(name, everything), status, headers=headers)
        return Response(self._templates.page(name, everything), status, headers=headers)

    def render(self, name: str, values: dict[str, Any]) -> bytes:
        """The page `name` of somebody who is not a person of ours: nothing but `values` is known."""
        return self._templates.page(name, values)

    def show_error(self, visit: Visit, error: PageError) -> Response:
        """The page that says what went wrong and what to do."""
        asked = visit.asked
        values = {"status": int(error.status), "phrase": error.status.phrase, "text": error.text}
        if asked.host and not self.settings.knows_host(asked.host):
            body = f"{error.status.phrase}. {error.text}\n".encode()  # a tracking host: no name
            return Response(body, error.status, "text/plain; charset=utf-8", error.headers)
        if asked.is_live:
            body = f"{error.status.phrase}\n".encode()
            return Response(body, error.status, "text/plain; charset=utf-8", error.headers)
        return self.show(visit, "error", values, error.status, error.headers)

    def show_plain_error(self, asked: Asked, error: PageError) -> Response:
        """The same without knowing who asks."""
        return self.show_error(Visit(asked=asked, now=self.ports.clock.now(), csrf=""), error)

    def go(self, path: str, *cookies: str) -> Response:
        """See Other, to a page of ours."""
        return redirect(self.settings.base + path, *cookies)
