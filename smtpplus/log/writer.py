"""Who writes the log: a thread of its own, many lines at a time.

Guarantees: a line put is in memory at once and on its way within a twentieth of a second; a disk
that is slow, full or gone holds nobody up (C4): what cannot be written, or waits beyond
`_MOST_LINES`, is left out, and how many lines that were is told in the log as soon as it can be.
Lines keep their order. Before `start` (twistd forks) and after `stop` they are written where they
are put. `put` may be called in any thread, and in a signal's handler: it takes no lock. A kill
takes what is in memory with it. Raises nothing. Does not choose what is logged.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from smtpplus.log.lines import Moments, line

__all__ = ["LogWriter"]

_GATHER_SECONDS = 0.05
_MOST_LINES = 20_000  # that wait: about 10 MiB
_PIECE_OCTETS = 32 * 1024  # of one write: what a full disk may cut short
_STOP_SECONDS = 5.0


class LogWriter:
    """Lines go in by `put`, and out by what `open` is given."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._write: Callable[[str], object] | None = None
        self._flush: Callable[[], object] = lambda: None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._refused = 0  # lines that found no room
        self._failed = 0  # lines that were not written
        self._told = 0  # how many of both the log has told of

    def open(
        self, write: Callable[[str], object], flush: Callable[[], object] = lambda: None
    ) -> None:
        """Where lines go. Until it is called they go nowhere."""
        self._write, self._flush = write, flush

    def put(self, text: str) -> None:
        """A whole line, with its end."""
        if self._thread is None:
            self._write_all([text])
        elif self._lines.qsize() < _MOST_LINES:
            self._lines.put(text)
        else:
            self._refused += 1

    def start(self) -> None:
        """From now on a thread writes. Not before the last fork."""
        if self._write is not None and self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._work, name="smtpplus log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end the thread; a disk that hangs is not waited for long."""
        thread = self._thread
        if thread is None:
            return
        self._stopping.set()
        self._lines.put(None)
        thread.join(_STOP_SECONDS)
        if thread.is_alive():
            self._write = None
        self._thread = None

    def _work(self) -> None:
        last = False
        while not last:
            lines = [self._lines.get()]
            self._stopping.wait(_GATHER_SECONDS)
            try:
                while True:
                    lines.append(self._lines.get_nowait())
            except queue.Empty:
                pass
            last = None in lines
            self._write_all([text for text in lines if text is not None])

    def _write_all(self, lines: list[str]) -> None:
        start = octets = 0
        for number, text in enumerate(lines):
            octets += len(text)
            if octets >= _PIECE_OCTETS:
                self._piece(lines[start : number + 1])
                start, octets = number + 1, 0
        if start < len(lines):
            self._piece(lines[start:])

    def _piece(self, lines: list[str]) -> None:
        if not self._out("".join(lines)):
            self._failed += len(lines)
            return
        lost = self._refused + self._failed - self._told
        if lost and self._out(_lost_lines(lost, self._now())):
            self._told += lost

    def _out(self, text: str) -> bool:
        write = self._write
        if write is None:
            return True
        try:
            write(text)
            self._flush()
        except (
            OSError,
            ValueError,
            RuntimeError,
        ):  # no room, nobody reads, closed, or within itself
            return False
        return True


def _lost_lines(lost: int, now: float) -> str:
    return line(
        {
            "time": Moments()(now),
            "level": "warn",
            "source": __name__,
            "text": f"{lost} lines could not be written to the log",
            "lost": lost,
        }
    )
