"""Who asks: the client's address behind our own proxies, and the headers of a request.

Guarantees: X-Forwarded-For counts from trusted proxies alone, and never further back than the
first address that is none of ours (W13).
"""

from __future__ import annotations

from twisted.web.server import Request

from smtpplus.web.context import WebSettings

__all__ = ["client_ip", "header", "peer"]

_MOST_HOPS = 20


def header(request: Request, name: str) -> str:
    """The last value of a header; "" where it is not there."""
    return (request.requestHeaders.getRawHeaders(name) or [""])[-1]


def peer(request: Request) -> str:
    """The address at the other end of the connection."""
    return str(getattr(request.getClientAddress(), "host", ""))  # type: ignore[no-untyped-call]


def client_ip(request: Request, settings: WebSettings) -> str:
    """The nearest address that is not a proxy of ours."""
    ip = peer(request)
    if not settings.trusted_proxies:
        return ip
    hops = ",".join(request.requestHeaders.getRawHeaders("x-forwarded-for", [])).split(",")
    for hop in reversed(hops[-_MOST_HOPS:]):
        if not settings.trusts(ip):
            break
        ip = hop.strip() or ip
    return ip
