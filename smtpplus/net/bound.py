"""Ports that are bound before privileges are dropped, and listened on after it.

Guarantees: what was bound is used by the first who listens on the same address, and by nobody
else; other addresses are listened on as usual. Raises `ConfigError` where an address cannot be
had.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from smtpplus.values.errors import ConfigError

__all__ = ["BoundPorts"]

_BACKLOG = 511
_HINTS = {
    errno.EADDRINUSE: "Stop what listens there, or choose another port.",
    errno.EACCES: "Ports below 1024 need root or the capability CAP_NET_BIND_SERVICE.",
}


class BoundPorts:
    """Sockets by the address they are bound to."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[str, int], socket.socket] = {}

    def bind(self, host: str, port: int) -> None:
        """Bind and listen; connections that come before somebody adopts it wait.

        Raises:
            ConfigError: the address is taken, not ours or not allowed.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind((host, port))
            bound.listen(_BACKLOG)
        except OSError as error:
            bound.close()
            raise _cannot(host, port, error) from error
        self._sockets[host, port] = bound

    def listen(self, reactor: Any, host: str, port: int, factory: Any) -> IListeningPort:
        """Listen with `factory`, on the socket bound before where there is one.

        Raises:
            ConfigError: the address is taken, not ours or not allowed.
        """
        bound = self._sockets.pop((host, port), None)
        try:
            if bound is None:
                found = reactor.listenTCP(port, factory, backlog=_BACKLOG, interface=host)
            else:
                with bound:  # the reactor makes a descriptor of its own
                    found = reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
        except (CannotListenError, OSError) as error:
            raise _cannot(host, port, getattr(error, "socketError", error)) from error
        listening: IListeningPort = found
        return listening

    def close(self) -> None:
        """Close what nobody adopted."""
        while self._sockets:
            self._sockets.popitem()[1].close()


def _cannot(host: str, port: int, error: object) -> ConfigError:
    hint = _HINTS.get(getattr(error, "errno", None) or 0, "")
    return ConfigError(f"Cannot listen on {host or '*'}:{port}: {error}. {hint}".strip())
