"""The process that writes for all others of a service: started by `smtpplus.siblings`.

Guarantees: it ends when the first process closes its standard input, or is gone; signals to the
whole group end the others first. Its standard output is its log; on descriptor `TALK` it says
``ready``, and why the store does not take what is asked (`smtpplus.siblings`). On standard input
it hears of another level of its log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import msgspec
from twisted.logger import Logger, globalLogBeginner

from smtpplus import tuning
from smtpplus.log import LeastLevel, json_log
from smtpplus.parent import TALK, end_with_parent
from smtpplus.store.write_service import open_write_service
from smtpplus.values.errors import SmtpplusError

__all__ = ["WriterOf"]

_log = Logger()
_CONTROL = 0
_MOST_OCTETS = 1_000  # of a trouble: what a pipe takes whole


class WriterOf(msgspec.Struct, frozen=True, kw_only=True):
    """What the writer is told on its command line."""

    url: str
    data_dir: str
    node: str
    level: str


def _run(told: WriterOf) -> int:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with_parent()
    tuning.when_starting()
    least = LeastLevel(told.level)
    globalLogBeginner.beginLoggingTo([json_log(_put_line, least)], redirectStandardIO=False)

    def hear(line: bytes) -> None:
        level = line.removeprefix(b"level ").decode()
        least.set(level)
        _log.info("the writer's log begins at {least}", least=level)

    try:
        service = open_write_service(
            told.url, Path(told.data_dir), told.node, _CONTROL, _tell, hear
        )
    except SmtpplusError as error:
        _log.error("the writer does not start: {reason}", reason=str(error))
        return 1
    tuning.when_ready()
    os.set_blocking(TALK, False)
    os.write(TALK, b"ready\n")
    service.run()
    return 0


def _tell(trouble: str) -> None:
    octets = trouble.encode()[:_MOST_OCTETS]
    with contextlib.suppress(OSError):  # nobody reads: it is told again
        os.write(TALK, b"trouble %d\n%b" % (len(octets), octets))


def _put_line(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(_run(msgspec.json.decode(sys.argv[1], type=WriterOf)))
