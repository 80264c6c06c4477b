"""Ports that are bound before privileges are dropped, and listened on after it.

Guarantees: what was bound is used by the first who listens on the same address, and by nobody
else; other addresses are listened on as usual. Several processes of a service have a socket each
for one address, among which the kernel spreads connections; an address that somebody else has is
refused all the same. Raises `ConfigError` where an address cannot be had.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
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
        self._siblings: dict[tuple[str, int], list[socket.socket]] = {}

    def bind(self, host: str, port: int, siblings: int = 0) -> None:
        """Bind and listen; connections that come before somebody adopts it wait.

        For so many `siblings`, too: see `of_sibling`.

        Raises:
            ConfigError: the address is taken, not ours or not allowed.
        """
        try:
            own = _bound(host, port)
            if siblings:
                port_found = own.getsockname()[1]
                own.close()  # nobody else has it: now as one of several
                own = _bound(host, port_found, shared=True)
                self._siblings[host, port] = [
                    _bound(host, port_found, shared=True) for _ in range(siblings)
                ]
        except OSError as error:
            raise _cannot(host, port, error) from error
        self._sockets[host, port] = own

    def of_sibling(self, number: int) -> dict[str, int]:
        """The descriptors bound for the sibling `number`, from 1 on, by ``host|port``."""
        return {
            f"{host}|{port}": sockets[number - 1].fileno()
            for (host, port), sockets in self._siblings.items()
        }

    def adopt(self, descriptors: Mapping[str, int]) -> None:
        """Take what another process has bound for this one."""
        for where, descriptor in descriptors.items():
            host, _, port = where.rpartition("|")
            self._sockets[host, int(port)] = socket.socket(fileno=descriptor)

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
        while self._siblings:
            for bound in self._siblings.popitem()[1]:
                bound.close()


def _bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setblocking(False)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _cannot(host: str, port: int, error: object) -> ConfigError:
    hint = _HINTS.get(getattr(error, "errno", None) or 0, "")
    return ConfigError(f"Cannot listen on {host or '*'}:{port}: {error}. {hint}".strip())
