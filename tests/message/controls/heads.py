"""Heads with control headers, and what is read from them."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from smtpplus.message.controls import Controls, ControlsError, read_controls
from smtpplus.values.address import Address
from smtpplus.values.options import Options

__all__ = ["folded", "head", "json_head", "options", "refused", "said"]

FROM = b"From: Shop <shop@example.com>\r\n"
TO = b"To: Ada <ada@example.net>\r\n"


def head(*fields: str | bytes) -> bytes:
    """A head with `fields` between From and To."""
    lines = [field if isinstance(field, bytes) else field.encode() for field in fields]
    return FROM + b"".join(line + b"\r\n" for line in lines) + TO + b"\r\n"


def folded(name: str, text: str, width: int = 900) -> str:
    """A field folded at blanks, as clients do with long JSON."""
    return f"{name}: " + "\r\n ".join(textwrap.wrap(text, width, break_long_words=False))


def json_head(name: str, value: Any) -> bytes:
    return head(folded(name, json.dumps(value)))


def read(octets: bytes, envelope: tuple[str, ...] = ()) -> Controls:
    return read_controls(octets, envelope=tuple(map(Address.parse, envelope)))


def options(*fields: str | bytes, envelope: tuple[str, ...] = ()) -> Options:
    return read(head(*fields), envelope).options


def said(*fields: str | bytes) -> dict[str, Any]:
    """What the options say, without the rest."""
    return options(*fields).said()


def refused(*fields: str | bytes) -> str:
    """The reply to a message whose controls cannot be taken."""
    try:
        found = read(head(*fields))
    except ControlsError as error:
        return str(error.reply)
    raise AssertionError(found)
