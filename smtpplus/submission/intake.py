"""Taking a message: from the end of its content to the 250.

Has the message composed, asks who of its recipients is suppressed, reserves room at the relay,
commits, hands over. Guarantees: 250 only after the commit (and a large content's sync); a message
that is not accepted leaves nothing behind, neither a file, nor a reservation, nor a counted
message; one that was accepted before is answered 250 and not
taken twice. Nothing here is cancelled when the client goes away: a commit is finished. Raises
nothing: every failure is the reply. Does not render anything; the relay makes the copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from smtpplus.net.role_calls import store_reply
from smtpplus.ports import IClock, IContents, IDispatch, IQueue, ISpawn, IWorkers
from smtpplus.rules.suppression import Suppressed
from smtpplus.submission.composing import Composed, Composer, Origin, Reading
from smtpplus.submission.content import ContentMemory, IncomingContent
from smtpplus.submission.quotas import Place
from smtpplus.submission.subjects import SubjectLearning
from smtpplus.submission.suppressed import SuppressedRecipients
from smtpplus.values.envelope import Envelope
from smtpplus.values.errors import (
    STORE_ERRORS,
    DuplicateMessageError,
    RefusedError,
)
from smtpplus.values.ids import IdSource, show_id
from smtpplus.values.message import Accepted
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["Intake"]

_LONG_HEAD = 16 * 1024  # octets: such a one is read in another thread
_DONE = EnhancedCode(2, 0, 0)
_BY_SUBJECT = "dynamic-subject"
_NOBODY: Mapping[str, Suppressed] = {}
_UNEXPECTED = Reply.of(451, "4.3.0", "An error on our side, please try again later")


class Intake:
    """Accepts messages, many at a time."""

    def __init__(
        self,
        *,
        composer: Composer,
        suppressed: SuppressedRecipients,
        queue: IQueue,
        contents: IContents,
        memory: ContentMemory,
        dispatch: IDispatch,
        clock: IClock,
        spawn: ISpawn,
        workers: IWorkers,
        ids: IdSource,
        learning: SubjectLearning,
        log: Logger | None = None,
    ) -> None:
        self._composer = composer
        self._suppressed = suppressed
        self._queue = queue
        self._contents = contents
        self._memory = memory
        self._dispatch = dispatch
        self._clock = clock
        self._spawn = spawn
        self._workers = workers
        self._ids = ids
        self._learning = learning
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
            reading = await self._read(origin, envelope, content)
            composed = await self._compose(reading, content)
            await self._commit(composed, content)
        except CancelledError:
            place.give_back()
            raise
        except DuplicateMessageError as again:
            content.is_promised = False  # nothing was kept, says the port
            reply = self._taken_before(origin, again)
        except RefusedError as refusal:
            reply = self._refused(origin, content, refusal.reply)
        except STORE_ERRORS as error:
            content.is_promised = False
            reply = store_reply(error)
            self._log.warn(
                "Message {message_id} of {user} is not accepted: {error}",
                message_id=content.shown_id,
                user=origin.user.username,
                error=str(error),
            )
        except Exception:  # noqa: BLE001 - whatever went wrong, the client may try again
            reply = _UNEXPECTED
            self._log.failure("Accepting {id} failed", id=content.shown_id)
        else:
            place.accepted(composed.message.received_at)
            if reading.effective.aggregation == _BY_SUBJECT:
                self._learning.note(origin.user.list_id)
            if reading.options.unknown:
                self._tell_of_ignored(reading, content)
            return Reply(250, _DONE, (f"queued as {content.shown_id}",))
        finally:
            content.release()
        place.give_back()
        if not content.is_promised:  # else the next start finds out
            await content.discard()
        return reply

    async def _read(self, origin: Origin, envelope: Envelope, content: IncomingContent) -> Reading:
        composer, head = self._composer, content.head()
        if len(head) <= _LONG_HEAD:
            looked = composer.look(origin, envelope, head)
        else:  # 10,000 recipients take a tenth of a second or two
            looked = await self._workers.run(composer.look, origin, envelope, head)
        return composer.settle(origin, looked, content)

    async def _compose(self, reading: Reading, content: IncomingContent) -> Composed:
        mail_list = reading.origin.mail_list
        addresses = [one.recipient.address for one in reading.mails]
        asked = self._suppressed.may_hold(mail_list, addresses)
        suppressed = _NOBODY
        if asked:
            suppressed = await self._suppressed.among(
                mail_list, asked, bypass=reading.effective.bypass_suppression
            )
        return self._composer.compose(reading, content, suppressed, self._clock.now())

    async def _commit(self, composed: Composed, content: IncomingContent) -> None:
        domains, next_due = _going(composed)
        urgency = composed.message.priority
        leased = bool(domains) and self._dispatch.reserve(len(domains), set(domains), urgency)
        try:
            if content.is_large:
                await content.keep()
            accepted = Accepted(
                message=composed.message,
                deliveries=composed.deliveries,
                content=None if content.is_large else content.in_memory(),
                leased=leased,
                due_at=composed.due_at,
                once=composed.once,
                once_until=composed.once_until,
            )
            content.is_promised = True
            await self._queue.accept(accepted)
        except BaseException:
            if leased:
                self._dispatch.cancel(len(domains), urgency)
            raise
        self._hand_over(accepted, 0.0 if domains and not leased else next_due)

    def _hand_over(self, accepted: Accepted, next_due: float | None) -> None:
        """The message is safe: whatever happens from here on, it was accepted.

        `next_due` is when what of it waits in the store is due, 0 now, None for nothing.
        """
        try:
            if accepted.leased:
                self._dispatch.dispatch(accepted)
            if next_due is not None:
                self._dispatch.wake(next_due)
        except Exception:  # noqa: BLE001 - the lease ends at the next start at the latest
            self._log.failure("Handing {id} over failed", id=show_id(accepted.message.id))

    def _tell_of_ignored(self, reading: Reading, content: IncomingContent) -> None:
        self._log.info(
            "Message {message_id} of {user} says what is ignored here: {unknown}",
            message_id=content.shown_id,
            user=reading.origin.user.username,
            unknown=", ".join(reading.options.unknown),
        )

    def _taken_before(self, origin: Origin, again: DuplicateMessageError) -> Reply:
        earlier = show_id(again.message_id)
        self._log.info(
            "A submission of {user} from {ip} is message {message_id} again",
            message_id=earlier,
            user=origin.user.username,
            ip=origin.client_ip,
        )
        return Reply(250, _DONE, (f"already queued as {earlier}",))

    def _refused(self, origin: Origin, content: IncomingContent, reply: Reply) -> Reply:
        self._log.info(
            "Message {message_id} of {user} from {ip} is refused: {reply}",
            message_id=content.shown_id,
            user=origin.user.username,
            ip=origin.client_ip,
            reply=str(reply),
        )
        return reply


class _Going(NamedTuple):
    """Where those mails go that may leave now, one entry a mail; when the next one may (None)."""

    domains: list[str]
    next_due: float | None


def _going(composed: Composed) -> _Going:
    now, next_due, domains = composed.message.received_at, None, []
    for one in composed.deliveries:
        if one.withheld:
            continue
        due_at = composed.due_at if one.due_at is None else one.due_at
        if due_at <= now:
            domains.append(one.recipient.address.ascii_domain)
        elif next_due is None or due_at < next_due:
            next_due = due_at
    return _Going(domains, next_due)
