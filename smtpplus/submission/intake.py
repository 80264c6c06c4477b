"""Taking a message: from the end of its content to the 250.

Reads the head, checks who it claims to be from, writes the fields we add, reserves room at the
relay, commits, hands over. Guarantees: 250 only after the commit (and a large content's sync);
a message that is not accepted leaves nothing behind, neither a file, nor a reservation, nor a
counted message. Nothing here is cancelled when the client goes away: a commit is finished.
Raises nothing: every failure is the reply. Does not decide options; the relay makes the copies.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from smtpplus.message.submitted import examine
from smtpplus.message.trace import date_field, message_id_field, protocol, received
from smtpplus.ports import IClock, IContents, IDispatch, IQueue, ISpawn
from smtpplus.rules.admission import SenderRights, refuse_header
from smtpplus.submission.content import STORE_ERRORS, ContentMemory, IncomingContent
from smtpplus.submission.quotas import Place
from smtpplus.values.envelope import Envelope
from smtpplus.values.errors import RefusedError, SmtpplusError, StoreFullError
from smtpplus.values.ids import IdSource, show_id
from smtpplus.values.message import Accepted, Message, NewDelivery
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode
from smtpplus.values.submission import SmtpUser

__all__ = ["Intake", "IntakeSettings", "Origin", "store_reply"]

_DONE = EnhancedCode(2, 0, 0)
_HEAD_TOO_LARGE = Reply.of(552, "5.6.0", "The message's header is larger than 128 KiB.")
_UNEXPECTED = Reply.of(451, "4.3.0", "An error on our side, please try again later")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings:
    """What the intake is told by the configuration."""

    hostname: str
    lifetime_seconds: float = 5 * 86_400.0
    show_client: bool = True


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sends a message, and how it came here."""

    user: SmtpUser
    rights: SenderRights
    client_ip: str
    hello: str
    extended: bool
    tls: str
    mechanism: str


