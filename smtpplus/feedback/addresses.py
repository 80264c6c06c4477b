"""The addresses of the bounce domain: which of them are ours, and what mail to them means.

``u-<token>`` unsubscribes the one whom its token names; ``b-<token>`` is a return path. Nobody
else has an address here but postmaster and abuse (RFC 5321 §4.5.1, RFC 2142 §4) and the one of
CFBL-Address. Guarantees: read in any case (VE2); a token that is forged or too old is refused at
RCPT, so that nothing is sent back about it (VE1); mail to other domains is not relayed (VE3).
Raises nothing. Reads no clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from smtpplus.message.token import Purpose, Token, TokenError, TokenFault, Tokens
from smtpplus.message.verp import read_local_part
from smtpplus.values.address import Address
from smtpplus.values.reply import Reply

__all__ = ["GONE", "Kind", "ReturnAddresses", "Stranger"]

_KEPT_NAMES = frozenset({"postmaster", "abuse", "fbl"})


class Kind(enum.StrEnum):
    """What became of mail to an address; counted by these."""

    UNSUBSCRIBED = "unsubscribed"
    REPEATED = "repeated"  # it was done before
    ANSWERED = "answered"  # a machine's answer asks for nothing
    GONE = "gone"  # the message is not known any more
    FORGED = "forged"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    RELAY = "relay"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Stranger:
    """An address that mail is not taken for: why, and the reply to RCPT."""

    kind: Kind
    reply: Reply


_RELAY = Stranger(Kind.RELAY, Reply.of(550, "5.7.1", "Relay denied"))
_UNKNOWN = Stranger(Kind.UNKNOWN, Reply.of(550, "5.1.1", "No such address here"))
_FORGED = Stranger(Kind.FORGED, Reply.of(550, "5.1.1", "No such address here"))
_EXPIRED = Stranger(Kind.EXPIRED, Reply.of(550, "5.1.1", "This address is too old"))
GONE = Stranger(Kind.GONE, Reply.of(550, "5.1.1", "This address is not known any more"))
# The sender keeps it and tries again: better than to take it and lose it.
_LATER = Stranger(Kind.LATER, Reply.of(451, "4.3.2", "Not read at the moment; try again later"))


class ReturnAddresses:
    """The addresses in `domain` whose tokens `tokens` reads."""

    __slots__ = ("_domain", "_tokens")

    def __init__(self, domain: str, tokens: Tokens) -> None:
        self._domain = domain.lower()
        self._tokens = tokens

    def find(self, address: Address, now: float) -> Token | Stranger:
        """Whom mail to `address` unsubscribes; or why it is not taken."""
        if address.ascii_domain.lower() != self._domain:
            return _RELAY
        found = read_local_part(address.local)
        if found is None:
            return _LATER if address.local.lower() in _KEPT_NAMES else _UNKNOWN
        purpose, text = found
        try:
            token = self._tokens.read(purpose, text, now)
        except TokenError as error:
            return _EXPIRED if error.fault is TokenFault.EXPIRED else _FORGED
        return token if purpose is Purpose.UNSUBSCRIBE else _LATER
