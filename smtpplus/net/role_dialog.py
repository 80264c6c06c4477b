"""The talk between one conversation and its role: events become calls, results become answers.

Guarantees: one call at a time; a plain value is taken at once, an awaitable holds the session
(`Phase.ASKING`) until it comes; whatever the role raises becomes a reply. Raises nothing.
Knows no transport: `smtpplus.net.server_session` is the other half.
"""

# ruff: noqa: SLF001  the table at the end names methods of this class

from __future__ import annotations

import math
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smtpplus.net.role_calls import FAULT, QUESTIONS, reply_to_failure
from smtpplus.net.session_home import Phase, SessionHome
from smtpplus.ports import HangUpError, IConversationRole
from smtpplus.smtp.events import (
    AuthFailed,
    BodyChunk,
    BodyEnded,
    Closed,
    Connected,
    HelloReceived,
    StartTls,
    Tarpit,
    TransactionReset,
    Wait,
)
from smtpplus.smtp.server import ServerConversation
from smtpplus.values.reply import Reply
from smtpplus.values.submission import ScramVerifier

__all__ = ["RoleDialog"]


class RoleDialog:
    """The role's half of a session; the transport's half brings the methods that raise here."""

    __slots__ = (
        "_asked",
        "_asked_at",
        "_body_refusal",
        "_conversation",
        "_deadline",
        "_home",
        "_is_lost",
        "_is_stopping",
        "_phase",
        "_role",
        "client_ip",
    )

    def __init__(
        self, home: SessionHome, role: IConversationRole, phase: Phase, client_ip: str
    ) -> None:
        self._home = home
        self._role = role
        self._phase = phase
        self._conversation: ServerConversation | None = None
        self._deadline = math.inf  # by the monotonic clock, of what the phase waits for
        self._asked: Any = None  # the event that is waited for
        self._asked_at = 0.0
        self._body_refusal: Reply | None = None  # a piece of content failed: the final reply
        self._is_lost = False
        self._is_stopping = False
        self.client_ip = client_ip

    def abort(self, reason: str) -> None:
        """Drop the connection."""
        raise NotImplementedError

    def _turn(self) -> None:
        raise NotImplementedError

    def _start_tls(self, conversation: ServerConversation) -> None:
        raise NotImplementedError

    def _end(self, reply: Reply | None, reason: str) -> None:
        raise NotImplementedError

    def _dispatch(self, conversation: ServerConversation, event: Any) -> None:
        """Let the role know, or ask it."""
        kind = type(event)
        question = QUESTIONS.get(kind)
        if question is None:
            _STATEMENTS.get(kind, RoleDialog._misunderstood)(self, conversation, event)
            return
        if kind is Connected or self._body_refusal is not None:
            refusal = self._refusal(event)
            if refusal is not None:
                conversation.answer(refusal)
                return
        try:
            answer = question(self._role, event)
        except Exception:  # noqa: BLE001 - whatever a role raises is answered
            answer = self._reply_to(Failure(), event)  # type: ignore[no-untyped-call]
        if type(answer) is Reply or type(answer) is ScramVerifier:  # it took no time
            self._answer(conversation, event, answer)
        else:
            self._hold(answer, event, self._answered)

    def _refusal(self, event: Any) -> Reply | None:
        """The answer where the role is not asked."""
        if type(event) is Connected:
            return self._home.admit(self, event.client_ip)
        if type(event) is BodyEnded and self._body_refusal is not None:
            refusal, self._body_refusal = self._body_refusal, None
            self._tell(self._role.reset)
            return refusal
        return None

    def _answered(self, result: Any) -> None:
        try:
            event = self._asked
            if isinstance(result, Failure):
                result = self._reply_to(result, event)
            self._go_on()
            assert self._conversation is not None
            self._answer(self._conversation, event, result)
            self._turn()
        except Exception:  # noqa: BLE001 - a fault of ours: this connection ends, no other
            self._broke()

    def _answer(self, conversation: ServerConversation, event: Any, answer: Any) -> None:
        if type(answer) is ScramVerifier:
            conversation.answer_scram(answer)
            return
        if type(event) is Connected and answer.is_positive and self._role.needs_no_auth:
            conversation.allow_without_auth()
        conversation.answer(answer)

    # ------------------------------------------------------------ statements

    def _take(self, conversation: ServerConversation, event: BodyChunk) -> None:
        if self._body_refusal is None:
            self._wait_for(self._role.body_chunk, event)

    def _greeted(self, conversation: ServerConversation, event: HelloReceived) -> None:
        self._tell(lambda: self._role.hello(event))

    def _was_reset(self, conversation: ServerConversation, event: TransactionReset) -> None:
        self._body_refusal = None
        self._tell(self._role.reset)

    def _wants_tls(self, conversation: ServerConversation, event: StartTls) -> None:
        self._start_tls(conversation)

    def _auth_failed(self, conversation: ServerConversation, event: AuthFailed) -> None:
        self._wait_for(self._role.auth_failed, event)

    def _tarpit(self, conversation: ServerConversation, event: Tarpit) -> None:
        if self._is_lost or self._is_stopping:
            return
        self._phase = Phase.TARPIT
        self._home.clock.call_later(event.seconds, self._tarpit_ended)

    def _tarpit_ended(self) -> None:
        if self._phase is Phase.TARPIT:
            self._phase = Phase.TALKING
            self._turn()

    def _is_over(self, conversation: ServerConversation, event: Closed) -> None:
        self._end(None, event.reason)

    def _misunderstood(self, conversation: ServerConversation, event: Any) -> None:
        if event is Wait.PAUSED:
            raise RuntimeError("The conversation waits for an answer that was given")
        raise TypeError(f"{event!r} is no event of a server's conversation")

    # ------------------------------------------------------------ waiting

    def _wait_for(self, call: Callable[[Any], Any], event: Any) -> None:
        """Make a call that answers nothing, and wait where it wants to be waited for."""
        try:
            waited = call(event)
        except Exception:  # noqa: BLE001 - whatever a role raises is answered
            self._failed(Failure(), event)  # type: ignore[no-untyped-call]
            return
        if waited is not None:
            self._hold(waited, event, self._waited)

    def _waited(self, result: object) -> None:
        try:
            if isinstance(result, Failure):
                self._failed(result, self._asked)
            self._go_on()
            self._turn()
        except Exception:  # noqa: BLE001 - a fault of ours: this connection ends, no other
            self._broke()

    def _failed(self, failure: Failure, event: Any) -> None:
        reply = self._reply_to(failure, event)
        if type(event) is BodyChunk:
            self._body_refusal = reply

    def _hold(
        self,
        answer: CoroutineType[Any, Any, Any] | Deferred[Any],
        event: Any,
        then: Callable[[Any], None],
    ) -> None:
        """Wait for `answer`; of one that has come already `then` is called at once."""
        self._phase = Phase.ASKING
        self._asked = event
        self._asked_at = self._home.clock.monotonic()
        if isinstance(answer, CoroutineType):
            self._home.begin(type(event).__name__, answer, then)
        else:
            answer.addBoth(then)

    def _go_on(self) -> None:
        self._phase = Phase.TALKING
        # The client is not to blame for the time this took.
        self._deadline += self._home.clock.monotonic() - self._asked_at

    def _reply_to(self, failure: Failure, event: object) -> Reply:
        if isinstance(failure.value, HangUpError):
            self.abort("The role hung up")  # what is answered below reaches nobody
            return FAULT
        return reply_to_failure(failure, event, self._home.log, self.client_ip)

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - the role's fault does not concern the client
            self._home.log.failure("A statement about {ip} failed", ip=self.client_ip)

    def _broke(self) -> None:
        self._home.log.failure("The session with {ip} failed", ip=self.client_ip)
        self.abort("A fault of ours")


_STATEMENTS: dict[type, Callable[[RoleDialog, ServerConversation, Any], None]] = {
    BodyChunk: RoleDialog._take,
    HelloReceived: RoleDialog._greeted,
    TransactionReset: RoleDialog._was_reset,
    StartTls: RoleDialog._wants_tls,
    AuthFailed: RoleDialog._auth_failed,
    Tarpit: RoleDialog._tarpit,
    Closed: RoleDialog._is_over,
}
