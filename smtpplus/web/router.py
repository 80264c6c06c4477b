"""Which view answers which path.

A pattern is a path whose segments may be ``{name}``; a parameter is one non-empty segment.
Guarantees: HEAD finds what GET finds; the order of the routes does not matter, a literal segment
wins over a parameter. Raises `PageError`: 404 for an unknown path, 405 with Allow for a known
one. Does not decode: the path comes decoded, once.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic, TypeVar

from smtpplus.web.exchange import PageError, Response

__all__ = ["Access", "Route", "Router"]

V = TypeVar("V")


class Access(enum.Enum):
    """Who may ask."""

    PROBE = "probe"  # machines too: no session, no cookie, any Host
    PUBLIC = "public"  # browsers that are not signed in
    SIGNED_IN = "signed in"


@dataclass(frozen=True, slots=True)
class Route(Generic[V]):
    """One method of one pattern."""

    method: str
    pattern: str
    view: Callable[[V], Awaitable[Response]]
    access: Access = Access.SIGNED_IN


class Router(Generic[V]):
    """Finds routes."""

    def __init__(self, routes: Iterable[Route[V]]) -> None:
        self.routes = tuple(routes)
        ordered = sorted(self.routes, key=lambda route: route.pattern.count("{"))
        self._patterns = [(route, route.pattern.split("/")) for route in ordered]

    def find(self, method: str, path: str) -> tuple[Route[V], dict[str, str]]:
        """The route and the parameters of its pattern.

        Raises:
            PageError: 404, 405 or 501.
        """
        if method not in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}:
            raise PageError(HTTPStatus.NOT_IMPLEMENTED, "This method is not known here.")
        wanted = "GET" if method == "HEAD" else method
        segments = path.split("/")
        allowed: set[str] = set()
        for route, pattern in self._patterns:
            parameters = _match(pattern, segments)
            if parameters is None:
                continue
            if route.method == wanted:
                return route, parameters
            allowed |= {route.method, "HEAD"} if route.method == "GET" else {route.method}
        if allowed:
            raise PageError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "This page cannot be asked in this way.",
                (("Allow", ", ".join(sorted(allowed))),),
            )
        raise PageError(HTTPStatus.NOT_FOUND, "There is no such page.")


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    parameters = {}
    for wanted, segment in zip(pattern, segments, strict=True):
        if wanted.startswith("{"):
            if not segment:
                return None
            parameters[wanted[1:-1]] = segment
        elif wanted != segment:
            return None
    return parameters
