"""This recipient's copy of a message, made when it is sent (design: a message's way, step 5).

What is sent is signatures + what we prepended + the head as submitted without its cuts + the
body as submitted. Guarantees: the stored content is never changed; where the next hop cannot
take 8-bit octets or a line is too long, the copy is converted before it is signed (S4, S16);
the signature covers exactly what is sent. Signing runs in a worker thread. Contents that were
just accepted are taken from memory, within `most_octets`; a signed copy is shared by the
recipients for whom it is the same.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from twisted.logger import Logger

from smtpplus.message import dkim
from smtpplus.message.headers import head_length
from smtpplus.message.transfer import NotConvertibleError, to_seven_bit
from smtpplus.ports import Extensions, IAccounts, IBody, IClock, IContents, IWorkers
from smtpplus.relay.bodies import JoinedBody
from smtpplus.rules.failure import undeliverable
from smtpplus.values.errors import CorruptContentError, NotFoundError, SmtpplusError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, Delivery, Message
from smtpplus.values.outcome import Outcome, Stage
from smtpplus.values.submission import DkimKey

__all__ = ["Copies", "Copy", "CopyFailedError"]

_log = Logger()
_LARGE = 256 * 1024  # octets; a longer body is digested in a thread


@dataclass(frozen=True, slots=True)
class Copy:
    """What goes over the wire for one recipient, and what MAIL must say about it."""

    body: IBody
    eight_bit: bool
    smtputf8: bool
    signed_by: tuple[str, ...]


class CopyFailedError(Exception):
    """This copy cannot be made for this next hop; `outcome` says why and for how long.

    `corrupt`: nor for any other, until somebody has looked at the content.
    """

    def __init__(self, outcome: Outcome, *, corrupt: bool = False) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome
        self.corrupt = corrupt


@dataclass(slots=True)
class _Held:
    """A content kept in memory, with the signed heads made of it by variant."""

    content: bytes
    recipients_left: int
    signed: dict[bool, _Signed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Signed:
    """A finished copy: `head` with signatures; `body` None: the content's own, from its file."""

    head: bytes
    body: bytes | None
    eight_bit: bool
    signed_by: tuple[str, ...]


