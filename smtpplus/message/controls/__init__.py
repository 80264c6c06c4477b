"""Control headers: what a message asks for, in any of the dialects that applications speak.

One module per dialect; `read` finds the headers, asks the dialects in the order of their
precedence, and says which octets of the head are left out. `docs/coming-from.md` lists every
header and key, and what becomes of it.
"""

from __future__ import annotations

from smtpplus.message.controls.error import ControlsError
from smtpplus.message.controls.read import (
    Controls,
    control_spans,
    may_have_controls,
    read_controls,
)

__all__ = [
    "Controls",
    "ControlsError",
    "control_spans",
    "may_have_controls",
    "read_controls",
]
