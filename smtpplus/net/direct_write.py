"""Writing to a socket at once, where nothing waits before it, or behind the events of a turn.

Twisted puts what is written into a buffer, asks the poller when the socket is writable, and
sends at the next turn: two system calls and a turn for every reply. A reply almost always fits
into the socket's own buffer. Measured: 12 to 14 % less processor time for an accepted message.

Each reply that goes out wakes somebody, who on a busy processor runs at once, in our place. So
replies written while the poller serves several events go out behind these, together. Measured:
a tenth less again. Guarantees: octets go out in the order they were written; what the socket
does not take goes the ordinary way, and so does everything on TLS. Only for the thread of the
reactor, of which a process has one.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection
from twisted.python import log

__all__ = ["Turn", "in_turn", "write_directly", "write_in_turn"]

_AT_ONCE = 128 * 1024  # octets, as Twisted sends them
_HELD = 1_024  # octets of one transport that may wait for the end of a turn


class Turn:
    """What is written in a turn of the poller: a context that is entered again and again."""

    def __init__(self) -> None:
        self._is_open = False
        self._held: dict[Any, bytes] = {}

    def __enter__(self) -> None:
        self._is_open = True

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        held = self._held
        while held:
            transport = next(iter(held))
            try:
                self.write(transport, b"")
            except Exception:  # noqa: BLE001 - as where an event is served: this connection goes
                log.err()  # type: ignore[no-untyped-call]
                transport.abortConnection()

    def hold(self, transport: Any, octets: bytes) -> bool:
        """Keep `octets` until the end of the turn; False where there is none, or too much."""
        if not self._is_open:
            return False
        held = self._held.get(transport)
        together = octets if held is None else held + octets
        if len(together) > _HELD:
            return False
        self._held[transport] = together
        return True

    def write(self, transport: Any, octets: bytes) -> None:
        """Write what was held for `transport`, and `octets`, now where that is possible."""
        if self._held:
            octets = self._held.pop(transport, b"") + octets
        if not octets:
            return
        if len(octets) <= _AT_ONCE and isinstance(transport, Connection) and _is_free(transport):
            try:
                sent = transport.socket.send(octets)
            except OSError:  # no room, or lost: the ordinary way finds out, and tells the protocol
                sent = 0
            if sent == len(octets):
                return
            octets = octets[sent:]
        transport.write(octets)


in_turn = Turn()  # the reactor's
write_directly = in_turn.write


def write_in_turn(transport: Any, octets: bytes) -> None:
    """Write `octets` to `transport` at the end of the poller's turn, or now where there is none.

    Nothing else may be done to the transport before then but by `write_directly`.
    """
    if not in_turn.hold(transport, octets):
        in_turn.write(transport, octets)


def _is_free(transport: Connection) -> bool:
    """Is it a plain, open connection with nothing waiting to be sent?"""
    return not (
        transport.dataBuffer
        or transport._tempDataBuffer  # noqa: SLF001 - no public name
        or transport.TLS
        or transport.disconnecting
        or not transport.connected
    )
