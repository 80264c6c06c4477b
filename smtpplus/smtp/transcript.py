"""What was said in an SMTP session, for the page of an attempt.

Guarantees: at most 16 KiB, each line printable, times in milliseconds since the start, the
beginning and the end kept where the middle does not fit. Whoever records leaves credentials
and content out. Time is an argument: no clock of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from smtpplus.smtp.reply_reader import printable
from smtpplus.values.reply import Reply

__all__ = ["Transcript"]

_MAX_OCTETS = 16_384
_HEAD_ENTRIES = 24  # greeting, EHLO, TLS, EHLO, AUTH, MAIL, first recipients
_TAIL_ENTRIES = 40
_GAP = "       … {count} entries left out"


class Transcript:
    """Entries of one session; `take` hands them out and begins anew."""

    __slots__ = ("_head", "_monotonic", "_skipped", "_start", "_tail")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._start = monotonic()
        self._head: list[tuple[float, str, str | Reply]] = []
        self._tail: deque[tuple[float, str, str | Reply]] = deque()
        self._skipped = 0

    def sent(self, line: str) -> None:
        """We said `line`, or something like ``(10240 octets)``."""
        self._add(">", line)

    def received(self, reply: Reply) -> None:
        """The remote said this."""
        self._add("<", reply)

    def note(self, text: str) -> None:
        """Neither side said it, but it happened: connected, TLS, lost."""
        self._add("=", text)

    def take(self) -> str:
        """All lines since the last call, each ended by a line feed."""
        texts = [self._text(at, mark, what) for at, mark, what in self._head]
        self._head = []
        if self._tail:
            if self._skipped:
                texts.append(_GAP.format(count=self._skipped) + "\n")
            texts += [self._text(at, mark, what) for at, mark, what in self._tail]
            self._skipped = 0
            self._tail.clear()
        whole = "".join(texts)
        if len(whole) * 4 <= _MAX_OCTETS:
            return whole
        octets = whole.encode()
        if len(octets) <= _MAX_OCTETS:
            return whole
        half = _MAX_OCTETS // 2 - 64
        first = octets[:half].decode("utf-8", "ignore").rpartition("\n")[0]
        last = octets[-half:].decode("utf-8", "ignore").partition("\n")[2]
        return f"{first}\n       … {len(octets) - 2 * half} octets left out\n{last}"

    def _add(self, mark: str, what: str | Reply) -> None:
        entry = (self._monotonic(), mark, what)
        head = self._head
        if len(head) < _HEAD_ENTRIES:
            head.append(entry)
            return
        if len(self._tail) == _TAIL_ENTRIES:
            self._tail.popleft()
            self._skipped += 1
        self._tail.append(entry)

    def _text(self, at: float, mark: str, what: str | Reply) -> str:
        lead = f"{(at - self._start) * 1000:>6.0f} {mark} "
        if type(what) is str:
            if not what.isprintable():
                what = printable(what.encode("utf-8", "surrogatepass"))
            return f"{lead}{what}\n"
        assert isinstance(what, Reply)
        enhanced = f"{what.enhanced} " if what.enhanced else ""
        if len(what.lines) == 1:
            return f"{lead}{what.code} {enhanced}{what.lines[0]}\n"
        last = len(what.lines) - 1
        return "".join(
            f"{lead}{what.code}{' ' if index == last else '-'}{enhanced}{line}\n"
            for index, line in enumerate(what.lines)
        )
