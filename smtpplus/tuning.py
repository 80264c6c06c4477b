"""How the interpreter and the C library are set for a service: what each line gives is measured.

Guarantees: nothing here changes what the service does; where the platform does not know a
setting, it stays as it was. docs/performance.md has the figures.
"""

from __future__ import annotations

import ctypes
import gc
import sys

__all__ = ["when_ready", "when_starting"]

# The store's writer gives the interpreter away at each step of a statement and waits this long
# for it while the reactor is busy: 5 ms, Python's default, made a commit of 20 messages last
# 9.7 ms, half a millisecond 3.7 ms.
_SWITCH_SECONDS = 0.0005
# Python's default of 700 looks for cycles at every third message, and there are hardly any:
# 4 to 5 % of the processor time of an accepted message.
_GARBAGE_THRESHOLDS = (20_000, 50, 100)
# glibc gives each thread a heap of its own, which grows and shrinks with every commit: three
# system calls a message, and the pages are cleared anew. mallopt(3).
_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8
_TRIM_OCTETS = 16 * 1024 * 1024


def when_starting() -> None:
    """Before the first thread is there."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_OCTETS)


def when_ready() -> None:
    """Once everything is loaded: what is there now stays, what starting left behind goes."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
