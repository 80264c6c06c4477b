"""The envelope of a message: MAIL and RCPT with their parameters.

RFC 5321 §4.1.1.2 to §4.1.1.3, DSN parameters RFC 3461 §4, SMTPUTF8 RFC 6531, SIZE RFC 1870,
HOLDFOR and HOLDUNTIL RFC 4865, BY RFC 2852, MT-PRIORITY RFC 6710.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from smtpplus.values.address import Address
from smtpplus.values.made_quickly import made_quickly

__all__ = ["Body", "ByMode", "DeliverBy", "Envelope", "EnvelopeRecipient", "Notify", "Ret"]


class Body(enum.StrEnum):
    """BODY= of MAIL (RFC 6152): what octets the content may hold."""

    __hash__ = str.__hash__  # Enum's own is slow, and in Python

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"


class Ret(enum.StrEnum):
    """RET= of MAIL (RFC 3461 §4.3): how much of the message a failure DSN returns."""

    FULL = "FULL"
    HDRS = "HDRS"


class Notify(enum.StrEnum):
    """One condition of NOTIFY= of RCPT (RFC 3461 §4.1). NEVER stands alone."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


class ByMode(enum.StrEnum):
    """What BY= of MAIL wants when the time is over (RFC 2852 §4)."""

    RETURN = "R"  # give it up, and say so
    NOTIFY = "N"  # say that it is late, and go on


_BY = re.compile(r"([+-]?[0-9]{1,9});([NRnr])([Tt])?")


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """BY= of MAIL: `seconds` after MAIL it is late. Below 0 (it is already) in mode N alone.

    `trace`: each relay is to tell of handing it on.
    """

    seconds: int
    mode: ByMode
    trace: bool = False

    def __str__(self) -> str:
        return f"{self.seconds};{self.mode}{'T' if self.trace else ''}"

    @classmethod
    def parse(cls, text: str) -> DeliverBy:
        """What stands behind ``BY=`` (RFC 2852 §4).

        Raises:
            ValueError: it is no such thing.
        """
        match = _BY.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} is no time to deliver by")
        seconds, mode, trace = match.groups()
        return cls(int(seconds), ByMode(mode.upper()), bool(trace))


@made_quickly
@dataclass(frozen=True, slots=True)
class EnvelopeRecipient:
    """One RCPT: where to, and what the sender wants to be told of it.

    `notify` is None where the sender said nothing (then: failure and delay are reported).
    `orcpt` is the value of ORCPT= as it came, ``rfc822;xtext``, or None.
    """

    address: Address
    notify: frozenset[Notify] | None = None
    orcpt: str | None = None


@made_quickly
@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything MAIL and RCPT said. `sender` None is the null reverse path ``<>``.

    `declared_bytes` is SIZE= (octets, 0 where it was not given). `envid` is xtext as it came.
    `hold_for` (seconds) and `hold_until` (Unix seconds) are HOLDFOR= and HOLDUNTIL= as given; they
    are settled at the accept (`smtpplus.rules.schedule`) and not kept beyond it. `mt_priority` is
    -9 to 9, the higher the sooner. `places` are those of `recipients` among all RCPT commands, also
    the refused and the repeated ones; empty where there were no others. They are not kept either.
    """

    sender: Address | None
    recipients: tuple[EnvelopeRecipient, ...] = field(default=())
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    declared_bytes: int = 0
    hold_for: int | None = None
    hold_until: float | None = None
    deliver_by: DeliverBy | None = None
    mt_priority: int | None = None
    places: tuple[int, ...] = ()

    @property
    def says_no_time(self) -> bool:
        """Is nothing said of when it is sent or given up?"""
        return self.hold_for is None and self.hold_until is None and self.deliver_by is None
