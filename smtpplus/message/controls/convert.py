"""Values of control headers, from JSON or from a header's text, with the type that is expected.

Guarantees: null and the empty text mean that nothing was said (None); whatever else has the
wrong type raises `ControlsError` with what was expected. A text on one line holds no control
character, whoever wrote it: it may land in a header.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from smtpplus.message.charset import harmless
from smtpplus.message.controls.error import ControlsError, shown
from smtpplus.message.mailboxes import addresses
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError

__all__ = [
    "MAX_RECIPIENTS",
    "a_bool",
    "a_list",
    "a_long_text",
    "a_mailbox",
    "a_mapping",
    "a_name",
    "a_number",
    "a_text",
    "an_object",
    "comma_list",
    "field_value",
    "field_values",
]

MAX_RECIPIENTS = 10_000
_MAX_NAME = 100  # characters of a field's or a metadata key's name
_MAX_NAMES = 1_000
_MAX_TEXT = 100_000  # characters of a footer, as in the list's settings
_MAX_VALUE = 100_000  # characters of a merge field's value
_BOOLS = {
    **dict.fromkeys(("true", "yes", "on", "y", "1"), True),
    **dict.fromkeys(("false", "no", "off", "n", "0"), False),
}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_MAILBOX = 1_000  # characters
_MAX_PLAIN = 64  # characters of a local part or domain
_PLAIN = r"([A-Za-z0-9_+\-]+(?:\.[A-Za-z0-9_+\-]+)*)@([A-Za-z0-9.\-]+)"
_BARE = re.compile(_PLAIN)
_NAMED = re.compile(rf'(?:"([^"\\<>@=]*)" *|([^"\\<>@,;:()\[\]=]*))<{_PLAIN}>')


def a_bool(where: str, value: Any) -> bool | None:
    """True or false, as such, as 1 or 0, or as a word."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value in {0, 1}:
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if not word:
            return None
        if word in _BOOLS:
            return _BOOLS[word]
    raise ControlsError(where, f"expected true or false, got {shown(value)}")


def a_number(where: str, value: Any, least: int, most: int) -> int | None:
    """A whole number within bounds, as such or as text."""
    if value is None or value == "":
        return None
    number = value
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= 20:
        number = int(value)
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if not is_number or not least <= number <= most:
        raise ControlsError(where, f"expected a number from {least} to {most}, got {shown(value)}")
    return int(number)


def a_text(where: str, value: Any, most: int = 200) -> str | None:
    """Text on one line; a number is written out."""
    text = _written(where, value, most)
    return (harmless(text).strip() or None) if text else None


def a_long_text(where: str, value: Any, most: int = _MAX_TEXT) -> str | None:
    """Text of several lines."""
    text = _written(where, value, most)
    return _readable(text) if text else None


def _written(where: str, value: Any, most: int) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool | dict | list):
        raise ControlsError(where, f"expected a text, got {shown(value)}")
    text = value if isinstance(value, str) else _number_text(where, value)
    if len(text) > most:
        raise ControlsError(where, f"expected at most {most:,} characters, got {len(text):,}")
    return text


def _number_text(where: str, value: Any) -> str:
    try:
        return str(value)
    except ValueError as error:  # more digits than Python converts
        raise ControlsError(where, "the number is too large") from error


def _readable(text: str) -> str:
    """`text` without NUL and its like; line ends and marks of direction stay."""
    if text.isprintable():
        return text
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text))


def field_value(where: str, value: Any) -> str:
    """A merge field's or metadata's value as text; lists and objects as JSON."""
    if type(value) is str and value.isprintable() and len(value) <= _MAX_VALUE:
        return value
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return a_long_text(where, value, _MAX_VALUE) or ""


def field_values(where: str, values: list[Any]) -> list[str]:
    """`field_value` of many."""
    plain = set(map(type, values)) == {str} and max(map(len, values)) <= _MAX_VALUE
    if plain and "".join(values).isprintable():
        return values
    return [field_value(where, value) for value in values]


def a_name(where: str, value: Any) -> str:
    """The name of a merge field or of metadata."""
    if type(value) is str and 0 < len(value) <= _MAX_NAME and value.isprintable():
        name: str | None = value.strip() or None
    else:
        name = a_text(where, value, _MAX_NAME)
    if name is None:
        raise ControlsError(where, "a name is empty")
    return name


def an_object(where: str, value: Any) -> dict[str, Any]:
    """A JSON object; null is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ControlsError(where, f"expected an object, got {shown(value)}")
    return value


def a_list(where: str, value: Any, most: int) -> list[Any]:
    """A JSON list; null is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ControlsError(where, f"expected a list, got {shown(value)}")
    if len(value) > most:
        raise ControlsError(where, f"expected at most {most:,} entries, got {len(value):,}")
    return value


def a_mapping(where: str, value: Any) -> Mapping[str, str]:
    """An object of names and values, the values as text."""
    found = an_object(where, value)
    if len(found) > _MAX_NAMES:
        raise ControlsError(where, f"expected at most {_MAX_NAMES:,} names, got {len(found):,}")
    return {a_name(where, name): field_value(where, one) for name, one in found.items()}


def comma_list(where: str, value: Any, most: int = 100) -> list[str]:
    """Words between commas, or a JSON list of them; empty ones are left out."""
    given = value if isinstance(value, list) else (a_text(where, value, 20_000) or "").split(",")
    words = [word for one in given if (word := a_text(where, one)) is not None]
    if len(words) > most:
        raise ControlsError(where, f"expected at most {most} entries, got {len(words):,}")
    return words


def a_mailbox(where: str, value: Any) -> tuple[str, Address]:
    """One address, with its display name or ""."""
    if not isinstance(value, str):
        raise ControlsError(where, f"expected an address, got {shown(value)}")
    if len(value) > _MAX_MAILBOX:
        raise ControlsError(where, f"expected an address, got {len(value):,} characters")
    plain = _plain_mailbox(value)
    if plain is not None:  # nearly all are, and a message may have thousands
        return plain
    try:
        if "<" not in value and " " not in value:
            return "", Address.parse(value)
        found = addresses(value)
    except AddressError as error:
        raise ControlsError(where, f"expected an address, got {shown(value)}: {error}") from error
    if len(found) != 1:
        raise ControlsError(where, f"expected one address, got {shown(value)}")
    return found[0].display_name, found[0].address


def _plain_mailbox(value: str) -> tuple[str, Address] | None:
    """What `Address.parse` and `addresses` give, sooner; None: they have to look themselves."""
    name = ""
    if value.endswith(">"):
        match = _NAMED.fullmatch(value)
        if match is None:
            return None
        quoted, plain, local, domain = match.groups()
        name = (quoted or plain or "").strip()
        if not name.isprintable():
            name = harmless(name)
    else:
        match = _BARE.fullmatch(value)
        if match is None:
            return None
        local, domain = match.groups()
    if len(local) > _MAX_PLAIN or len(domain) > _MAX_PLAIN or not _is_domain(domain):
        return None
    return name, Address(local, domain)


@functools.lru_cache(maxsize=2048)  # recipients share domains
def _is_domain(domain: str) -> bool:
    try:
        Address.parse(f"a@{domain}")
    except AddressError:
        return False
    return True
