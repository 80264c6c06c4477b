"""Tokens: what names account, list, message and delivery in a URL or an address.

A token is opaque, signed and dated; it is read without a database. Inside are five numbers and
the day it was made (for a click also the link's number, and how many the message has). They are
sealed by a synthetic IV: the first part is a keyed BLAKE2b (RFC 7693 §2.9) of numbers and what the token is bound to, cut to 96
bits (128 for clicks); the second is the numbers, covered by a key stream drawn from that IV. So
nothing is readable or countable, equal facts give equal tokens, and one changed bit gives noise.
(The construction is that of RFC 5297 with BLAKE2b in both places: it needs no state, any thread
may make tokens.) Keys are drawn from the installation's secret, one pair for each purpose.

Guarantees: constant length for each purpose; lower-case base32, upper case is forgiven (VE2); a
token of one purpose is never read as another's, nor by another installation; comparison in
constant time. Raises `TokenError`. Reads no clock; does not know URLs or addresses
(`smtpplus.message.tracking_urls`, `smtpplus.message.verp`).
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from smtpplus.message import base32
from smtpplus.values.errors import SmtpplusError, UsageError

__all__ = [
    "MAX_AGE_DAYS",
    "Purpose",
    "Token",
    "TokenError",
    "TokenFacts",
    "TokenFault",
    "Tokens",
    "token_length",
]

_DAY_SECONDS = 86_400
_EPOCH_DAY = 18_262  # 2020-01-01, as the ids
_LEAST_SECRET_OCTETS = 16
_TAG = 12  # octets; a return path has to fit 64 letters
_CLICK_TAG = 16  # promise W2: 128 bits between us and a redirect
_NUMBERS = struct.Struct(">HIIQQ")  # day, account, list, message, delivery
_NUMBERS_AND_LINK = struct.Struct(">HIIQQHH")
_LINK = struct.Struct(">HH")  # its number, and how many there are
_MOST_LINKS = 0xFFFF


class Purpose(enum.StrEnum):
    """What a token is for; each has its own keys."""

    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"
    RETURN_PATH = "return path"
    FEEDBACK = "feedback"


# Days after the day of making on which a token is still read. A return path: remote queues give
# up after five days, and what comes after ten is no bounce of ours (promise A8). An unsubscribe
# link: at least 60 days (UN3), people keep mail longer. A link in an old invoice has to work.
MAX_AGE_DAYS: Final = {
    Purpose.OPEN: 400,
    Purpose.CLICK: 3_650,
    Purpose.UNSUBSCRIBE: 730,
    Purpose.RETURN_PATH: 9,
    Purpose.FEEDBACK: 180,
}


class TokenFault(enum.StrEnum):
    """What is wrong with a token."""

    MALFORMED = "malformed"
    FORGED = "forged"
    EXPIRED = "expired"


_SENTENCES = {
    TokenFault.MALFORMED: "This is not a token of this service: it is cut short or altered.",
    TokenFault.FORGED: "This token was not made by this service for this use, or was altered.",
    TokenFault.EXPIRED: "This token is too old.",
}


class TokenError(SmtpplusError, ValueError):
    """A token is not accepted; `fault` says why, and nothing more is known of it."""

    def __init__(self, fault: TokenFault) -> None:
        super().__init__(_SENTENCES[fault])
        self.fault = fault


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What a token names: ids as the store knows them.

    Raises:
        ValueError: an id does not fit (account and list have 32 bits, the others 63).
    """

    account_id: int
    list_id: int
    message_id: int
    delivery_id: int

    def __post_init__(self) -> None:
        if not (0 <= self.account_id < 1 << 32 and 0 <= self.list_id < 1 << 32):
            raise ValueError("ids of account and list have at most 32 bits in a token")
        if not (0 <= self.message_id < 1 << 63 and 0 <= self.delivery_id < 1 << 63):
            raise ValueError("ids of message and delivery have at most 63 bits in a token")


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was read: `facts`, the number of the link (clicks), the day it was made.

    `links` is how many different links the message has (clicks; 0: not known). `made_on` is midnight UTC
    of that day, Unix seconds.
    """

    purpose: Purpose
    facts: TokenFacts
    link: int
    made_on: float
    links: int = 0


class Tokens:
    """Makes and reads the tokens of one installation.

    Args:
        secrets: the installation's secret first: new tokens are made with it; then former ones,
            whose tokens are still read.

    Raises:
        UsageError: a secret is too short, or there is none.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets or min(map(len, secrets)) < _LEAST_SECRET_OCTETS:
            raise UsageError(
                f"The installation's secret needs at least {_LEAST_SECRET_OCTETS} octets."
            )
        self._keys = {
            purpose: tuple(_Keys.of(secret, purpose) for secret in secrets) for purpose in Purpose
        }
        self._newest = {purpose: keys[0].seal for purpose, keys in self._keys.items()}
        # A copy has a token for each of its links, and one in several places: what was packed
        # last, and the tokens made of it that are bound to nothing.
        self._packed: tuple[TokenFacts | None, int, bytes, dict[Purpose, str]] = (None, 0, b"", {})

    def make(
        self,
        purpose: Purpose,
        facts: TokenFacts,
        now: float,
        *,
        link: int = 0,
        links: int = 0,
        bound: bytes = b"",
    ) -> str:
        """A token.

        Args:
            purpose: where it will be accepted.
            facts: what it names.
            now: Unix seconds; the day is kept.
            link: which link of the message (0 to 65,535), kept for clicks only.
            links: how many different ones the message has, likewise; 0 where it is not known.
            bound: octets the token is worth nothing without, such as a click's target.
        """
        day = int(now // _DAY_SECONDS)
        known, on, numbers, made = self._packed
        if known is not facts or on != day:
            numbers, made = _packed(facts, day), {}
            self._packed = (facts, day, numbers, made)
        if purpose is Purpose.CLICK:
            numbers += _LINK.pack(link, min(links, _MOST_LINKS))
            return self._newest[purpose](numbers, bound, _CLICK_TAG)
        if bound:
            return self._newest[purpose](numbers, bound, _TAG)
        token = made.get(purpose)
        if token is None:
            token = made[purpose] = self._newest[purpose](numbers, bound, _TAG)
        return token

    def read(self, purpose: Purpose, text: str, now: float, *, bound: bytes = b"") -> Token:
        """What `text` names.

        Raises:
            TokenError: it is none of ours for this purpose (or for what it is `bound` to), or
                too old.
        """
        tag = _tag_octets(purpose)
        try:
            octets = base32.decode(text, tag + _numbers(purpose).size)
        except ValueError as error:
            raise TokenError(TokenFault.MALFORMED) from error
        for keys in self._keys[purpose]:
            plain = keys.open(octets, bound, tag)
            if plain is not None:
                return _token(purpose, plain, now)
        raise TokenError(TokenFault.FORGED)


def _packed(facts: TokenFacts, day: int) -> bytes:
    day = min(max(day - _EPOCH_DAY, 0), 0xFFFF)
    return _NUMBERS.pack(day, facts.account_id, facts.list_id, facts.message_id, facts.delivery_id)


def token_length(purpose: Purpose) -> int:
    """How many letters every token for `purpose` has."""
    return base32.text_length(_tag_octets(purpose) + _numbers(purpose).size)


def _tag_octets(purpose: Purpose) -> int:
    return _CLICK_TAG if purpose is Purpose.CLICK else _TAG


def _numbers(purpose: Purpose) -> struct.Struct:
    return _NUMBERS_AND_LINK if purpose is Purpose.CLICK else _NUMBERS


def _token(purpose: Purpose, plain: bytes, now: float) -> Token:
    day, *ids = _numbers(purpose).unpack(plain)
    made_on = (day + _EPOCH_DAY) * _DAY_SECONDS
    if now // _DAY_SECONDS - (day + _EPOCH_DAY) > MAX_AGE_DAYS[purpose]:
        raise TokenError(TokenFault.EXPIRED)
    link, links = ids[4:] or (0, 0)
    return Token(purpose, TokenFacts(*ids[:4]), link, float(made_on), links)


@dataclass(frozen=True, slots=True)
class _Keys:
    """The pair of one secret and one purpose, as functions; `seal` makes a token's text."""

    sign: Callable[[bytes], bytes]
    stream: Callable[[bytes], bytes]
    seal: Callable[[bytes, bytes, int], str]

    @classmethod
    def of(cls, secret: bytes, purpose: Purpose) -> _Keys:
        info = b"smtpplus token 2 " + purpose.encode()
        key = HKDF(SHA256(), 64, salt=None, info=info).derive(secret)
        sign, stream = _keyed(key[:32]), _keyed(key[32:])
        return cls(sign, stream, _sealing(sign, stream))

    def open(self, octets: bytes, bound: bytes, tag_octets: int) -> bytes | None:
        tag = octets[:tag_octets]
        plain = _xor(octets[tag_octets:], self.stream(tag))
        expected = self.sign(plain + bound)[:tag_octets]
        return plain if hmac.compare_digest(tag, expected) else None


def _sealing(
    sign: Callable[[bytes], bytes], stream: Callable[[bytes], bytes]
) -> Callable[[bytes, bytes, int], str]:
    """Seals `plain`, bound to `bound`, with a tag of so many octets; as text."""
    number, encode = int.from_bytes, base32.encode_number

    def seal(plain: bytes, bound: bytes, tag_octets: int) -> str:
        length = len(plain)
        tag = sign(plain + bound)[:tag_octets]  # the numbers have one length: no ambiguity
        covered = number(plain, "big") ^ number(stream(tag)[:length], "big")
        return encode((number(tag, "big") << length * 8) | covered, tag_octets + length)

    return seal


def _xor(octets: bytes, stream: bytes) -> bytes:
    length = len(octets)
    covered = int.from_bytes(octets, "big") ^ int.from_bytes(stream[:length], "big")
    return covered.to_bytes(length, "big")


def _keyed(key: bytes) -> Callable[[bytes], bytes]:
    """BLAKE2b with `key`, 32 octets long; its first block is hashed once."""
    copy = hashlib.blake2b(digest_size=32, key=key).copy

    def digest(octets: bytes) -> bytes:
        made = copy()
        made.update(octets)
        return made.digest()

    return digest
