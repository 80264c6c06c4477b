"""This recipient's copy of a message, made when it is sent (design: a message's way, step 5).

What is sent is signatures + the list's fields + what we prepended + the head as submitted
without its cuts + the body, with what the list or the message wants put into it. Guarantees: the
stored content is never changed; where the next hop cannot take 8-bit octets or a line is too
long, the copy is converted before it is signed (S4, S16); the signature covers exactly what is
sent. Signing runs in a worker thread, and so does looking through a large content. Contents that
were just accepted are taken from memory, within `most_octets`; what is found in a message is
found once, and a signed copy is shared by the recipients for whom it is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from smtpplus.message.edits import Span
from smtpplus.message.headers import HeaderField, head_length, parse_head
from smtpplus.message.merge import TooLongError
from smtpplus.message.recipient_copy import Excerpts, Prepared, needed_spans, prepare
from smtpplus.message.structure import Structure, scan, unscanned
from smtpplus.message.transfer import NotConvertibleError, to_seven_bit
from smtpplus.message.unsubscribe_look import may_unsubscribe
from smtpplus.ports import Extensions, IAccounts, IBody, IClock, IContents, IWorkers
from smtpplus.relay.bodies import JoinedBody, SplicedBody
from smtpplus.relay.held_contents import Held, HeldContents, Signed
from smtpplus.relay.rendering import Rendered, Rendering
from smtpplus.relay.signer import Signer
from smtpplus.rules.failure import undeliverable
from smtpplus.values.address import Address
from smtpplus.values.errors import CorruptContentError, NotFoundError, SmtpplusError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, Delivery, Message
from smtpplus.values.outcome import Outcome, Stage

__all__ = ["Copies", "Copy", "CopyFailedError"]

_log = Logger()
_LONG = 48 * 1024  # octets; a longer content is looked through in a thread
_BEGINNING = 512 * 1024  # octets of a content in its file, in which tags are looked for
_MOST_NOTES = 10
_NOTE = 200  # characters


@dataclass(frozen=True, slots=True)
class Copy:
    """What goes over the wire for one recipient, and what MAIL must say about it.

    `sender` is the envelope sender. `notes` say what of the list's wishes could not be done.
    """

    body: IBody
    sender: Address | None
    eight_bit: bool
    smtputf8: bool
    signed_by: tuple[str, ...]
    notes: tuple[str, ...] = ()


class CopyFailedError(Exception):
    """This copy cannot be made for this next hop; `outcome` says why and for how long.

    `corrupt`: nor for any other, until somebody has looked at the content.
    """

    def __init__(self, outcome: Outcome, *, corrupt: bool = False) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome
        self.corrupt = corrupt


class Copies:
    """Makes copies.

    Args:
        contents: the stored contents.
        accounts: for the signing keys.
        signing: worker threads for RSA.
        clock: the time that signatures carry.
        relay_domains: the installation's own: the first with a key makes the second signature.
        rendering: what the lists want done; None: nothing.
        always_seven_bit: convert 8-bit content also for next hops that would take it.
        recode_long_lines: convert content with lines beyond RFC 5321's 998 octets.
        most_octets: how much content is kept in memory.
    """

    def __init__(
        self,
        *,
        contents: IContents,
        accounts: IAccounts,
        signing: IWorkers,
        clock: IClock,
        relay_domains: tuple[str, ...],
        rendering: Rendering | None = None,
        always_seven_bit: bool = False,
        recode_long_lines: bool = False,
        most_octets: int = 64 * 1024 * 1024,
    ) -> None:
        self._contents = contents
        self._threads = signing
        self._signer = Signer(accounts, signing, clock, relay_domains)
        self._rendering = rendering
        self._reading_whole = DeferredLock()  # one large content in memory at a time
        self._always_seven_bit = always_seven_bit
        self._recode_long_lines = recode_long_lines
        self._held = HeldContents(contents, most_octets)

    def reconfigure(
        self, relay_domains: tuple[str, ...], *, always_seven_bit: bool, recode_long_lines: bool
    ) -> None:
        """What holds from the next copy on."""
        self._signer.relay_domains = relay_domains
        self._always_seven_bit = always_seven_bit
        self._recode_long_lines = recode_long_lines

    def remember(self, accepted: Accepted) -> None:
        """Keep a content that was just accepted: it is about to be sent."""
        self._held.remember(accepted)

    def forget(self, message_id: int) -> None:
        """One recipient of this message is done with."""
        self._held.forget(message_id)

    async def copy_for(self, delivery: Delivery, extensions: Extensions) -> Copy:
        """The copy of `delivery` for a next hop that offers `extensions`.

        Raises:
            CopyFailedError: the next hop cannot take it, or the content is gone or corrupt.
        """
        message = delivery.message
        utf8 = _needs_smtputf8(delivery)
        if utf8 and "SMTPUTF8" not in extensions:
            raise CopyFailedError(  # RFC 6531 §3.5
                undeliverable(
                    Stage.RENDER, "5.6.7", "The address needs SMTPUTF8, which the remote lacks."
                )
            )
        convert = self._must_convert(message, extensions)
        try:
            signed = await self._signed(delivery, convert=convert)
            body = await self._body(message, signed)
        except NotConvertibleError as error:
            raise CopyFailedError(undeliverable(Stage.RENDER, "5.6.3", str(error))) from error
        except TooLongError as error:
            raise CopyFailedError(undeliverable(Stage.RENDER, "5.3.4", str(error))) from error
        except SmtpplusError as error:  # of the store, or a key that does not open
            raise await self.failed(message, error) from error
        _check_size(body, extensions)
        sender = message.envelope.sender
        return Copy(
            body=body,
            sender=sender if self._rendering is None else self._rendering.return_path(delivery),
            eight_bit=signed.eight_bit,
            smtputf8=utf8,
            signed_by=signed.signed_by,
            notes=signed.notes,
        )

    async def failed(self, message: Message, error: SmtpplusError) -> CopyFailedError:
        """What to make of a content that cannot be read.

        One that is gone or corrupt is set aside, and its deliveries wait for people (D15).
        """
        corrupt = isinstance(error, CorruptContentError | NotFoundError)
        text = str(error)
        if corrupt:
            place = await self._contents.quarantine(message)
            if place:
                text = f"{text} It was set aside in {place}."
            _log.error(
                "message {message_id} is held, its content is corrupt or gone: {text}",
                message_id=show_id(message.id),
                text=text,
            )
        return CopyFailedError(undeliverable(Stage.RENDER, "4.3.0", text), corrupt=corrupt)

    def _must_convert(self, message: Message, extensions: Extensions) -> bool:
        if message.long_lines and self._recode_long_lines:
            return True
        return message.eight_bit and (self._always_seven_bit or "8BITMIME" not in extensions)

    # ------------------------------------------------ content

    async def _whole_file(self, message: Message) -> bytes:
        """A large content at once: only where it must be converted for this next hop."""
        body = await self._contents.body(message, 0)
        pieces = []
        try:
            while chunk := await body.next_chunk():
                pieces.append(chunk)
        finally:
            body.close()
        return b"".join(pieces)

    async def _beginning(self, message: Message) -> bytes:
        """Of a large content as much as holds the texts of nearly every mail."""
        body = await self._contents.body(message, 0)
        pieces: list[bytes] = []
        try:
            while sum(map(len, pieces)) < _BEGINNING and (chunk := await body.next_chunk()):
                pieces.append(chunk)
        finally:
            body.close()
        return b"".join(pieces)

    # ------------------------------------------------ what is put in

    async def _render(self, delivery: Delivery, held: Held) -> Rendered | None:
        """What is done to the message, found out for its first recipient."""
        message = delivery.message
        if not held.head:
            if held.content is None:
                head = await self._contents.head(message)
            else:
                head = held.content[: message.head_octets]
            held.head = _as_sent(head, message)
        names = held.names | frozenset(delivery.fields)
        if held.is_rendered and names == held.names:
            return held.rendered
        if self._rendering is not None:
            held.rendered = await self._rendered(self._rendering, message, held, names)
        held.names, held.is_rendered, held.prepared = names, True, None
        return held.rendered

    async def _rendered(
        self, rendering: Rendering, message: Message, held: Held, names: frozenset[str]
    ) -> Rendered | None:
        rendered = await rendering.of(message, held.head, names)
        if rendered is None or rendered.plan.changes_bodies:
            return rendered
        if not await self._may_unsubscribe(message, held, rendered):
            return rendered
        return await rendering.of(message, held.head, names, has_tag=True)

    async def _may_unsubscribe(self, message: Message, held: Held, rendered: Rendered) -> bool:
        """May there be an unsubscribe tag? Of a content in its file the beginning is looked at."""
        content, start = held.content, message.head_octets
        if content is None:
            content = await self._beginning(message)
        if len(content) > _LONG:
            return await self._threads.run(may_unsubscribe, content, start, rendered.fields)
        return may_unsubscribe(content, start, rendered.fields)

    async def _prepare(self, message: Message, held: Held, rendered: Rendered) -> Prepared:
        """All places in the message that copies change, found once."""
        if held.prepared is not None:
            return held.prepared
        if not rendered.plan.changes_bodies:
            found = _prepared_head(rendered, message, held.content)
        elif held.content is not None:
            content, start = held.content, message.head_octets
            if len(content) > _LONG:
                found = await self._threads.run(_prepared, rendered, content, start)
            else:
                found = _prepared(rendered, content, start)
            self._held.grow(held, len(content))
        else:
            await self._reading_whole.acquire()
            try:
                content = await self._whole_file(message)
                found = await self._threads.run(_prepared_of_file, rendered, content)
            finally:
                self._reading_whole.release()
        if held.rendered is rendered:  # else another recipient has brought more names meanwhile
            held.prepared = found
        return found

    # ------------------------------------------------ signing

    async def _signed(self, delivery: Delivery, *, convert: bool) -> Signed:
        message = delivery.message
        held = await self._held.of(message)
        rendered = await self._render(delivery, held)
        prepared = None
        if rendered is None or (rendered.is_plain and rendered.shows(delivery.recipient.address)):
            is_shared = True
        else:
            assert self._rendering is not None
            prepared = await self._prepare(message, held, rendered)
            is_shared = prepared.is_same_for_all(self._rendering.copy_fields(delivery))
        if is_shared and convert in held.signed:
            return held.signed[convert]
        signed = await self._sign(delivery, held, prepared, convert=convert)
        if is_shared:
            held.signed[convert] = signed
        return signed

    async def _sign(
        self, delivery: Delivery, held: Held, prepared: Prepared | None, *, convert: bool
    ) -> Signed:
        message = delivery.message
        keys = await self._signer.keys(message)
        rendered = held.rendered
        notes = () if rendered is None else _notes(rendered, prepared)
        pieces: tuple[bytes | Span, ...] = ()
        body: bytes | None = None
        fields: Sequence[HeaderField] = ()
        if prepared is not None:
            assert self._rendering is not None
            fields_of_copy = self._rendering.copy_fields(delivery, prepared.different_links)
            copy = prepared.copy(fields_of_copy)
            head, pieces = copy.head, copy.body
            if held.content is not None:
                body, pieces = b"".join([p for p in pieces if isinstance(p, bytes)]), ()
        else:
            head = held.head
            if rendered is not None:
                head = rendered.shared_block + rendered.head
                fields = rendered.plain_fields
            if held.content is not None:
                body = held.content[message.head_octets :]
        if convert:
            whole = await self._in_memory(message, body, pieces)
            head, body = await self._converted(head, whole)
            pieces = ()
        digest = b""
        if keys:
            if body is not None:
                digest = await self._signer.digest(body)
            else:
                digest = await self._signer.digest_of(await self._stored(message, pieces))
        if keys and (convert or not fields):
            fields = parse_head(head)
        signatures = [await self._signer.signature(fields, digest, key) for key in keys]
        if body is not None:
            eight_bit = not body.isascii()
        else:
            eight_bit = message.eight_bit or any(_is_eight_bit(piece) for piece in pieces)
        return Signed(
            head=b"".join([*signatures, head]),
            body=body,
            eight_bit=eight_bit or not head.isascii(),
            signed_by=tuple(f"d={key.domain} s={key.selector}" for key in keys),
            pieces=pieces,
            notes=notes,
        )

    async def _in_memory(
        self, message: Message, body: bytes | None, pieces: Sequence[bytes | Span]
    ) -> bytes:
        """The whole body of a copy, for what cannot be done piece by piece."""
        if body is not None:
            return body
        content = await self._whole_file(message)
        if not pieces:
            return content[message.head_octets :]
        return b"".join([p if isinstance(p, bytes) else content[p.start : p.end] for p in pieces])

    async def _converted(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        converted = await self._threads.run(to_seven_bit, head + body)
        length = head_length(converted)
        if length is None:  # without an empty line all of it is head
            length = len(converted)
        return converted[:length], converted[length:]

    async def _stored(self, message: Message, pieces: tuple[bytes | Span, ...]) -> IBody:
        """The body of a copy whose content is in a file."""
        stored = await self._contents.body(message, message.head_octets)
        return SplicedBody(stored, message.head_octets, pieces) if pieces else stored

    async def _body(self, message: Message, signed: Signed) -> IBody:
        if signed.body is not None:
            return JoinedBody(signed.head, signed.body)
        return JoinedBody(signed.head, b"", await self._stored(message, signed.pieces))


def _prepared_head(rendered: Rendered, message: Message, content: bytes | None) -> Prepared:
    """Where nothing but the head changes, the body is not looked at."""
    structure = unscanned(message.head_octets, message.octets)
    body = Excerpts({}) if content is None else content[message.head_octets :]
    return _prepare(rendered, body, structure)


def _prepared(rendered: Rendered, content: bytes, start: int) -> Prepared:
    """What copies of a content in memory change; may run in a thread."""
    return _prepare(rendered, content[start:], scan(content))


def _prepared_of_file(rendered: Rendered, content: bytes) -> Prepared:
    """The same, keeping of the content what is looked at alone."""
    structure = scan(content)
    spans = needed_spans(structure, rendered.plan)
    excerpts = Excerpts({(start, end): content[start:end] for start, end in spans})
    return _prepare(rendered, excerpts, structure)


def _prepare(rendered: Rendered, body: bytes | Excerpts, structure: Structure) -> Prepared:
    return prepare(
        rendered.head,
        body,
        structure,
        rendered.plan,
        fields=rendered.fields,
        visible=rendered.visible,
        block=rendered.block,
    )


def _notes(rendered: Rendered, prepared: Prepared | None) -> tuple[str, ...]:
    """What could not be done, as people read it."""
    left = rendered.left_alone if prepared is None else rendered.left_alone + prepared.left_alone
    notes = [
        one.reason if one.part < 0 else f"part {one.part}: {one.reason}"
        for one in left[:_MOST_NOTES]
    ]
    if prepared is not None and prepared.unknown_tags:
        tags = " ".join(prepared.unknown_tags[:_MOST_NOTES])
        notes.append(f"tags without a value, or in a script or style: {tags}")
    return tuple(note[:_NOTE] for note in notes)


def _is_eight_bit(piece: bytes | Span) -> bool:
    return isinstance(piece, bytes) and not piece.isascii()


def _as_sent(head: bytes, message: Message) -> bytes:
    """What we prepended, and the submitted head without its cuts."""
    pieces, at = [message.prepend], 0
    for start, end in message.cuts:
        pieces.append(head[at:start])
        at = end
    pieces.append(head[at:])
    return b"".join(pieces)


def _needs_smtputf8(delivery: Delivery) -> bool:
    """Must MAIL say SMTPUTF8? Only where an address or a header field is not ASCII (RFC 6531)."""
    envelope = delivery.message.envelope
    if not delivery.recipient.address.is_ascii:
        return True
    if envelope.sender is not None and not envelope.sender.is_ascii:
        return True
    return envelope.smtputf8 and delivery.message.utf8_head


def _check_size(body: IBody, extensions: Extensions) -> None:
    limit = extensions.size
    if limit is not None and body.size > limit:  # RFC 1870 §6.1
        body.close()
        raise CopyFailedError(
            undeliverable(
                Stage.RENDER,
                "5.3.4",
                f"The message has {body.size} octets; the remote takes at most {limit}.",
            )
        )