class Copies:
    """Makes copies.

    Args:
        contents: the stored contents.
        accounts: for the signing keys.
        signing: worker threads for RSA.
        clock: the time that signatures carry.
        relay_domains: the installation's own: the first with a key makes the second signature.
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
        always_seven_bit: bool = False,
        recode_long_lines: bool = False,
        most_octets: int = 64 * 1024 * 1024,
    ) -> None:
        self._contents = contents
        self._accounts = accounts
        self._signing = signing
        self._clock = clock
        self._relay_domains = relay_domains
        self._always_seven_bit = always_seven_bit
        self._recode_long_lines = recode_long_lines
        self._loaded: dict[int, dkim.SigningKey] = {}
        self._most_octets = most_octets
        self._octets = 0
        self._held: OrderedDict[int, _Held] = OrderedDict()

    def reconfigure(
        self, relay_domains: tuple[str, ...], *, always_seven_bit: bool, recode_long_lines: bool
    ) -> None:
        """What holds from the next copy on."""
        self._relay_domains = relay_domains
        self._always_seven_bit = always_seven_bit
        self._recode_long_lines = recode_long_lines

    def remember(self, accepted: Accepted) -> None:
        """Keep a content that was just accepted: it is about to be sent."""
        if accepted.content is not None:
            self._hold(accepted.message.id, accepted.content, len(accepted.deliveries))

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
            signed = await self._signed(message, convert=convert)
            body = await self._body(message, signed)
        except NotConvertibleError as error:
            raise CopyFailedError(undeliverable(Stage.RENDER, "5.6.3", str(error))) from error
        except SmtpplusError as error:  # of the store, or a key that does not open
            raise await self.failed(message, error) from error
        _check_size(body, extensions)
        return Copy(
            body=body, eight_bit=signed.eight_bit, smtputf8=utf8, signed_by=signed.signed_by
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

    def forget(self, message_id: int) -> None:
        """One recipient of this message is done with; after the last, its content leaves memory."""
        held = self._held.get(message_id)
        if held is None:
            return
        held.recipients_left -= 1
        if held.recipients_left <= 0:
            self._drop(message_id)

    # ------------------------------------------------ content

    async def _content(self, message: Message) -> bytes:
        held = self._held.get(message.id)
        if held is not None:
            return held.content
        if message.in_file:
            return await self._whole_file(message)
        content = await self._contents.read(message)
        if content is None:
            raise NotFoundError("The content of the message is gone from the store.")
        self._hold(message.id, content, 1)
        return content

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

    def _hold(self, message_id: int, content: bytes, recipients: int) -> None:
        if message_id in self._held:
            self._held[message_id].recipients_left += recipients
            return
        self._held[message_id] = _Held(content, recipients)
        self._octets += len(content)
        while self._octets > self._most_octets and len(self._held) > 1:
            self._drop(next(iter(self._held)))

    def _drop(self, message_id: int) -> None:
        self._octets -= len(self._held.pop(message_id).content)

    # ------------------------------------------------ signing

    async def _signed(self, message: Message, *, convert: bool) -> _Signed:
        held = self._held.get(message.id)
        if held is not None and convert in held.signed:
            return held.signed[convert]
        signed = await self._sign(message, convert=convert)
        held = self._held.get(message.id)
        if held is not None:
            held.signed[convert] = signed
        return signed

    async def _sign(self, message: Message, *, convert: bool) -> _Signed:
        keys = await self._keys(message)
        if message.in_file and not convert:
            head = _as_sent(await self._contents.head(message), message)
            body = None
            digest = await self._digest_of_file(message) if keys else b""
        else:
            head, body = await self._head_and_body(message, convert=convert)
            digest = await self._digest(body) if keys else b""
        signatures = [await self._signature(head, digest, key) for key in keys]
        return _Signed(
            head=b"".join([*signatures, head]),
            body=body,
            eight_bit=message.eight_bit and not convert,
            signed_by=tuple(f"d={key.domain} s={key.selector}" for key in keys),
        )

    async def _head_and_body(self, message: Message, *, convert: bool) -> tuple[bytes, bytes]:
        content = await self._content(message)
        head = _as_sent(content[: message.head_octets], message)
        body = content[message.head_octets :]
        if not convert:
            return head, body
        converted = await self._signing.run(to_seven_bit, head + body)
        length = head_length(converted)
        if length is None:  # without an empty line all of it is head
            length = len(converted)
        return converted[:length], converted[length:]

    async def _digest(self, body: bytes) -> bytes:
        if len(body) > _LARGE:
            return await self._signing.run(_digest, body)
        return _digest(body)

    async def _digest_of_file(self, message: Message) -> bytes:
        digest = dkim.BodyHash()
        body = await self._contents.body(message, message.head_octets)
        try:
            while chunk := await body.next_chunk():
                digest.update(chunk)
        finally:
            body.close()
        return digest.digest()

    async def _keys(self, message: Message) -> list[DkimKey]:
        """The From domain's key, and the installation's own where it has one (DK1)."""
        keys = []
        own = await self._accounts.signing_key(message.from_domain)
        if own is not None:
            keys.append(own)
        for domain in self._relay_domains:
            key = await self._accounts.signing_key(domain)
            if key is not None:
                if key != own:
                    keys.append(key)
                break
        return keys

    async def _signature(self, head: bytes, digest: bytes, key: DkimKey) -> bytes:
        loaded = self._loaded.get(key.id)
        if loaded is None:
            loaded = self._loaded[key.id] = dkim.SigningKey.load(key.private_pem)
        unsigned = dkim.prepare(
            head,
            digest,
            algorithm=loaded.algorithm,
            domain=key.domain,
            selector=key.selector,
            now=int(self._clock.now()),
        )
        return await self._signing.run(unsigned.sign, loaded)

    async def _body(self, message: Message, signed: _Signed) -> IBody:
        if signed.body is not None:
            return JoinedBody(signed.head, signed.body)
        rest = await self._contents.body(message, message.head_octets)
        return JoinedBody(signed.head, b"", rest)


def _as_sent(head: bytes, message: Message) -> bytes:
    """What we prepended, and the submitted head without its cuts."""
    pieces, at = [message.prepend], 0
    for start, end in message.cuts:
        pieces.append(head[at:start])
        at = end
    pieces.append(head[at:])
    return b"".join(pieces)


def _digest(body: bytes) -> bytes:
    digest = dkim.BodyHash()
    digest.update(body)
    return digest.digest()


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