class Intake:
    """Accepts messages, many at a time."""

    def __init__(
        self,
        *,
        settings: IntakeSettings,
        queue: IQueue,
        contents: IContents,
        memory: ContentMemory,
        dispatch: IDispatch,
        clock: IClock,
        spawn: ISpawn,
        ids: IdSource,
        log: Logger | None = None,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._contents = contents
        self._memory = memory
        self._dispatch = dispatch
        self._clock = clock
        self._spawn = spawn
        self._ids = ids
        self._log = log or Logger()

    def begin(self) -> IncomingContent:
        """A content for the next message."""
        return IncomingContent(self._contents, self._memory, self._ids.next(self._clock.now()))

    def discard(self, content: IncomingContent) -> None:
        """Forget a content that will not be complete."""
        content.release()
        if content.is_large:
            self._spawn.spawn("discard content", content.discard())

    async def take(
        self, origin: Origin, envelope: Envelope, content: IncomingContent, place: Place
    ) -> Reply:
        """The final reply. The content and the place are used up, whatever it is."""
        try:
            message = self._message(origin, envelope, content)
            await self._commit(message, content)
        except CancelledError:
            place.give_back()
            raise
        except RefusedError as refusal:
            reply = refusal.reply
            self._log.info(
                "Message {message_id} of {user} from {ip} is refused: {reply}",
                message_id=show_id(content.message_id),
                user=origin.user.username,
                ip=origin.client_ip,
                reply=str(reply),
            )
        except STORE_ERRORS as error:
            content.is_promised = False  # nothing was kept, says the port
            reply = store_reply(error)
            self._log.warn(
                "Message {message_id} of {user} is not accepted: {error}",
                message_id=show_id(content.message_id),
                user=origin.user.username,
                error=str(error),
            )
        except Exception:  # noqa: BLE001 - whatever went wrong, the client may try again
            reply = _UNEXPECTED
            self._log.failure("Accepting {id} failed", id=show_id(content.message_id))
        else:
            place.accepted(message.received_at)
            return Reply(250, _DONE, (f"queued as {show_id(message.id)}",))
        finally:
            content.release()
        place.give_back()
        if not content.is_promised:  # else the next start finds out
            await content.discard()
        return reply

    async def _commit(self, message: Message, content: IncomingContent) -> None:
        count = len(message.envelope.recipients)
        domains = {one.address.ascii_domain for one in message.envelope.recipients}
        leased = self._dispatch.reserve(count, domains)
        try:
            kept = await content.keep()
            accepted = Accepted(
                message=message,
                deliveries=tuple(
                    NewDelivery(self._ids.next(message.received_at), recipient)
                    for recipient in message.envelope.recipients
                ),
                content=kept,
                leased=leased,
                due_at=message.received_at,
            )
            content.is_promised = True
            await self._queue.accept(accepted)
        except BaseException:
            if leased:
                self._dispatch.cancel(count)
            raise
        self._hand_over(accepted)

    def _hand_over(self, accepted: Accepted) -> None:
        """The message is safe: whatever happens from here on, it was accepted."""
        try:
            if accepted.leased:
                self._dispatch.dispatch(accepted)
            else:
                self._dispatch.wake()
        except Exception:  # noqa: BLE001 - the lease ends at the next start at the latest
            self._log.failure("Handing {id} over failed", id=show_id(accepted.message.id))

    def _message(self, origin: Origin, envelope: Envelope, content: IncomingContent) -> Message:
        """The message as it will be queued.

        Raises:
            RefusedError: it may not be.
        """
        head = content.head()
        if head is None:
            raise RefusedError(_HEAD_TOO_LARGE)
        known = examine(head, smtputf8=envelope.smtputf8)
        sender = known.sender_mailbox
        refusal = refuse_header(
            origin.rights, (known.from_mailbox.address,), sender.address if sender else None
        )
        if refusal is not None:
            raise RefusedError(refusal)
        now = self._clock.now()
        identifier = show_id(content.message_id)
        from_domain = known.from_mailbox.address.ascii_domain
        own_id = f"<{identifier}@{from_domain}>"
        prepend = [self._received(origin, envelope, identifier, now)]
        if not known.has_valid_date:
            prepend.append(date_field(now))
        if not known.message_id:  # RFC 6409 §8.3
            prepend.append(message_id_field(identifier, from_domain))
        user, facts = origin.user, content.facts
        return Message(
            id=content.message_id,
            account_id=user.account_id,
            list_id=user.list_id,
            user_id=user.id,
            received_at=now,
            expires_at=now + self._settings.lifetime_seconds,
            envelope=envelope,
            header_from=known.header_from,
            from_domain=from_domain,
            subject=known.subject,
            message_id=known.message_id or own_id,
            octets=facts.octets,
            head_octets=len(head),
            prepend=b"".join(prepend),
            cuts=known.cuts,
            eight_bit=facts.eight_bit,
            long_lines=facts.long_lines,
            utf8_head=not head.isascii(),
            in_file=content.is_large,
            client_ip=origin.client_ip,
            hello=origin.hello,
            tls=origin.tls,
            mechanism=origin.mechanism,
            campaign=user.campaign,
            priority=user.priority,
            crc32=facts.crc32,
        )

    def _received(self, origin: Origin, envelope: Envelope, identifier: str, now: float) -> bytes:
        only = envelope.recipients[0].address.wire if len(envelope.recipients) == 1 else ""
        return received(
            hello=origin.hello,
            client_ip=origin.client_ip,
            host=self._settings.hostname,
            with_protocol=protocol(
                extended=origin.extended,
                tls=bool(origin.tls),
                # RFC 3848: by AUTH; an address in `networks` is no authentication of SMTP's
                authenticated=origin.mechanism not in {"", "network"},
                smtputf8=envelope.smtputf8,
            ),
            identifier=identifier,
            now=now,
            tls=origin.tls,
            recipient=only,
            show_client=self._settings.show_client,
        )


def store_reply(error: SmtpplusError) -> Reply:
    """What the client is told of a failure of the store."""
    if isinstance(error, StoreFullError):
        return Reply.of(452, "4.3.1", "Insufficient system storage, please try again later")
    return Reply.of(451, "4.3.0", "The queue cannot be written now, please try again later")
