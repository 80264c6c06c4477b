"""What a process that `smtpplus.siblings` started keeps to: it talks on `TALK`, it ends with it."""

from __future__ import annotations

import contextlib
import ctypes
import signal

__all__ = ["TALK", "end_with_parent"]

TALK = 3  # the descriptor

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux


def end_with_parent() -> None:
    """Be killed when the process that started this one is gone; elsewhere its pipe has to do."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
