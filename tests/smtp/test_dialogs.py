"""Plays tests/dialogs/*.dialog; the format is in the README beside them."""

import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.smtp.pump import Pump, replies, settings

DIALOGS = Path(__file__).resolve().parent.parent / "dialogs"
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([rn0\\]))")
_PLAIN = {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"\\": b"\\"}
# A segment that ends within its own STARTTLS or DATA cannot be cut: what follows comes too early
# or not, depending on the cut.
_ONE_SEGMENT = {"starttls-injection", "content-behind-refused-data"}


def unescape(text: str) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16)]) if match[1] else _PLAIN[match[2]]

    return _ESCAPE.sub(plain, text.encode())


def setting(text: str) -> Any:
    if text in {"yes", "no"}:
        return text == "yes"
    return int(text) if text.isdecimal() else text


class Player:
    """Plays one transcript; `width` is how many octets are sent at once, 0 for all."""

    def __init__(self, name: str, width: int) -> None:
        self.name = f"{name}.dialog, {width or 'all'} octets at once"
        self.lines = (DIALOGS / f"{name}.dialog").read_text().splitlines()
        changes = {}
        for line in self.lines:
            if line.startswith("= "):
                key, value = line[2:].split(None, 1)
                changes[key] = setting(value)
        self.pump = Pump(settings(**changes))
        self.width = width
        self.outgoing = b""
        self.seen = 0
        self.taken = 0
        self.reply = ""

    def play(self) -> None:
        for number, line in enumerate(self.lines, 1):
            if line.startswith(("#", "=")) or not line.strip():
                continue
            try:
                self.step(line[:2], line[2:].removeprefix(" "))
            except AssertionError as error:
                raise AssertionError(f"{self.name}, line {number}: {line}: {error}") from error
        self.flush()
        assert len(replies(self.pump.output)) == self.seen, self.pump.output

    def step(self, mark: str, text: str) -> None:
        if mark == "C:":
            self.outgoing += text.encode() + b"\r\n"
            return
        if mark == "c:":
            self.outgoing += unescape(text)
            return
        self.flush()
        if mark == "S:":
            found = replies(self.pump.output)
            assert self.seen < len(found), "there is no further reply"
            self.reply = found[self.seen]
            self.seen += 1
            assert self.reply.startswith(text) or self.reply.replace("-", " ", 1).startswith(
                text
            ), self.reply
        elif mark == "S~":
            assert text in self.reply, self.reply
        elif mark == "*:":
            assert (self.pump.closed is not None) == (text == "closed"), self.pump.closed
        elif mark == "M:" and text == "none":
            assert len(self.pump.messages) == self.taken, self.pump.messages
        elif mark == "M:":
            assert self.pump.messages[self.taken] == unescape(text), self.pump.messages
            self.taken += 1
        else:
            raise AssertionError("this is no line of a dialog")

    def flush(self) -> None:
        octets, self.outgoing = self.outgoing, b""
        width = self.width or len(octets) or 1
        self.pump.send(*(octets[at : at + width] for at in range(0, len(octets), width)))


class DialogTests(SynchronousTestCase):
    def test_S8_dialogs(self) -> None:
        names = sorted(path.stem for path in DIALOGS.glob("*.dialog"))
        self.assertGreaterEqual(len(names), 17)
        for name in names:
            for width in (0,) if name in _ONE_SEGMENT else (0, 1, 7):
                with self.subTest(name=name, width=width):
                    Player(name, width).play()
