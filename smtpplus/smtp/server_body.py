"""The content of one message on its way in: decoded, counted, refused where it must be.

Guarantees: once refused it gives nothing out any more, keeps nothing, and still finds the true
end, so that the connection stays in step (ES1). Knows two framings: final dot and BDAT counts.
"""

from __future__ import annotations

from smtpplus.smtp import server_replies as replies
from smtpplus.smtp.dotcodec import DotDecoder, LineEnds
from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.values.reply import Reply

__all__ = ["ChunkedContent", "DottedContent"]


class _Content:
    """`octets` given out so far, and `refusal`: the final reply where it failed."""

    __slots__ = ("_limit", "_reject_bare", "octets", "refusal")

    def __init__(self, settings: ServerSettings) -> None:
        self._limit = settings.max_message_bytes
        self._reject_bare = settings.bare_line_ends == "reject"
        self.octets = 0
        self.refusal: Reply | None = None

    def _admit(self, content: bytes, *, bare: bool) -> bytes:
        self.octets += len(content)
        if self.refusal is None and bare and self._reject_bare:
            self.refusal = replies.BARE_LINE_ENDS
        if self.refusal is None and self.octets > self._limit:
            self.refusal = replies.TOO_LARGE
        return content if self.refusal is None else b""


class DottedContent(_Content):
    """Between 354 and the final dot. `ended`, and then `rest`, as in `DotDecoder`."""

    __slots__ = ("_decoder",)

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self._decoder = DotDecoder()

    @property
    def ended(self) -> bool:
        """Was the final dot seen?"""
        return self._decoder.ended

    @property
    def rest(self) -> bytes:
        """What followed the final dot."""
        return self._decoder.rest

    def feed(self, octets: bytes) -> bytes:
        """The content to pass on."""
        content = self._decoder.feed(octets)
        return self._admit(content, bare=self._decoder.bare)


class ChunkedContent(_Content):
    """The chunks of BDAT (RFC 3030 §2), no dots undone.

    `remaining` of the `octets_in_chunk` are still to come; `last`: is it the last chunk?
    """

    __slots__ = ("_line_ends", "last", "octets_in_chunk", "remaining")

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self._line_ends = LineEnds()
        self.octets_in_chunk = 0
        self.remaining = 0
        self.last = False

    def open_chunk(self, octets: int, *, last: bool) -> None:
        """A chunk begins."""
        self.octets_in_chunk = self.remaining = octets
        self.last = last
        if self.refusal is None and self.octets + octets > self._limit:
            self.refusal = replies.TOO_LARGE

    def feed(self, octets: bytes) -> bytes:
        """The content to pass on; `octets` are the chunk's, at most `remaining`."""
        self.remaining -= len(octets)
        content = self._line_ends.feed(octets)
        if self.last and not self.remaining:
            content += self._line_ends.finish()
        return self._admit(content, bare=self._line_ends.bare)
