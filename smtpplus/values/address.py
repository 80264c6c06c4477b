"""A mail address (RFC 5321 §4.1.2, RFC 6531 §3.3).

Guarantees: an `Address` made by `Address.parse` obeys the grammar and the limits of
RFC 5321 §4.5.3.1, and holds no control character. The null reverse path ``<>`` is None
everywhere. Does not look anything up.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import unicodedata
from dataclasses import dataclass

from smtpplus.values.errors import AddressError

__all__ = ["Address", "to_ascii"]

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_DOT_STRING = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"')
_ESCAPED = re.compile(r"\\(.)")
_SPECIAL = re.compile(r'(["\\])')
_LABEL = re.compile(
    r"[A-Za-z0-9_\u0080-\U0010ffff](?:[A-Za-z0-9_\-\u0080-\U0010ffff]*[A-Za-z0-9_\u0080-\U0010ffff])?"
)
_JOINERS = "\u200c\u200d"  # RFC 5892 appendix A
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")  # UTS #46 §2.3
_MAX_LOCAL = 64  # RFC 5321 §4.5.3.1.1, octets
_MAX_DOMAIN = 255  # RFC 5321 §4.5.3.1.2, octets
_MAX_PATH = 254  # RFC 5321 §4.5.3.1.3: 256 octets with the angle brackets
_MAX_LABEL = 63  # RFC 1035 §2.3.4, octets of the A-label


class _Forms:
    """Where an address keeps the forms that it is asked for several times a message."""

    __slots__ = ("_ascii_domain", "_key")
    _ascii_domain: str
    _key: str


@dataclass(frozen=True, slots=True, order=True)
class Address(_Forms):
    """``local@domain``; `local` as written (a quoted string keeps its quotes).

    `domain` is as written: ASCII, with U-labels (RFC 6531), or an address literal in brackets.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that `text` is.

        Raises:
            AddressError: it is none; the text says why.
        """
        if len(text) > _MAX_PATH:
            raise AddressError(f"The address is longer than {_MAX_PATH} octets.")
        return _parsed(text)

    @property
    def key(self) -> str:
        """The address in the form used to compare: lower case, domain in A-labels.

        A local part is quoted only where it must be: ``"ann"`` is ``ann`` (RFC 5321 §4.1.2).
        """
        try:
            return self._key
        except AttributeError:
            local = self.local.lower()
            if local.startswith('"'):
                local = _quoted_as_needed(local)
            key = f"{local}@{to_ascii(self.domain)}"
            object.__setattr__(self, "_key", key)
            return key

    @property
    def ascii_domain(self) -> str:
        """The domain in lower-case A-labels (RFC 5890); a literal stays as it is."""
        try:
            return self._ascii_domain
        except AttributeError:
            domain = to_ascii(self.domain)
            object.__setattr__(self, "_ascii_domain", domain)
            return domain

    @property
    def is_ascii(self) -> bool:
        """Can it be sent without SMTPUTF8 (its domain in A-labels)?"""
        return self.local.isascii()

    @property
    def is_literal(self) -> bool:
        """Is the domain an address literal, ``[192.0.2.1]``?"""
        return self.domain.startswith("[")

    @property
    def wire(self) -> str:
        """As it goes on the wire: with A-labels where the local part is ASCII (RFC 6531 §3.2)."""
        if self.domain.isascii() or not self.local.isascii():
            return str(self)
        return f"{self.local}@{to_ascii(self.domain)}"

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@functools.lru_cache(maxsize=4096)  # who sends, sends again
def _parsed(text: str) -> Address:
    if not text.isascii():
        _check_letters(text)
    local, domain = _split(text)
    _check_local(local)
    _check_domain(domain)
    if len(text.encode()) > _MAX_PATH:
        raise AddressError(f"The address is longer than {_MAX_PATH} octets.")
    return Address(local, domain)


def to_ascii(domain: str) -> str:
    """`domain` in lower-case A-labels; what cannot be converted is only lower-cased."""
    if domain.isascii():
        return domain.lower()
    try:
        return ".".join(_label_to_ascii(label) for label in domain.split("."))
    except UnicodeError:
        return domain.lower()


def _label_to_ascii(label: str) -> str:
    if label.isascii():
        return label.lower()
    lower = label.lower()
    if _DEVIATIONS.isdisjoint(lower):
        # The standard library's codec is IDNA 2003; the resolver's checks are IDNA 2008.
        return lower.encode("idna").decode("ascii")
    # IDNA 2003 would turn these into other letters, and the domain into somebody else's.
    plain = unicodedata.normalize("NFKC", lower)
    return "xn--" + plain.encode("punycode").decode("ascii")


def _check_letters(text: str) -> None:
    """No control, no direction mark, no odd space, no lone surrogate; joiners are letters' own."""
    for letter in text:
        if not letter.isprintable() and letter not in _JOINERS:
            raise AddressError(f"The address holds the character U+{ord(letter):04X}.")


def _split(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        match = _QUOTED.match(text)
        if match is None or not text[match.end() :].startswith("@"):
            raise AddressError("The quoted local part is not closed before the @.")
        return match.group(), text[match.end() + 1 :]
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("The address has no @ and domain.")
    return local, domain


def _check_local(local: str) -> None:
    if not local:
        raise AddressError("The local part is empty.")
    if len(local.encode()) > _MAX_LOCAL:
        raise AddressError(f"The local part is longer than {_MAX_LOCAL} octets.")
    if not (_DOT_STRING.fullmatch(local) or _QUOTED.fullmatch(local)):
        raise AddressError("The local part holds a character that needs quoting.")


def _quoted_as_needed(local: str) -> str:
    plain = _ESCAPED.sub(r"\1", local[1:-1])
    return plain if _DOT_STRING.fullmatch(plain) else '"' + _SPECIAL.sub(r"\\\1", plain) + '"'


def _check_domain(domain: str) -> None:
    if not domain:
        raise AddressError("The domain is empty.")
    if len(domain.encode()) > _MAX_DOMAIN:
        raise AddressError(f"The domain is longer than {_MAX_DOMAIN} octets.")
    if domain.startswith("["):
        _check_literal(domain)
        return
    for label in domain.split("."):
        if not _LABEL.fullmatch(label):
            raise AddressError("The domain has an empty or malformed label.")
        if len(_checked_a_label(label)) > _MAX_LABEL:
            raise AddressError(f"The domain has a label longer than {_MAX_LABEL} octets.")
    if label.isdecimal():
        raise AddressError("An IP address as domain stands in brackets, [192.0.2.1].")


def _checked_a_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        ascii_label = _label_to_ascii(label)
    except UnicodeError as error:
        raise AddressError("The domain has a label that IDNA does not allow.") from error
    if not _LABEL.fullmatch(ascii_label):  # some letters stand for a dot, or for two letters
        raise AddressError("The domain has a label that IDNA does not allow.")
    return ascii_label


def _check_literal(domain: str) -> None:
    inner = domain[1:-1]
    if not domain.endswith("]"):
        raise AddressError("The address literal is not closed.")
    is_v6 = inner[:5].lower() == "ipv6:"
    try:
        if is_v6 and "%" not in inner:
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError as error:
        raise AddressError("The address literal is no IPv4 or IPv6 address.") from error
