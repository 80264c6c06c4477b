"""The addresses that play an outcome: what the sandbox does for which local part.

Whatever stands before the ``@`` decides, in any domain, in upper or lower case, a ``+tag`` left
out. `OUTCOMES` is the table for the README; every other address is accepted and kept.

Guarantees: pure; the count of deferrals is bounded (the least recently used is forgotten).
Raises nothing.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

from smtpplus.values.address import Address
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["OUTCOMES", "SLOW_SECONDS", "Deferrals", "Part", "part_of"]

OUTCOMES: tuple[tuple[str, str], ...] = (
    (
        "bounce-5.1.1@",
        "RCPT is answered with this enhanced code: 5.x.x refuses for good (550), 4.x.x for now",
    ),
    ("defer-3@", "answered 451 4.7.1 after the content, three times; then accepted"),
    ("full@", "RCPT is answered 452 4.2.2: the mailbox is full"),
    ("slow@", "accepted, but every reply from RCPT on takes 10 seconds"),
    ("drop@", "the connection is closed after the final dot without a reply; nothing is kept"),
    ("tls-fail@", "STARTTLS is offered and its handshake fails; accepted without TLS"),
)

SLOW_SECONDS = 10.0

_BOUNCE = re.compile(r"bounce-([45]\.\d{1,3}\.\d{1,3})")
_DEFER = re.compile(r"defer-(\d{1,6})")

_TEXTS = {  # by subject.detail (RFC 3463 §3, RFC 7372, RFC 7505): what such servers say
    "1.0": "Address rejected",
    "1.1": "No such user here: user unknown",
    "1.2": "The domain of this address does not exist",
    "1.3": "Bad syntax in the mailbox address",
    "1.6": "The mailbox has moved, no forwarding address",
    "1.8": "The sender's domain does not exist",
    "1.10": "The recipient's domain has a null MX",
    "2.0": "The mailbox cannot be used",
    "2.1": "The mailbox is disabled, not accepting messages",
    "2.2": "The mailbox is full: over quota",
    "2.3": "The message is longer than this mailbox allows",
    "2.4": "The mailing list cannot be expanded",
    "3.0": "The mail system has a problem",
    "3.1": "The mail system is full",
    "3.2": "The system is not accepting network messages",
    "3.4": "The message is too big for this system",
    "4.1": "No answer from the host",
    "4.2": "The connection was lost",
    "4.4": "The host cannot be routed to",
    "4.5": "The mail system is congested, try again later",
    "4.6": "A mail loop was found: too many hops",
    "4.7": "The delivery time has expired",
    "5.0": "A protocol error happened",
    "5.3": "Too many recipients",
    "6.0": "The content is not acceptable",
    "6.1": "The media type is not supported",
    "7.0": "Refused by a security policy",
    "7.1": "Delivery not authorised, message refused by policy",
    "7.20": "No valid DKIM signature",
    "7.23": "SPF validation failed",
    "7.25": "The client's address has no reverse DNS",
    "7.26": "The message is not authenticated",
    "7.28": "Our users get too much mail from your address: rate limited",
    "7.509": "Access denied, the sending domain does not pass DMARC",
    "7.515": "Access denied, the sending domain does not meet the authentication level",
}
_CODES = {  # where neither 550 nor 451 is what goes with it (RFC 5321 §4.2.2, RFC 7504)
    "5.1.3": 553,
    "5.1.6": 551,
    "5.1.10": 556,
    "5.2.2": 552,
    "5.2.3": 552,
    "5.3.4": 552,
    "5.4.6": 554,
    "5.6.0": 554,
    "4.2.0": 450,
    "4.2.1": 450,
    "4.2.2": 452,
    "4.3.1": 452,
    "4.5.3": 452,
}


@dataclass(frozen=True, slots=True)
class Part:
    """What is played for one address. `refusal` is the reply to RCPT, None: accepted."""

    refusal: Reply | None = None
    deferrals: int = 0
    is_slow: bool = False
    drops: bool = False


_PLAIN = Part()
_NAMED = {
    "full": Part(refusal=Reply.of(452, "4.2.2", "The mailbox is full: over quota")),
    "slow": Part(is_slow=True),
    "drop": Part(drops=True),
}


def part_of(address: Address) -> Part:
    """The part that `address` plays."""
    name = address.local.lower().partition("+")[0]
    bounce, defer = _BOUNCE.fullmatch(name), _DEFER.fullmatch(name)
    if bounce is not None:
        return Part(refusal=_refusal(bounce[1], address))
    if defer is not None:
        return Part(deferrals=int(defer[1]))
    return _NAMED.get(name, _PLAIN)


def _refusal(enhanced: str, address: Address) -> Reply:
    klass, _, rest = enhanced.partition(".")
    parsed = EnhancedCode.parse(enhanced)
    assert parsed is not None  # the pattern of the local part is that of the code
    canonical = str(parsed)
    default = (450 if parsed.subject == 2 else 451) if klass == "4" else 550
    text = _TEXTS.get(f"{parsed.subject}.{parsed.detail}", f"The sandbox plays {rest}")
    return Reply.of(_CODES.get(canonical, default), canonical, f"<{address.wire}>: {text}")


class Deferrals:
    """Counts how often a message to a ``defer-<n>`` address was put off."""

    __slots__ = ("_counts", "_most")

    def __init__(self, most: int = 10_000) -> None:
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._most = most

    def put_off(self, address: Address, message: str, times: int) -> Reply | None:
        """The deferral that is due for this `message` (its Message-ID), or None: accept it.

        An accepted message starts from the beginning when it comes again.
        """
        key = (address.key, message)
        count = self._counts.pop(key, 0)
        if count >= times:
            return None
        self._counts[key] = count + 1
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        left = times - count - 1
        return Reply.of(451, "4.7.1", f"<{address.wire}>: try again later, {left} more to come")
