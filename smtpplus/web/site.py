"""The Twisted site: requests in, answers out, the same security headers on every answer.

Guarantees: no view's exception reaches a client (a page with a reference does, the log has the
rest), nothing is sent after the client went, HEAD has GET's headers, X-Forwarded-* count only
from trusted proxies, and no address (it may hold a one-time token) is logged. Does not listen.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from smtpplus.values.errors import StoreBrokenError, StoreUnavailableError
from smtpplus.web.channel import IDLE_SECONDS, PageChannel, PageRequest
from smtpplus.web.context import WebPorts, WebSettings
from smtpplus.web.exchange import Asked, PageError, Response, parse_form, parse_multipart
from smtpplus.web.gate import Gate
from smtpplus.web.peers import client_ip, header, peer
from smtpplus.web.router import Router
from smtpplus.web.routes import all_routes
from smtpplus.web.shell import Shell
from smtpplus.web.tracking.front import TrackingFront
from smtpplus.web.tracking.hits import plain_text
from smtpplus.web.tracking.recorder import Recorder

__all__ = ["PageSite", "make_site"]

_FORM_TYPE = "application/x-www-form-urlencoded"
_MULTIPART_TYPE = "multipart/form-data"
_MOST_PATH = 2048


def make_site(ports: WebPorts, settings: WebSettings, reactor: Any) -> PageSite:
    """All pages of smtpplus, ready to be listened with."""
    shell = Shell(ports, settings)
    gate = Gate(shell, Router(all_routes(shell)))
    tracking = None
    if ports.tracking is not None:
        recorder = Recorder(ports.tracking.responses, ports.accounts, ports.clock, ports.spawn)
        tracking = TrackingFront(ports.tracking.tokens, ports.clock, recorder)
    return PageSite(_Pages(shell, gate, tracking), reactor, shell, tracking)


class PageSite(Site):
    """Twisted's site with our connections, and without its access log."""

    protocol = PageChannel  # type: ignore[assignment]

    def __init__(
        self, resource: Resource, reactor: Any, shell: Shell, tracking: TrackingFront | None
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            resource,
            requestFactory=PageRequest,
            parsePOSTFormSubmission=False,
            timeout=IDLE_SECONDS,
            reactor=reactor,
        )
        self.channels: set[PageChannel] = set()
        self.tracking = tracking
        self._shell = shell

    def reconfigure(self, settings: WebSettings) -> None:
        """Hold to `settings` from now on."""
        self._shell.settings = settings

    def answered(self, octets: bytes, peer: str) -> bytes | None:
        """The answer to a whole request for a pixel or a link; None: it has to be parsed."""
        if self.tracking is None:
            return None
        return self.tracking.answered(octets, peer, self._shell.settings)

    def startFactory(self) -> None:
        """No access log: `_Pages` logs routes, never addresses."""

    def stopFactory(self) -> None:
        """Nothing was opened."""

    def log(self, request: Any) -> None:
        """See `startFactory`."""

    def close_connections(self) -> None:
        """End what idles; what is being answered ends with its answer."""
        for channel in list(self.channels):
            channel.close_soon()


class _Pages(Resource):
    """The one resource: every path is the router's."""

    isLeaf = True  # noqa: N815  # Twisted names it

    def __init__(self, shell: Shell, gate: Gate, tracking: TrackingFront | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._shell = shell
        self._tracking = tracking
        self._gate = gate
        self._log = Logger()

    def render(self, request: Request) -> int:
        """Answer opens and clicks at once, all else in the background."""
        if self._tracking is not None:
            part = self._tracking.part_of(request.uri, self._shell.settings)
            if part is not None:
                self._tracking.answer(request, part, self._shell.settings)
                return NOT_DONE_YET
        open_ = _StillThere(request)
        self._shell.ports.spawn.spawn("web request", self._answer(request, open_))
        return NOT_DONE_YET

    async def _answer(self, request: Request, client: _StillThere) -> None:
        started = self._shell.ports.clock.monotonic()
        response = await self._response(request)
        if client.is_there:
            _send(request, response, secure=self._shell.settings.is_https)
        self._log.debug(
            "web {method} answered {status} in {ms} ms",
            method=request.method.decode("ascii", "replace"),
            status=int(response.status),
            ms=int((self._shell.ports.clock.monotonic() - started) * 1000),
        )

    async def _response(self, request: Request) -> Response:
        asked = Asked("GET", "/", {}, {}, {}, "")
        try:
            asked = _asked(request, self._shell.settings)
            return await self._gate.answer(asked)
        except CancelledError:
            raise
        except PageError as error:
            return self._shell.show_plain_error(asked, error)
        except (StoreBrokenError, StoreUnavailableError):
            self._log.failure("The pages could not reach the store")
            busy = PageError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The store cannot be reached at the moment. Try again in a few seconds.",
                (("Retry-After", "5"),),
            )
            return self._shell.show_plain_error(asked, busy)
        except Exception:  # noqa: BLE001  # the last resort: logged, and answered without detail
            return self._shell.show_plain_error(asked, self._failed())

    def _failed(self) -> PageError:
        reference = self._shell.ports.random(4).hex()
        self._log.failure("A page failed, reference {reference}", reference=reference)
        return PageError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "Something went wrong on our side. It has been logged under the reference "
            f"{reference}; please tell whoever runs this installation.",
        )


