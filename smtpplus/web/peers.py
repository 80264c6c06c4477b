"""Who asks: the client's address behind our own proxies, and the headers of a request.

Guarantees: X-Forwarded-For counts from trusted proxies alone, and never further back than the
first address that is none of ours (W13).
"""

from __future__ import annotations

from twisted.web.server import Request

from smtpplus.web.context import WebSettings

__all__ = ["client_ip", "header", "nearest", "peer"]

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
    forwarded = request.requestHeaders.getRawHeaders("x-forwarded-for", [])
    return nearest(ip, ",".join(forwarded), settings)


def nearest(ip: str, forwarded: str, settings: WebSettings) -> str:
    """The same of the connection's other end, and the values of X-Forwarded-For as one list."""
    if not settings.trusted_proxies:
        return ip
    for hop in reversed(forwarded.split(",")[-_MOST_HOPS:]):
        if not settings.trusts(ip):
            break
        ip = hop.strip() or ip
    return ip
