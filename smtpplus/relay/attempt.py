"""One attempt of one delivery, from top to bottom.

Route → connect → greeting → EHLO → TLS → render this recipient's copy → MAIL, RCPT, DATA →
outcome. Guarantees: always ends in an `Attempted`, whatever the remote does, or in None where
the lease ended before the final dot: nothing can have been delivered then; what a failure means
is decided in `smtpplus.rules.failure` alone; a session is kept only when its state is
known. Raises nothing but cancellation. Writes nothing: `smtpplus.relay.settle` does.
"""

from __future__ import annotations

import math
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from smtpplus.ports import (
    IClock,
    IDialer,
    ILease,
    ISmtpSession,
    SessionLostError,
    TransactionReplies,
)
from smtpplus.relay.bodies import LeasedBody, LeaseEndedError
from smtpplus.relay.connections import Connections
from smtpplus.relay.copies import Copies, Copy, CopyFailedError
from smtpplus.relay.route import RouteFailedError, Router, Target
from smtpplus.relay.suppressed import SuppressedMeanwhile
from smtpplus.rules.failure import Action, Judgement, judge_loss, judge_reply, undeliverable
from smtpplus.rules.schedule import deliver_by_at, returns_at_expiry
from smtpplus.rules.tls_policy import TlsLevel, may_fall_back, starts_tls
from smtpplus.values.envelope import Body, ByMode, DeliverBy, Envelope
from smtpplus.values.errors import SmtpplusError
from smtpplus.values.made_quickly import made_quickly
from smtpplus.values.message import Delivery
from smtpplus.values.outcome import Attempt, Outcome, Result, Stage
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["Attempted", "Courier", "CourierSettings", "Credentials"]