class _StillThere:
    """Is the client still connected?"""

    def __init__(self, request: Request) -> None:
        self.is_there = True
        request.notifyFinish().addErrback(self._gone)

    def _gone(self, _reason: object) -> None:
        self.is_there = False


def _asked(request: Request, settings: WebSettings) -> Asked:
    raw_path, _, raw_query = request.uri.partition(b"?")
    if len(raw_path) > _MOST_PATH or not raw_path.startswith(b"/"):
        raise PageError(HTTPStatus.BAD_REQUEST, "The address is not readable.")
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise PageError(HTTPStatus.BAD_REQUEST, "The address is not readable.") from error
    base = next((one for one in settings.bases if path.startswith(f"{one}/")), "")
    path = path.removeprefix(base)
    proxied = settings.trusts(peer(request))
    hosts = request.requestHeaders.getRawHeaders("host", [])
    if len(hosts) > 1 or (not hosts and request.clientproto == b"HTTP/1.1"):
        raise PageError(HTTPStatus.BAD_REQUEST, "A request names one host.")
    return Asked(
        method=request.method.decode("ascii", "replace"),
        path=path,
        query=parse_form(raw_query),
        form=_form(request),
        cookies={
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in request.received_cookies.items()
        },
        client_ip=client_ip(request, settings),
        host=(header(request, "x-forwarded-host") if proxied else "") or "".join(hosts),
        is_live=header(request, "x-smtpplus-live") == "1",
        is_form=_content_type(request) == _FORM_TYPE,
        fetch_site=header(request, "sec-fetch-site"),
        etag=header(request, "if-none-match"),
        authorization=header(request, "authorization"),
        agent=plain_text(header(request, "user-agent").encode("utf-8", "replace")),
        languages=header(request, "accept-language"),
        by_stranger=not proxied and _is_forwarded(request),
    )


def _content_type(request: Request) -> str:
    return header(request, "content-type").partition(";")[0].strip().lower()


def _form(request: Request) -> dict[str, str]:
    """The fields of a form; also of one that does not say what it is (RFC 8058 senders differ)."""
    if request.content is None or request.method != b"POST":
        return {}
    kind = _content_type(request)
    if kind in {_FORM_TYPE, ""}:
        return parse_form(request.content.read())
    if kind == _MULTIPART_TYPE:
        return parse_multipart(request.content.read(), header(request, "content-type"))
    return {}


def _is_forwarded(request: Request) -> bool:
    return any(map(request.requestHeaders.hasHeader, ("x-forwarded-for", "forwarded", "via")))


def _send(request: Request, response: Response, *, secure: bool) -> None:
    request.setResponseCode(int(response.status), response.status.phrase.encode("ascii"))
    headers = request.responseHeaders
    headers.removeHeader("server")
    for name, value in _security_headers(response, secure=secure):
        headers.setRawHeaders(name, [value])
    for name, value in response.headers:
        headers.setRawHeaders(name, [value])
    for cookie in response.cookies:
        headers.addRawHeader("set-cookie", cookie)
    if response.status is not HTTPStatus.NOT_MODIFIED:
        headers.setRawHeaders("content-type", [response.content_type])
        headers.setRawHeaders("content-length", [str(len(response.body))])
        if request.method != b"HEAD":
            request.write(response.body)  # type: ignore[no-untyped-call]
    request.finish()  # type: ignore[no-untyped-call]


def _security_headers(response: Response, *, secure: bool) -> list[tuple[str, str]]:
    headers = [
        ("content-security-policy", response.csp),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "SAMEORIGIN" if response.may_be_framed else "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        ("cache-control", response.cache),
    ]
    if secure:
        headers.append(("strict-transport-security", "max-age=31536000"))
    return headers
