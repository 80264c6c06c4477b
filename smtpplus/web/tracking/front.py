"""Answers opens and clicks: ``/t/o/<token>.gif`` and ``/t/c/<token>/<target>``.

The token is verified and the answer is sent in the same turn of the reactor: no store, no thread,
no template. What happened is noted for the recorder.

Guarantees: a redirect leads only to what was signed here (W2), by 302 with an empty body;
everything else under ``/t/`` is a plain 404, 405 or 429 that tells nothing of this installation.
GET and HEAD are answered alike. No cookie is set. Raises nothing for what a client sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from twisted.web.server import Request

from smtpplus.message.token import TokenError, Tokens
from smtpplus.message.tracking_urls import MAX_TARGET, read_click, read_open
from smtpplus.ports import IClock
from smtpplus.rules.address_rates import AddressRates
from smtpplus.rules.opens import Access
from smtpplus.web.context import WebSettings
from smtpplus.web.peers import client_ip, nearest
from smtpplus.web.tracking.answers import MISSING, NOT_SO, OPENED, TOO_MANY, Answer, clicked
from smtpplus.web.tracking.heads import read_head
from smtpplus.web.tracking.hits import MOST_OCTETS, PURPOSES, Hit, known_address, plain_text
from smtpplus.web.tracking.recorder import Recorder

__all__ = ["TrackingFront"]

_PREFIX = b"/t/"
_MOST_PATH = 2 * MAX_TARGET  # base64 and the token
_PURPOSES = {name.encode(): name for name in PURPOSES}
_NO_PURPOSES: Mapping[str, str] = MappingProxyType({})
_RATE = 500.0  # a second from one address: an image proxy asks for many people
_BURST = 5_000


class TrackingFront:
    """Opens and clicks of one process. `stop` writes what is left."""

    def __init__(self, tokens: Tokens, clock: IClock, recorder: Recorder) -> None:
        self._tokens = tokens
        self._clock = clock
        self._rates = AddressRates(_RATE, _BURST)
        self._second, self._second_text = -1, b""
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
        if self._is_too_often(ip):
            answer = TOO_MANY
        elif request.method not in {b"GET", b"HEAD"}:
            answer = NOT_SO
        else:
            fields = _fields(request)
            answer = self._found(part, "GET" if request.method == b"GET" else "HEAD", ip, fields)
        _send(request, answer)

    def answered(self, octets: bytes, peer: str, settings: WebSettings) -> bytes | None:
        """The answer to a whole request, as it goes out; None: somebody else has to read it.

        It is what `answer` would send: without Twisted's parser and request, for what is simple.
        """
        head = read_head(octets)
        if head is None:
            return None
        part = self.part_of(head.target, settings)
        if part is None:
            return None
        ip = nearest(peer, head.text(b"x-forwarded-for"), settings)
        answer = TOO_MANY if self._is_too_often(ip) else self._found(part, "GET", ip, head.fields)
        return answer.octets(self._date())

    def _is_too_often(self, ip: str) -> bool:
        return self._rates.wait_seconds(ip, self._clock.monotonic()) > 0.0

    def _date(self) -> bytes:
        """RFC 9110 §6.6.1, made once a second."""
        second = int(self._clock.now())
        if second != self._second:
            self._second, self._second_text = second, formatdate(second, usegmt=True).encode()
        return self._second_text

    def _found(self, part: bytes, method: str, ip: str, fields: Mapping[bytes, bytes]) -> Answer:
        path = part.partition(b"?")[0]
        if len(path) > _MOST_PATH:
            return MISSING
        if b"%" in path:
            path = unquote_to_bytes(path)
        kind, _, rest = path.decode("ascii", "replace").partition("/")
        now = self._clock.now()
        try:
            if kind == "o":
                token, target, answer = read_open(self._tokens, rest, now), "", OPENED
            elif kind == "c":
                text, _, segment = rest.partition("/")
                click = read_click(self._tokens, text, segment, now)
                token, target, answer = click.token, click.target, clicked(click.target)
            else:
                return MISSING
        except TokenError:
            return MISSING
        agent = fields.get(b"user-agent")
        is_click = kind == "c"
        self.recorder.note(
            Hit(
                access=Access.CLICK if is_click else Access.OPEN,
                at=now,
                facts=token.facts,
                method=method,
                address=known_address(ip),
                agent=plain_text(agent[:MOST_OCTETS]) if agent else "",
                purposes=_purposes(fields),
                link=token.link if is_click else None,
                links=token.links,
                target=target,
            )
        )
        return answer


def _purposes(fields: Mapping[bytes, bytes]) -> Mapping[str, str]:
    """Those of `PURPOSES` that are there; mostly none."""
    if fields.keys().isdisjoint(_PURPOSES):
        return _NO_PURPOSES
    return {
        text: plain_text(fields[name][:MOST_OCTETS])
        for name, text in _PURPOSES.items()
        if fields.get(name)
    }


def _fields(request: Request) -> dict[bytes, bytes]:
    """What a hit tells of a request's fields: the last value of each."""
    headers = request.requestHeaders
    return {
        name: values[-1]
        for name in (b"user-agent", *_PURPOSES)
        if (values := headers.getRawHeaders(name))
    }


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