_MOST_TRANSCRIPT = 16 * 1024
_EIGHT_BIT, _SEVEN_BIT = Body.EIGHT_BIT_MIME, Body.SEVEN_BIT
_ROUTE, _RENDER, _MAIL, _BODY = Stage.ROUTE, Stage.RENDER, Stage.MAIL, Stage.BODY
_STEPS = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BODY)
_DONE = EnhancedCode(2, 0, 0)
_DELIVERED = Result.DELIVERED
_MOST_LATE = 999_999_999  # seconds: BY= has nine digits
_TOO_LATE = undeliverable(
    Stage.ROUTE, "4.4.7", "The time in which its sender wanted it delivered is over."
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a smarthost wants to see."""

    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierSettings:
    """How this installation speaks to the world. `source_*` bind the outgoing address.

    `pools` are what holds instead for messages that name one.
    """

    ehlo: str
    tls: TlsLevel = TlsLevel.MAY
    credentials: Credentials | None = None
    source_v4: str | None = None
    source_v6: str | None = None
    pools: Mapping[str, CourierSettings] = field(default_factory=dict)

    def of(self, pool: str | None) -> CourierSettings:
        """What holds for a message that names `pool`; one that is not known changes nothing."""
        return self if pool is None else self.pools.get(pool, self)

    def lane(self, destination: str, pool: str | None) -> str:
        """Where mail for `destination` that names `pool` waits: by itself, as it has a source.

        A source that is refused there must not hold up what comes from another.
        """
        return destination if self.of(pool) is self else f"{destination} from {pool}"


@made_quickly
@dataclass(frozen=True, slots=True)
class Attempted:
    """What an attempt came to.

    `dsn_passed_on`: the remote took over reporting success (RFC 3461 §5.2.1).
    `no_host`: no host could be spoken to at all, so the next delivery would fare the same.
    `made` is false for a delivery that was deferred on the strength of another's attempt.
    `corrupt`: the content cannot be sent, by nobody, until people have looked at it.
    `suppressed`: its recipient is not mailed any more; it is over, and nobody is told.
    """

    outcome: Outcome
    attempt: Attempt
    dsn_passed_on: bool = False
    no_host: bool = False
    made: bool = True
    corrupt: bool = False
    suppressed: bool = False


class _FailedError(Exception):
    """A step of the attempt failed; what that means is `judgement`."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.outcome.text)
        self.judgement = judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """Carries deliveries to their next hop."""

    clock: IClock
    dialer: IDialer
    router: Router
    connections: Connections
    copies: Copies
    settings: CourierSettings
    suppressed: SuppressedMeanwhile | None = None

    def carry(
        self, delivery: Delivery, lane: str, lease: ILease
    ) -> Coroutine[Any, Any, Attempted | None]:
        """Attempt `delivery` once under `lease`, over an open session of `lane` or a new one.

        None: the lease does not hold any more, and nothing came of it.
        """
        return _Trip(self, delivery, lane, lease).run()


class _Trip:
    """The one attempt under way, with the notes taken of it."""

    __slots__ = (
        "_began",
        "_courier",
        "_delivery",
        "_lane",
        "_lease",
        "_notes",
        "_session",
        "_settings",
        "_spoken",
        "_stage",
        "_started",
        "_transcript",
    )

    def __init__(self, courier: Courier, delivery: Delivery, lane: str, lease: ILease) -> None:
        self._courier = courier
        self._delivery = delivery
        self._settings = courier.settings.of(delivery.message.options.pool)
        self._lane = lane
        self._lease = lease
        self._stage = _ROUTE
        self._spoken = False
        self._session: ISmtpSession | None = None
        self._transcript: list[str] = []
        self._started = courier.clock.monotonic()
        self._began = courier.clock.now()
        self._notes: dict[str, Any] = {}  # of `Attempt`, which is made once, at the end

    async def run(self) -> Attempted | None:
        """The whole attempt; None where the lease ended before anything came of it."""
        message = self._delivery.message
        if self._began >= message.expires_at and returns_at_expiry(message):
            return self._end(_TOO_LATE)
        suppressed = self._courier.suppressed
        if suppressed is not None and suppressed.may_hold(self._delivery):
            withheld = await self._withheld(suppressed)
            if withheld is not None:
                return withheld
        try:
            session = self._courier.connections.take(self._lane)
            if session is not None and session.tls is None and self._level is TlsLevel.REQUIRE:
                self._courier.connections.keep(self._lane, session)
                session = None
            if session is not None:
                attempted = await self._over_old(session)
                if attempted is not None:
                    return attempted
            return await self._over_new()
        except LeaseEndedError:  # the session has aborted itself, where there was one
            return None
        except BaseException:
            if self._session is not None:  # cancelled: what the session stands at is unknown
                self._session.abort()
            raise

    async def _withheld(self, suppressed: SuppressedMeanwhile) -> Attempted | None:
        """The end of a delivery that is not to be made, or that cannot be told of now."""
        try:
            reason = await suppressed.reason(self._delivery)
        except SmtpplusError as error:
            return self._end(undeliverable(_ROUTE, "4.3.0", str(error)))
        if not reason:
            return None
        return self._end(undeliverable(_ROUTE, "5.7.1", reason), suppressed=True)

    @property
    def _is_stricter(self) -> bool:
        """Does the message insist on TLS, where the installation does not?"""
        wants_tls = self._delivery.message.options.require_tls
        return bool(wants_tls) and self._settings.tls is not TlsLevel.REQUIRE

    @property
    def _level(self) -> TlsLevel:
        """The installation's, or the message's own wish for TLS."""
        return TlsLevel.REQUIRE if self._is_stricter else self._settings.tls

    async def _over_old(self, session: ISmtpSession) -> Attempted | None:
        """Over a session that was idle; None where it had died meanwhile (YH1).

        So it had where it answers nothing, or MAIL by 421; that later is about the message.
        """
        self._notice(session, reused=True)
        try:
            return await self._transact(session)
        except _FailedError as failure:
            outcome = failure.judgement.outcome
            lost = not session.is_open and not outcome.uncertain
            is_early = outcome.reply is None or outcome.stage is _MAIL
            if lost and is_early and outcome.result is Result.DEFERRED:
                return None
            return self._end(outcome)

    async def _over_new(self) -> Attempted:
        try:
            targets = await self._courier.router.targets(self._delivery.recipient.address)
        except RouteFailedError as failure:
            return self._end(failure.outcome)
        last: Outcome | None = None
        for target in targets:
            if not self._lease.holds:
                raise LeaseEndedError
            try:
                session = await self._open(target, self._level_for(target))
                return await self._transact(session)
            except _FailedError as failure:
                last = failure.judgement.outcome
                if failure.judgement.action is Action.STOP:
                    break
        assert last is not None  # targets() is never empty
        if last.reply is None and not last.uncertain and not self._lease.holds:
            raise LeaseEndedError  # that is why the session was lost
        return self._end(last)

    async def _open(self, target: Target, level: TlsLevel) -> ISmtpSession:
        """A session that is ready for MAIL; TLS is fallen back from once where it may be."""
        try:
            return await self._shake_hands(target, level)
        except _FailedError as failure:
            is_of_tls = failure.judgement.outcome.stage is Stage.STARTTLS
            if not is_of_tls or not may_fall_back(level) or self._credentials_for(target):
                raise
            self._transcript.append("-- TLS failed: once more without, on a new connection\n")
            return await self._shake_hands(target, TlsLevel.NONE)

    async def _shake_hands(self, target: Target, level: TlsLevel) -> ISmtpSession:
        settings = self._settings
        self._stage = Stage.CONNECT
        self._notes.update(host=target.host, ip=target.ip, port=target.port, tls=None, reused=False)
        try:
            source = settings.source_v6 if ":" in target.ip else settings.source_v4
            session = await self._courier.dialer.dial(target.host, target.ip, target.port, source)
        except SessionLostError as lost:
            raise self._lost(lost) from None
        self._courier.connections.opened(session)
        self._notice(session, reused=False)
        try:
            self._stage = Stage.GREETING
            self._expect(await session.greeting(), 220)
            self._stage = Stage.HELLO
            self._expect(await session.hello(settings.ehlo), 250)
            if self._is_stricter:
                self._spoken = True  # mail that does not insist on TLS may go there
            await self._secure(session, target, level)
            credentials = self._credentials_for(target)
            if credentials is not None:
                self._stage = Stage.AUTH
                await self._log_in(session, target, credentials)
        except SessionLostError as lost:
            raise self._lost(lost) from None
        except _FailedError:
            self._hear(session)
            await session.quit()
            raise
        self._spoken = True
        return session

    async def _secure(self, session: ISmtpSession, target: Target, level: TlsLevel) -> None:
        tls = starts_tls(level, offered="STARTTLS" in session.extensions)
        self._stage = Stage.STARTTLS
        if tls is None:
            raise _FailedError(
                judge_loss(
                    Stage.STARTTLS,
                    f"{target.host} does not offer TLS, which is required here.",
                    after_final_dot=False,
                    reply=None,
                )
            )
        if tls:
            self._expect(await session.start_tls(target.host), 220)
            self._notes["tls"] = session.tls
            self._stage = Stage.HELLO
            self._expect(await session.hello(self._settings.ehlo), 250)

    def _credentials_for(self, target: Target) -> Credentials | None:
        return self._settings.credentials if target.wants_login else None

    def _level_for(self, target: Target) -> TlsLevel:
        """A password goes through TLS alone, unless the operator wants none, or on this machine."""
        level = self._level
        if level is TlsLevel.MAY and self._credentials_for(target) is not None:
            return level if ip_address(target.ip).is_loopback else TlsLevel.REQUIRE
        return level

    async def _log_in(
        self, session: ISmtpSession, target: Target, credentials: Credentials
    ) -> None:
        if not session.extensions.auth:  # between us and it: mail waits
            text = f"{target.host} does not offer AUTH, though there are credentials for it."
            raise _FailedError(judge_loss(Stage.AUTH, text, after_final_dot=False, reply=None))
        self._expect(await session.log_in(credentials.username, credentials.password), 235)

    async def _transact(self, session: ISmtpSession) -> Attempted:
        """MAIL, RCPT, DATA and the content; keeps the session where it can be kept."""
        self._stage = _RENDER
        try:
            copy = await self._courier.copies.copy_for(self._delivery, session.extensions)
        except CopyFailedError as failure:
            self._courier.connections.keep(self._lane, session)
            self._session = None
            return self._end(failure.outcome, corrupt=failure.corrupt)
        self._notes.update(signed_by=copy.signed_by, sent_bytes=copy.body.size, notes=copy.notes)
        self._stage = _MAIL
        try:
            body = LeasedBody(copy.body, self._lease)
            replies = await session.send(self._envelope(copy, session), body)
        except SessionLostError as lost:
            self._stage = Stage.BODY if lost.after_final_dot else Stage.MAIL
            raise self._lost(lost) from None
        except SmtpplusError as error:  # the content could not be read to its end
            self._hear(session)
            self._session = None  # it has aborted itself
            failed = await self._courier.copies.failed(self._delivery.message, error)
            return self._end(failed.outcome, corrupt=failed.corrupt)
        self._hear(session)
        return await self._conclude(session, replies)

    async def _conclude(self, session: ISmtpSession, replies: TransactionReplies) -> Attempted:
        negative = _first_negative(replies)
        if negative is None:
            assert replies.final is not None
            self._courier.connections.keep(self._lane, session)
            self._session = None
            return self._end(_delivered(replies.final), dsn="DSN" in session.extensions)
        judgement = judge_reply(*negative)
        if judgement.session_usable:
            await self._courier.connections.keep_after_reset(self._lane, session)
        else:
            await session.quit()
        self._session = None
        raise _FailedError(judgement)

    def _envelope(self, copy: Copy, session: ISmtpSession) -> Envelope:
        message = self._delivery.message.envelope
        return Envelope(
            sender=copy.sender,
            recipients=(self._delivery.recipient,),
            body=_EIGHT_BIT if copy.eight_bit else _SEVEN_BIT,
            smtputf8=copy.smtputf8,
            ret=message.ret,
            envid=message.envid,
            deliver_by=None if message.deliver_by is None else self._time_left(session),
            mt_priority=message.mt_priority,
        )

    def _time_left(self, session: ISmtpSession) -> DeliverBy | None:
        """BY= for the next hop: what is left of the time; None: it does not take so little."""
        message = self._delivery.message
        late_at, by = deliver_by_at(message), message.envelope.deliver_by
        if late_at is None or by is None:
            return None
        left = math.floor(late_at - self._courier.clock.now())
        least = max(session.extensions.shortest_by, 1)
        if by.mode is ByMode.RETURN and left < least:
            return None
        return replace(by, seconds=max(left, -_MOST_LATE))

    # ------------------------------------------------ notes

    def _expect(self, reply: Reply, code: int) -> None:
        if reply.code != code:
            raise _FailedError(judge_reply(self._stage, reply))

    def _lost(self, lost: SessionLostError) -> _FailedError:
        if self._session is not None:
            self._hear(self._session)
            self._session = None
        return _FailedError(
            judge_loss(
                self._stage, str(lost), after_final_dot=lost.after_final_dot, reply=lost.reply
            )
        )

    def _notice(self, session: ISmtpSession, *, reused: bool) -> None:
        self._session = session
        self._spoken = self._spoken or reused
        self._notes.update(
            host=session.host,
            ip=session.ip,
            port=session.port,
            source_ip=session.source_ip,
            tls=session.tls,
            reused=reused,
        )

    def _hear(self, session: ISmtpSession) -> None:
        self._transcript.append(session.transcript())

    def _end(
        self,
        outcome: Outcome,
        *,
        dsn: bool = False,
        corrupt: bool = False,
        suppressed: bool = False,
    ) -> Attempted:
        clock = self._courier.clock
        return Attempted(
            outcome=outcome,
            attempt=Attempt(
                started_at=self._began,
                ehlo=self._settings.ehlo,
                took_ms=round((clock.monotonic() - self._started) * 1000),
                transcript="".join(self._transcript)[:_MOST_TRANSCRIPT],
                **self._notes,
            ),
            dsn_passed_on=dsn,
            corrupt=corrupt,
            suppressed=suppressed,
            no_host=not self._spoken and self._stage is not _ROUTE,
        )


def _first_negative(replies: TransactionReplies) -> tuple[Stage, Reply] | None:
    """Where the transaction of our one recipient was refused first."""
    rcpt = replies.recipients[0] if replies.recipients else None
    said = (replies.mail, rcpt, replies.data, replies.final)
    for stage, reply in zip(_STEPS, said, strict=True):
        if reply is not None and not reply.is_positive:
            return stage, reply
    if replies.final is None:
        return Stage.BODY, Reply.of(451, "4.5.0", "The remote gave no final reply")
    return None


def _delivered(reply: Reply) -> Outcome:
    status = reply.enhanced
    if status is None or status.klass != 2:
        status = _DONE
    return Outcome(result=_DELIVERED, stage=_BODY, status=status, text=str(reply), reply=reply)
