"""A load of mails that all differ, over kept connections; it runs in a process of its own.

    python -m benchmarks.smtp_load PORT FILE SESSIONS SENDER RECIPIENT

`FILE` has the mails as they are sent after DATA, each behind its length (four octets, big-endian).
It prints ``ready``, begins when its input has a line, says MAIL, RCPT, DATA and the content one
after the other as smtp-source does, and ends with 0 when every mail was taken.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LENGTH"]

LENGTH = struct.Struct("!I")


class _Session:
    """One connection."""

    def __init__(self, port: int, mails: Iterator[bytes], envelope: list[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._mails = mails
        self._envelope = envelope
        self._said = [b"EHLO load.example\r\n"]  # what is to be said yet, the next at the end
        self._wanted = b"220"

    def go_on(self) -> bool:
        """Take a reply, say what is next; False: nothing is left."""
        reply = self._reply()
        if not reply.startswith(self._wanted):
            raise SystemExit(f"wanted {self._wanted.decode()}, got {reply!r}")
        if not self._said:
            mail = next(self._mails, None)
            if mail is None:
                return False
            self._said = [mail, *self._envelope]
        next_one = self._said.pop()
        self._wanted = b"354" if next_one == b"DATA\r\n" else b"250"
        self.socket.sendall(next_one)
        return True

    def _reply(self) -> bytes:
        """The last line of a reply."""
        octets = b""
        while not octets.endswith(b"\r\n") or octets.split(b"\r\n")[-2][3:4] == b"-":
            some = self.socket.recv(4096)
            if not some:
                raise SystemExit(f"the connection was closed after {octets!r}")
            octets += some
        return octets.split(b"\r\n")[-2]


def _mails(octets: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(octets):
        (length,) = LENGTH.unpack_from(octets, position)
        position += LENGTH.size + length
        yield octets[position - length : position]


def _main(port: str, file: str, sessions: str, sender: str, recipient: str) -> None:
    mails = iter(list(_mails(Path(file).read_bytes())))
    envelope = [
        b"DATA\r\n",
        f"RCPT TO:<{recipient}>\r\n".encode(),
        f"MAIL FROM:<{sender}>\r\n".encode(),
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    selector = selectors.DefaultSelector()
    for _ in range(int(sessions)):
        one = _Session(int(port), mails, envelope)
        selector.register(one.socket, selectors.EVENT_READ, one)
    while selector.get_map():
        for key, _ in selector.select():
            session: _Session = key.data
            if not session.go_on():
                selector.unregister(session.socket)
                session.socket.close()


if __name__ == "__main__":
    _main(*sys.argv[1:])
