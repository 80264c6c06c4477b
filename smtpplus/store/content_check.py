"""Is a content that was read the one that was accepted (D15)?

Guarantees: constant memory, however the content is cut into pieces; a content is found wrong
before its last piece is handed on. Raises CorruptContentError alone. Finds what disks do, by
CRC-32 and length; who can write the queue directory can also write the checksum.
"""

from __future__ import annotations

import zlib

from smtpplus.values.errors import CorruptContentError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Message

__all__ = ["ContentCheck", "check_length", "checked"]


class ContentCheck:
    """Takes the octets of `message`'s content in their order."""

    __slots__ = ("_crc32", "_left", "_message")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._left = message.octets
        self._crc32 = 0

    def update(self, octets: bytes) -> None:
        """The next piece.

        Raises:
            CorruptContentError: with it the content is complete, and another than was accepted.
        """
        self._left -= len(octets)
        known = self._message.crc32
        if known is not None:
            self._crc32 = zlib.crc32(octets, self._crc32)
        if self._left < 0:
            check_length(self._message, self._message.octets - self._left)
        if not self._left and known is not None and self._crc32 != known:
            raise CorruptContentError(
                f"The content of message {show_id(self._message.id)} is corrupt: its checksum is "
                f"{self._crc32:08x}, that of what was accepted {known:08x}."
            )


def check_length(message: Message, octets: int) -> None:
    """Raises CorruptContentError where so many octets are not the whole content."""
    if octets != message.octets:
        raise CorruptContentError(
            f"The content of message {show_id(message.id)} is corrupt: {octets} octets are there, "
            f"{message.octets} were accepted."
        )


def checked(message: Message, octets: bytes) -> bytes:
    """`octets`, which are the content of `message`. Raises CorruptContentError."""
    check_length(message, len(octets))
    ContentCheck(message).update(octets)
    return octets
