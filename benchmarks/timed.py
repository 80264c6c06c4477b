"""A sink and a paced load that note the time; each runs in a process of its own.

    python -m benchmarks.timed sink PORT FILE
    python -m benchmarks.timed load PORT FILE RATE MESSAGES SESSIONS OCTETS SENDER DOMAIN

`DOMAIN` may hold ``{}`` for the message's number. Both write a line for each message, whose
number is in its Subject: the load the time of the final dot and of its reply, the sink the times
of the transaction's first octet (of the connection, where it is the connection's first) and of
the final dot. Times are the machine's monotonic clock, the same in all processes.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import TextIO

__all__ = ["content"]

_NUMBER = re.compile(rb"Subject: number (\d+)")
_END = b"\r\n.\r\n"


def content(number: int, octets: int, sender: str, recipient: str) -> bytes:
    """A message with its number, dots stuffed, without the final dot's line."""
    head = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: number {number}\r\n"
        f"Date: Mon, 6 Jul 2026 10:00:00 +0000\r\nMessage-ID: <{number}@load.example>\r\n\r\n"
    )
    line = b"x" * 70 + b"\r\n"
    return head.encode() + line * (octets // len(line))


class _Sink(asyncio.Protocol):
    """Takes everything."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._buffer = bytearray()
        self._in_content = False
        self._first: float = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._first = time.monotonic()
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        searched = max(0, len(self._buffer) - len(_END))
        self._buffer += data
        answers: list[bytes] = []
        while self._take(now, searched, answers):
            searched = 0
        if answers:
            self._transport.write(b"".join(answers))

    def _take(self, now: float, searched: int, answers: list[bytes]) -> bool:
        if self._in_content:
            end = self._buffer.find(_END, searched)
            if end < 0:
                return False
            found = _NUMBER.search(self._buffer, 0, 20_000)
            number = found[1].decode() if found else "-1"
            del self._buffer[: end + len(_END)]
            self._in_content = False
            self._out.write(f"{number} {self._first:.6f} {now:.6f}\n")
            self._out.flush()
            self._first = 0.0
            answers.append(b"250 2.0.0 taken\r\n")
            return True
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        verb = bytes(self._buffer[:4]).upper()
        del self._buffer[: end + 2]
        self._first = self._first or now
        self._in_content = verb == b"DATA"
        answers.append(_ANSWERS.get(verb, b"250 2.0.0 fine\r\n"))
        if verb == b"QUIT":
            self._transport.write(b"".join(answers))
            answers.clear()
            self._transport.close()
            return False
        return True


_ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


async def _serve(port: int, out: TextIO) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Sink(out), "127.0.0.1", port, backlog=1000)
    await server.serve_forever()


async def _load(
    port: int,
    out: TextIO,
    rate: float,
    messages: int,
    sessions: int,
    octets: int,
    envelope: list[str],
) -> None:
    """Send message i at the time i / rate; a session that is late sends at once."""
    numbers = iter(range(messages))
    begin = time.monotonic() + 0.2
    await asyncio.gather(
        *(_session(port, out, begin, rate, numbers, octets, envelope) for _ in range(sessions))
    )


async def _session(
    port: int,
    out: TextIO,
    begin: float,
    rate: float,
    numbers: object,
    octets: int,
    envelope: list[str],
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await _expect(reader, b"220")
    writer.write(b"EHLO load.example\r\n")
    await _expect(reader, b"250")
    for number in numbers:  # type: ignore[attr-defined]
        await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
        sender, recipient = envelope[0], "b@" + envelope[1].format(number)
        octets_out = content(number, octets, sender, recipient)
        writer.write(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode())
        for code in (b"250", b"250", b"354"):
            await _expect(reader, code)
        dot = time.monotonic()
        writer.write(octets_out + b".\r\n")
        await _expect(reader, b"250")
        out.write(f"{number} {dot:.6f} {time.monotonic():.6f}\n")
    writer.write(b"QUIT\r\n")
    writer.close()


async def _expect(reader: asyncio.StreamReader, code: bytes) -> None:
    while (line := await reader.readline())[3:4] == b"-":
        pass
    if not line.startswith(code):
        raise RuntimeError(f"{code.decode()} was expected, {line!r} came")


def _main(what: str, port: str, file: str, *rest: str) -> None:
    with Path(file).open("a", encoding="ascii") as out:
        if what == "sink":
            asyncio.run(_serve(int(port), out))
        else:
            rate, messages, sessions, octets = rest[:4]
            asyncio.run(
                _load(
                    *(int(port), out, float(rate), int(messages), int(sessions), int(octets)),
                    list(rest[4:]),
                )
            )


if __name__ == "__main__":
    _main(*sys.argv[1:])
