"""A role in memory: answers as told, remembers what it was told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from zope.interface import implementer

from smtpplus.ports import IConversationRole
from smtpplus.smtp.events import (
    AuthFailed,
    BodyChunk,
    BodyEnded,
    BodyStarted,
    Connected,
    HelloReceived,
    MailReceived,
    PasswordOffered,
    RcptReceived,
    ScramProved,
    ScramStarted,
)
from smtpplus.values.reply import Reply
from smtpplus.values.submission import ScramVerifier

__all__ = ["OK", "MemoryRole"]

OK = Reply.of(250, "2.0.0", "OK")


@implementer(IConversationRole)
class MemoryRole:
    """Says yes. `answers` replaces the answer of a method by name: a value or a callable."""

    needs_no_auth = True

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        self.answers = answers or {}
        self.told: list[str] = []
        self.events: list[Any] = []
        self.messages: list[bytes] = []
        self.body = b""
        self.closed_because: str | None = None

    def _answer(self, name: str, event: Any, usual: Any) -> Any:
        self.told.append(name)
        self.events.append(event)
        answer = self.answers.get(name, usual)
        return answer(event) if callable(answer) else answer

    def connected(self, event: Connected) -> Any:
        return self._answer("connected", event, Reply.of(220, None, "test ESMTP"))

    def secured(self, version: str, cipher: str) -> None:
        self.told.append(f"secured {version} {cipher}")

    def hello(self, event: HelloReceived) -> None:
        self.told.append(f"hello {event.name}")

    def password(self, event: PasswordOffered) -> Any:
        return self._answer("password", event, Reply.of(235, "2.7.0", "Welcome"))

    def scram(self, event: ScramStarted) -> ScramVerifier | Reply | Awaitable[Any]:
        answer: Reply = self._answer("scram", event, Reply.of(535, "5.7.8", "No"))
        return answer

    def scram_proved(self, event: ScramProved) -> Any:
        return self._answer("scram_proved", event, Reply.of(235, "2.7.0", "Welcome"))

    def auth_failed(self, event: AuthFailed) -> Any:
        return self._answer("auth_failed", event, None)

    def mail(self, event: MailReceived) -> Any:
        return self._answer("mail", event, OK)

    def rcpt(self, event: RcptReceived) -> Any:
        return self._answer("rcpt", event, OK)

    def body_started(self, event: BodyStarted) -> Any:
        self.body = b""
        return self._answer("body_started", event, Reply.of(354, None, "Go on"))

    def body_chunk(self, event: BodyChunk) -> Any:
        self.body += event.data
        answer: Callable[[BodyChunk], Any] | None = self.answers.get("body_chunk")
        return answer(event) if answer is not None else None

    def body_ended(self, event: BodyEnded) -> Any:
        self.messages.append(self.body)
        return self._answer("body_ended", event, OK)

    def reset(self) -> None:
        self.body = b""
        self.told.append("reset")

    def closed(self, reason: str) -> None:
        self.told.append("closed")
        assert self.closed_because is None
        self.closed_because = reason
