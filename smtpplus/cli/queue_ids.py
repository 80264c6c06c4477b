"""Deliveries by the ids that people name: a delivery's own, or its message's.

Guarantees: what is over is found as well as what waits. Raises `NotFoundError` where there is no
such thing.
"""

from __future__ import annotations

from collections.abc import Sequence

from smtpplus.installation import Installation, run
from smtpplus.ports import DeliveryRow
from smtpplus.values.errors import NotFoundError
from smtpplus.values.ids import parse_id, show_id

__all__ = ["identifier", "named"]


def identifier(text: str) -> int:
    """The id that `text` shows."""
    found = parse_id(text)
    if found is None:
        raise NotFoundError(f"{text} is no id: those have 13 letters and digits.")
    return found


def named(opened: Installation, wanted: int) -> Sequence[DeliveryRow]:
    """What `wanted` names: one delivery, or all of a message."""
    messages = run(opened.history.messages(None, show_id(wanted), None, None, None, 1))
    rows = run(opened.history.deliveries(messages[0].message.id)) if messages else ()
    found = [row for row in rows if wanted in {row.id, row.message_id}]
    if not found:
        raise NotFoundError(f"There is no message or delivery {show_id(wanted)}.")
    return found
