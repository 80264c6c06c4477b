"""How long each step of an outbound SMTP session may take.

Guarantees: every command has a deadline. Does not measure: `smtpplus.net.client_wire` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from smtpplus.smtp.client_events import Command
from smtpplus.values.duration import Duration

__all__ = ["Timeouts"]

_5_S = Duration(seconds=5)
_30_S = Duration(seconds=30)
_1_MIN = Duration(seconds=60)
_2_MIN = Duration(seconds=120)
_3_MIN = Duration(seconds=180)
_5_MIN = Duration(seconds=300)
_10_MIN = Duration(seconds=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Each is for the whole of a step; the defaults are the minima of RFC 5321 §4.5.3.2.

    Connecting, the TLS handshake, AUTH, RSET and QUIT are not named there.
    """

    connect: Duration = _30_S
    greeting: Duration = _5_MIN  # RFC 5321 §4.5.3.2.1
    hello: Duration = _5_MIN
    tls: Duration = _1_MIN  # STARTTLS, and then the handshake
    auth: Duration = _2_MIN
    mail: Duration = _5_MIN  # RFC 5321 §4.5.3.2.2
    rcpt: Duration = _5_MIN  # RFC 5321 §4.5.3.2.3
    data: Duration = _2_MIN  # RFC 5321 §4.5.3.2.4
    block: Duration = _3_MIN  # RFC 5321 §4.5.3.2.5
    final: Duration = _10_MIN  # RFC 5321 §4.5.3.2.6
    reset: Duration = _1_MIN
    quit: Duration = _5_S  # and then for closing

    def reply_to(self, command: Command) -> float:
        """Seconds for the whole reply to `command`."""
        step: Duration = _STEPS[command](self)
        return float(step.seconds)


_STEPS = {
    Command.GREETING: attrgetter("greeting"),
    Command.EHLO: attrgetter("hello"),
    Command.HELO: attrgetter("hello"),
    Command.STARTTLS: attrgetter("tls"),
    Command.AUTH: attrgetter("auth"),
    Command.MAIL: attrgetter("mail"),
    Command.RCPT: attrgetter("rcpt"),
    Command.DATA: attrgetter("data"),
    Command.FINAL: attrgetter("final"),
    Command.DISCARD: attrgetter("final"),
    Command.RSET: attrgetter("reset"),
    Command.QUIT: attrgetter("quit"),
}
