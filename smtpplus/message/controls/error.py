"""The one error of control headers."""

from __future__ import annotations

from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply

__all__ = ["ControlsError", "shown"]

_MAX_KEY = 120
_MAX_SHOWN = 60


class ControlsError(RefusedError):
    """A control header that cannot be taken: 550 5.6.0, naming header and key.

    `key` is where, such as ``X-SMTPAPI filters.opentrack``; `text` says what was expected.
    """

    def __init__(self, key: str, text: str) -> None:
        self.key = ascii(key)[1:-1][:_MAX_KEY]
        self.text = text
        super().__init__(Reply.of(550, "5.6.0", f"{self.key}: {text}"))


def shown(value: object) -> str:
    """What was found, short enough for a reply and in ASCII."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return ascii(value[:_MAX_SHOWN])
    return ascii(value)[:_MAX_SHOWN] if not _is_huge(value) else "a huge number"


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > 128
