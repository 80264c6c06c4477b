"""The name by which a submission is known again: the duplicate guard.

The same SMTP user, Message-ID as submitted, and envelope are the same submission while the user's
window `duplicates` is open; so is the same idempotency key, whatever else the message says, for a
day at least. Guarantees: pure; a message without either has no name and is always taken. Raises
nothing. Does not know what was sent before: the accept transaction looks (`Accepted.once`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from smtpplus.values.address import Address

__all__ = ["KEY_SECONDS", "Once", "once"]

KEY_SECONDS = 86_400.0

Once = tuple[str, float]  # the name, "" for none; seconds for which it is remembered
_NEVER: Once = ("", 0.0)


def once(
    *,
    user_id: int,
    key: str,
    window: float,
    message_id: str,
    sender: Address | None,
    recipients: Iterable[Address],
) -> Once:
    """The submission's name, and how long it holds.

    Args:
        user_id: of the SMTP user.
        key: X-Idempotency-Key, or "".
        window: the user's setting `duplicates`, seconds.
        message_id: as submitted; "" where the client set none.
        sender: MAIL FROM.
        recipients: of the envelope, in any order.
    """
    if key:
        return _name("key", user_id, [key]), max(window, KEY_SECONDS)
    if window <= 0.0 or not message_id:
        return _NEVER
    envelope = ["" if sender is None else sender.key, *sorted(one.key for one in recipients)]
    return _name("message", user_id, [message_id, *envelope]), window


def _name(kind: str, user_id: int, words: Iterable[str]) -> str:
    text = "\0".join([kind, str(user_id), *words])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
