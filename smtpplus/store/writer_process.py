"""The process of the writer, as those look at it who ask it (Linux's /proc).

Guarantees: who waits for the disk (state D), computes, or waits for another process's turn to write
does not stand still: it is slow, and to end it would help nobody. A process that is gone, or cannot
be seen, does not either. What is ended is the very process that was looked at, whoever has its
number by now.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from pathlib import Path

__all__ = ["WriterProcess"]

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_STATE, _USER_TIME, _SYSTEM_TIME = 0, 11, 12  # proc(5): stat, behind the name


class WriterProcess:
    """The process `number`; `proc` is where it is looked at."""

    def __init__(self, number: int, proc: Path = Path("/proc")) -> None:
        self._number = number
        self._proc = proc
        self._spent: int | None = None  # of the processor, when it was looked at last
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):  # not to be had everywhere
            self._descriptor = os.pidfd_open(number)

    @classmethod
    def of(cls, connection: socket.socket) -> WriterProcess:
        """Who listens at the other end of `connection`."""
        octets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return cls(_CREDENTIALS.unpack(octets)[0])

    def stands_still(self) -> bool:
        """Is it stopped, or did it do nothing since the last look and waits for nobody?"""
        try:
            text = (self._proc / str(self._number) / "stat").read_text()
        except OSError:
            return False
        fields = text.rpartition(") ")[2].split()
        spent = int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
        was_idle, self._spent = spent == self._spent, spent
        if fields[_STATE] in {"T", "t"}:
            return True
        return fields[_STATE] == "S" and was_idle and not self._waits_for_its_turn()

    def kill(self) -> None:
        """End it by SIGKILL; harmless where it is gone."""
        with contextlib.suppress(ProcessLookupError):
            if self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            else:
                os.kill(self._number, signal.SIGKILL)

    def close(self) -> None:
        """Look at it no longer."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _waits_for_its_turn(self) -> bool:
        """Does another process hold a lock that it wants? proc(5): locks, ``->`` before who waits."""
        try:
            lines = (self._proc / "locks").read_text().splitlines()
        except OSError:
            return False
        return any(
            words[1:2] == ["->"] and str(self._number) in words[2:6]
            for words in map(str.split, lines)
        )
