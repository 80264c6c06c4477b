"""What nobody can be better than: aiosmtpd without any queue, and the disk alone."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.programs import MissingError, Program, Programs, answers, free_port, wait_for

__all__ = ["Aiosmtpd", "disk"]


class Aiosmtpd:
    """A running aiosmtpd that says 250 and forgets the message."""

    def __init__(self, programs: Programs) -> None:
        try:
            import aiosmtpd  # noqa: F401, PLC0415 - is it there?
        except ImportError:
            raise MissingError("needs aiosmtpd (pip install aiosmtpd)") from None
        self.port = free_port()
        self.program: Program = programs.start(
            "aiosmtpd", [sys.executable, "-m", "benchmarks.floors", str(self.port)]
        )
        wait_for("aiosmtpd", lambda: answers(self.port))

    def cpu_seconds(self) -> float:
        """Used so far."""
        return self.program.cpu_seconds()


def disk(folder: Path, *, octets: int, writers: int, seconds: float) -> tuple[float, float]:
    """Files written and synced per second by `writers` threads, and processor µs for each."""
    content, done = b"x" * octets, [0] * writers
    end = time.monotonic() + seconds
    before, begin = time.process_time(), time.monotonic()

    def write(number: int) -> None:
        while time.monotonic() < end:
            path = folder / f"{number}-{done[number]}"
            file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
            os.write(file, content)
            os.fsync(file)
            os.close(file)
            done[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, cpu = time.monotonic() - begin, time.process_time() - before
    for path in folder.iterdir():
        path.unlink()
    return sum(done) / took, cpu / sum(done) * 1e6


class _Taker:
    async def handle_DATA(self, *_: Any) -> str:
        return "250 OK"


async def _serve(port: int) -> None:
    from aiosmtpd.smtp import SMTP  # noqa: PLC0415 - only in its own process

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(_Taker(), hostname="localhost", enable_SMTPUTF8=True), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
