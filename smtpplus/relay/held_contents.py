"""What is kept in memory of messages that are being sent: their contents, what was found in them.

Contents that were just accepted are remembered, the others are read from the store when their
first recipient is attempted. Guarantees: at most `most_octets`, the oldest go first; what was
dropped is read again. Raises what `IContents` raises.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from smtpplus.message.edits import Span
from smtpplus.message.recipient_copy import Prepared
from smtpplus.ports import IContents
from smtpplus.relay.rendering import Rendered
from smtpplus.values.errors import NotFoundError
from smtpplus.values.message import Accepted, Message

__all__ = ["Held", "HeldContents", "Signed"]


@dataclass(frozen=True, slots=True)
class Signed:
    """A finished copy: `head` with signatures; `body` None: the content's own, from its file.

    `pieces` stand for the body where only some of it is in memory.
    """

    head: bytes
    body: bytes | None
    eight_bit: bool
    signed_by: tuple[str, ...]
    pieces: tuple[bytes | Span, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Held:
    """What is kept of a message while it is sent.

    `content` is None where it stays in its file. `is_new`: just accepted, so that its recipients
    are known; else `recipients_left` counts the attempts under way. `signed` are copies that
    recipients share, by variant.
    """

    content: bytes | None
    recipients_left: int
    is_new: bool = False
    octets: int = 0
    names: frozenset[str] = frozenset()
    head: bytes = b""
    is_rendered: bool = False
    rendered: Rendered | None = None
    prepared: Prepared | None = None
    signed: dict[bool, Signed] = field(default_factory=dict)


class HeldContents:
    """Of messages under way, by their ids."""

    def __init__(self, contents: IContents, most_octets: int) -> None:
        self._contents = contents
        self._most_octets = most_octets
        self._octets = 0
        self._held: OrderedDict[int, Held] = OrderedDict()

    def remember(self, accepted: Accepted) -> None:
        """Keep a content that was just accepted: it is about to be sent."""
        held = Held(accepted.content, len(accepted.deliveries), is_new=True)
        self._hold(accepted.message.id, held)

    async def of(self, message: Message) -> Held:
        """What is kept of the message; its content is there where it is not in a file."""
        held = self._held.get(message.id)
        if held is None:
            content = None if message.in_file else await self._contents.read(message)
            if content is None and not message.in_file:
                raise NotFoundError("The content of the message is gone from the store.")
            held = self._held.get(message.id)  # another recipient's attempt may have been first
            if held is None:
                held = Held(content, 0)
                self._hold(message.id, held)
        if not held.is_new:
            held.recipients_left += 1
        return held

    def forget(self, message_id: int) -> None:
        """One recipient of this message is done with; after the last, its content leaves memory."""
        held = self._held.get(message_id)
        if held is None:
            return
        held.recipients_left -= 1
        if held.recipients_left <= 0:
            self._drop(message_id)

    def grow(self, held: Held, octets: int) -> None:
        """So many more are kept with it."""
        held.octets += octets
        self._octets += octets

    def _hold(self, message_id: int, held: Held) -> None:
        self._held[message_id] = held
        self.grow(held, len(held.content or b""))
        while self._octets > self._most_octets and len(self._held) > 1:
            self._drop(next(iter(self._held)))

    def _drop(self, message_id: int) -> None:
        self._octets -= self._held.pop(message_id).octets
