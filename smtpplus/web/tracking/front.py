"""Answers opens and clicks: ``/t/o/<token>.gif`` and ``/t/c/<token>/<target>``.

The token is verified and the answer is sent in the same turn of the reactor: no store, no thread,
no template. What happened is noted for the recorder.

Guarantees: a redirect leads only to what was signed here (W2), by 302 with an empty body;
everything else under ``/t/`` is a plain 404, 405 or 429 that tells nothing of this installation.
GET and HEAD are answered alike. No cookie is set. Raises nothing for what a client sends.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from twisted.web.server import Request

from smtpplus.message.token import Token, TokenError, Tokens
from smtpplus.message.tracking_urls import MAX_TARGET, read_click, read_open
from smtpplus.ports import IClock
from smtpplus.rules.address_rates import AddressRates
from smtpplus.rules.opens import Access
from smtpplus.web.context import WebSettings
from smtpplus.web.peers import client_ip
from smtpplus.web.tracking.answers import MISSING, NOT_SO, OPENED, TOO_MANY, Answer, clicked
from smtpplus.web.tracking.hits import MOST_OCTETS, PURPOSES, Hit, known_address, plain_text
from smtpplus.web.tracking.recorder import Recorder

__all__ = ["TrackingFront"]

_PREFIX = b"/t/"
_MOST_PATH = 2 * MAX_TARGET  # base64 and the token
_RATE = 500.0  # a second from one address: an image proxy asks for many people
_BURST = 5_000


class TrackingFront:
    """Opens and clicks of one process. `stop` writes what is left."""

    def __init__(self, tokens: Tokens, clock: IClock, recorder: Recorder) -> None:
        self._tokens = tokens
        self._clock = clock
        self._rates = AddressRates(_RATE, _BURST)
        self.recorder = recorder

    def part_of(self, uri: bytes, settings: WebSettings) -> bytes | None:
        """What stands behind ``/t/`` in a request's target; None: this is not ours to answer."""
        if uri.startswith(_PREFIX):
            return uri[len(_PREFIX) :]
        for base in settings.bases:
            start = base.encode("ascii", "replace") + _PREFIX
            if uri.startswith(start):
                return uri[len(start) :]
        return None

    def answer(self, request: Request, part: bytes, settings: WebSettings) -> None:
        """Answer the request for ``/t/`` and `part`."""
        ip = client_ip(request, settings)
        if self._rates.wait_seconds(ip, self._clock.monotonic()):
            answer = TOO_MANY
        elif request.method not in {b"GET", b"HEAD"}:
            answer = NOT_SO
        else:
            answer = self._found(request, part.partition(b"?")[0], ip)
        _send(request, answer)

    def _found(self, request: Request, path: bytes, ip: str) -> Answer:
        if len(path) > _MOST_PATH:
            return MISSING
        if b"%" in path:
            path = unquote_to_bytes(path)
        kind, _, rest = path.decode("ascii", "replace").partition("/")
        now = self._clock.now()
        try:
            if kind == "o":
                token = read_open(self._tokens, rest, now)
                self.recorder.note(_hit(request, ip, now, Access.OPEN, token))
                return OPENED
            if kind == "c":
                text, _, segment = rest.partition("/")
                click = read_click(self._tokens, text, segment, now)
                self.recorder.note(_hit(request, ip, now, Access.CLICK, click.token, click.target))
                return clicked(click.target)
        except TokenError:
            pass
        return MISSING


def _hit(
    request: Request, ip: str, now: float, access: Access, token: Token, target: str = ""
) -> Hit:
    headers = request.requestHeaders
    agents = headers.getRawHeaders(b"user-agent")
    return Hit(
        access=access,
        at=now,
        facts=token.facts,
        method="GET" if request.method == b"GET" else "HEAD",
        address=known_address(ip),
        agent=plain_text(agents[-1][:MOST_OCTETS]) if agents else "",
        purposes={
            name: plain_text(values[-1][:MOST_OCTETS])
            for name in PURPOSES
            if (values := headers.getRawHeaders(name.encode()))
        },
        link=token.link if access is Access.CLICK else None,
        target=target,
    )


def _send(request: Request, answer: Answer) -> None:
    request.setResponseCode(int(answer.status), answer.status.phrase.encode("ascii"))
    headers = request.responseHeaders
    headers.removeHeader(b"server")
    for name, value in answer.headers:
        headers.setRawHeaders(name, [value])
    headers.setRawHeaders(b"content-length", [b"%d" % len(answer.body)])
    if request.method != b"HEAD":
        request.write(answer.body)  # type: ignore[no-untyped-call]
    request.finish()  # type: ignore[no-untyped-call]
