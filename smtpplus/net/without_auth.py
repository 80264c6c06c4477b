"""The half of a conversation that a listener without AUTH never has.

For roles that take mail from servers, not from users: `IConversationRole`'s questions about
signing in, answered with 503 (a client that asks has not looked at what EHLO offered).
"""

from __future__ import annotations

from smtpplus.smtp.events import (
    AuthFailed,
    HelloReceived,
    PasswordOffered,
    ScramProved,
    ScramStarted,
)
from smtpplus.values.reply import Reply

__all__ = ["WithoutAuth"]

_NO_AUTH = Reply.of(503, "5.5.1", "There are no users here")


class WithoutAuth:
    """MAIL is taken from anybody; nobody signs in."""

    __slots__ = ()

    needs_no_auth = True

    def hello(self, event: HelloReceived) -> None:
        """Nothing is made of it."""

    def password(self, event: PasswordOffered) -> Reply:
        """Not offered."""
        return _NO_AUTH

    def scram(self, event: ScramStarted) -> Reply:
        """Not offered."""
        return _NO_AUTH

    def scram_proved(self, event: ScramProved) -> Reply:
        """Not offered."""
        return _NO_AUTH

    def auth_failed(self, event: AuthFailed) -> None:
        """Not offered."""
