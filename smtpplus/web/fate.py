"""Why a delivery is in its state, in a sentence: on a message's page and on a recipient's.

Guarantees: pure; every delivery gets a sentence.
"""

from __future__ import annotations

from smtpplus.ports import DeliveryRow
from smtpplus.values.message import DeliveryState
from smtpplus.values.outcome import Result
from smtpplus.web.explain import explain

__all__ = ["fate"]


def fate(row: DeliveryRow) -> str:
    """The sentence."""
    if row.state is DeliveryState.CANCELLED:
        if row.withheld:
            return f"Not sent: {row.withheld}"
        if row.last_outcome is not None and row.last_outcome.result is Result.DELIVERED:
            return "Cancelled while it was being sent, and the mail server took it all the same."
        return "Cancelled before it was delivered."
    if row.last_outcome is None:
        return "Held back." if row.state is DeliveryState.HELD else "Waits for its first attempt."
    sentence = explain(row.last_outcome, row.address)
    if row.state is DeliveryState.HELD:
        return f"Held back. The last attempt: {sentence}"
    if row.state is DeliveryState.EXPIRED:
        return f"Given up: it could not be delivered in time. The last attempt: {sentence}"
    return sentence
