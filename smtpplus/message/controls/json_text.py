"""The JSON that a header holds: folded, encoded (RFC 2047), its letters perhaps escaped.

Guarantees: bounded in size, depth and time; an object has each key once. Raises
`ControlsError` that says where the JSON breaks off. A lone surrogate stays in the texts that are
read: `smtpplus.message.controls.convert` replaces it.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import re
from typing import Any

from smtpplus.message.charset import decode
from smtpplus.message.controls.error import ControlsError, shown
from smtpplus.message.headers import HeaderField
from smtpplus.message.transfer_encoding import from_base64

__all__ = ["json_object", "json_value"]

_MAX_OCTETS = 4 * 1024 * 1024  # 10,000 recipients with some fields each have about one
_MAX_DEPTH = 32
_WORD = re.compile(r"=\?([!->@-~]{1,75})\?([bBqQ])\?([^?\r\n]*)\?=")  # RFC 2047 §2
_MAILBOX = re.compile(r'[^"<>]{0,200}<[^\s"<>]{1,256}>"')  # what follows a name
_BETWEEN = re.compile(r"(?<=\?=)\s+(?==\?)")
_TOKEN = re.compile(r'"(?>(?:[^"\\]|\\.)*)"?|[\[{]|[\]}]', re.DOTALL)


class _RepeatedKeyError(ValueError):
    """An object has a key twice: readers would disagree."""


def json_object(field: HeaderField) -> dict[str, Any]:
    """The object in a header; an empty header holds an empty one."""
    found = json_value(field)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ControlsError(field.name, f"expected a JSON object, got {shown(found)}")
    return found


def json_value(field: HeaderField) -> Any:
    """Whatever JSON the header holds; None where it is empty."""
    if len(field.value) > _MAX_OCTETS:
        raise ControlsError(field.name, f"the header is longer than {_MAX_OCTETS:,} octets")
    text = _unfolded(field)
    if not text:
        return None
    if "=?" not in text:
        return _parsed(field.name, text)
    # Clients encode all of it, a stretch with other letters or a long word, quotes and all. What
    # the application encoded is the name in a mailbox, and read with it.
    decoded = _without_words(text)
    in_mailboxes = all(_MAILBOX.match(text, word.end()) for word in _WORD.finditer(text))
    first, second = (text, decoded) if in_mailboxes else (decoded, text)
    try:
        return _parsed(field.name, first)
    except ControlsError as error:
        with contextlib.suppress(ControlsError):
            return _parsed(field.name, second)
        raise error from error.__cause__


def _unfolded(field: HeaderField) -> str:
    """`HeaderField.unfolded`, in a tenth of its time: it may be a megabyte."""
    value = field.value.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t")
    if b"\n" in value or b"\r" in value:
        return field.unfolded
    try:
        return value.decode().strip(" \t")
    except UnicodeDecodeError:
        return field.unfolded


def _parsed(name: str, text: str) -> Any:
    _check_depth(name, text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ControlsError(
            name, f"not JSON from character {error.pos + 1:,} on ({error.msg})"
        ) from error
    except _RepeatedKeyError as error:
        raise ControlsError(name, f"the key {shown(error.args[0])} stands there twice") from error
    except ValueError as error:
        raise ControlsError(name, "expected JSON; a number in it is no JSON, or huge") from error


def _check_depth(name: str, text: str) -> None:
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return
    depth = 0
    for match in _TOKEN.finditer(text):
        mark = text[match.start()]
        if mark in "[{":
            depth += 1
            if depth > _MAX_DEPTH:
                raise ControlsError(name, f"the JSON is nested deeper than {_MAX_DEPTH} levels")
        elif mark != '"':
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return made


def _no_constant(text: str) -> Any:
    raise ValueError(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=_no_constant,  # NaN and Infinity are no JSON
    strict=False,  # a folded line may leave a tab in a text
)


def _without_words(text: str) -> str:
    """Encoded words decoded, the blanks between two of them left out (RFC 2047 §6.2)."""
    text = _BETWEEN.sub("", text)
    pieces: list[str] = []
    run: list[bytes] = []  # words of one charset: senders cut characters in two
    run_charset, position = "", 0
    for match in _WORD.finditer(text):
        charset = match[1].partition("*")[0].lower()
        if match.start() != position or charset != run_charset:
            pieces += [decode(b"".join(run), run_charset), text[position : match.start()]]
            run, run_charset = [], charset
        run.append(_octets(match[2], match[3]))
        position = match.end()
    return "".join([*pieces, decode(b"".join(run), run_charset), text[position:]])


def _octets(encoding: str, text: str) -> bytes:
    octets = text.encode("utf-8", "replace")
    return binascii.a2b_qp(octets, header=True) if encoding in "qQ" else from_base64(octets)
