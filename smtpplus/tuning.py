"""How the interpreter and the C library are set for a service: what each line gives is measured.

Guarantees: nothing here changes what the service does; where the platform does not know a
setting, it stays as it was. docs/performance.md has the figures.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
from pathlib import Path

__all__ = ["before_openssl", "rsa_wants", "when_ready", "when_starting"]

# What the kernel calls the processor: maker, family, model, features; there within the systemd
# unit of docs/, too, where /proc/cpuinfo is not.
_PROCESSOR = Path("/sys/devices/system/cpu/modalias")
_AMD = re.compile(r"cpu:type:x86,ven0002fam0019mod([0-9A-F]{4}):feature:(.*)")  # Zen 3, Zen 4
_AVX2 = "0125"  # word 9, bit 5, of the kernel's cpufeatures.h
# OpenSSL reads OPENSSL_ia32cap(3) as it is loaded. Bit 19 of its second word is ADX.
_OPENSSL, _NO_ADX = "OPENSSL_ia32cap", ":~0x80000"

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


def before_openssl() -> None:
    """Before anything that loads OpenSSL: it takes the code for RSA that is quick here.

    What the environment already says about it stays.
    """
    try:
        processor = _PROCESSOR.read_text(encoding="ascii", errors="replace")
    except OSError:
        return
    wants = rsa_wants(processor)
    if wants is not None:
        os.environ.setdefault(_OPENSSL, wants)


def rsa_wants(processor: str) -> str | None:
    """Return what ``OPENSSL_ia32cap`` is to be for RSA on `processor` (its modalias), or None.

    OpenSSL has RSA-2048 for ADX, for AVX2 and for AVX-512 IFMA, and takes ADX wherever there is
    no IFMA. On AMD's Zen 3 its AVX2 code signs in 0.75 instead of 0.95 ms.
    """
    said = _AMD.match(processor)
    if said is None or _AVX2 not in said[2].split(","):
        return None
    model = int(said[1], 16)
    zen_3 = model < 0x10 or 0x20 <= model < 0x60
    return _NO_ADX if zen_3 else None


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
