"""The fields a submission server writes itself: Received, Date, Message-ID.

Guarantees: whatever the arguments hold, the answer is exactly one field, of printable ASCII
(UTF-8 in a Received with SMTPUTF8), folded at blanks, ending in CRLF. Does not read a clock.
"""

from __future__ import annotations

import functools
import re

from smtpplus.message.timestamp import write_date

__all__ = ["date_field", "message_id_field", "protocol", "received"]

_NOT_NAME = re.compile(r"[^A-Za-z0-9.:_\-\[\]]")  # host names, address literals, ids
_NOT_ADDRESS = re.compile(
    r"[\x00-\x20<>\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NOT_TLS = re.compile(r"[^A-Za-z0-9 ._\-]")
_NOT_ID = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]")
_MAX_NAME = 255
_MAX_ADDRESS = 254
_MAX_TLS = 100


def protocol(*, extended: bool, tls: bool, authenticated: bool, smtputf8: bool) -> str:
    """The name for the ``with`` clause (RFC 3848, RFC 6531 §4.3)."""
    if not extended:
        return "SMTP"
    suffix = ("S" if tls else "") + ("A" if authenticated else "")
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + suffix


def received(
    *,
    hello: str,
    client_ip: str,
    host: str,
    with_protocol: str,
    identifier: str,
    now: float,
    tls: str = "",
    recipient: str = "",
    show_client: bool = True,
) -> bytes:
    """A Received field (RFC 5321 §4.4, tls clause RFC 8314 §4.3).

    Args:
        hello: what the client called itself; anything.
        client_ip: its address, without brackets.
        host: our own name.
        with_protocol: from `protocol`.
        identifier: the message's id.
        now: Unix seconds.
        tls: ``TLSv1.3 TLS_AES_256_GCM_SHA384``, empty without TLS.
        recipient: given for a message with one recipient only.
        show_client: False leaves name and address of the client out.
    """
    by = _name(host) or "localhost"
    lines = []
    if show_client:
        name = _name(hello) or "unknown"
        ip = _name(client_ip)
        literal = f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"
        lines.append(f"from {name} ({literal})")
    clause = f"by {by} with {with_protocol} id {_NOT_NAME.sub('?', identifier)[:_MAX_NAME]}"
    lines.append(clause)
    if tls:
        lines.append(f"(using {_NOT_TLS.sub('?', tls)[:_MAX_TLS]})")
    if recipient:
        lines.append(f"for <{_NOT_ADDRESS.sub('?', recipient)[:_MAX_ADDRESS]}>")
    text = "Received: " + "\r\n\t".join(lines) + f";\r\n\t{write_date(now)}\r\n"
    return text.encode("utf-8" if with_protocol.startswith("UTF8") else "ascii", "replace")


@functools.lru_cache(maxsize=256)  # a client and we are called the same all the time
def _name(text: str) -> str:
    return _NOT_NAME.sub("?", text)[:_MAX_NAME]


def date_field(now: float) -> bytes:
    """A Date field; `now` is Unix seconds."""
    return f"Date: {write_date(now)}\r\n".encode("ascii")


def message_id_field(unique: str, domain: str) -> bytes:
    """A Message-ID field: `unique` left of the @, `domain` (in A-labels) right of it."""
    local = _NOT_ID.sub("", unique)[:_MAX_NAME].strip(".") or "0"
    right = _NOT_NAME.sub("", domain)[:_MAX_NAME].strip(".") or "localhost"
    return f"Message-ID: <{local}@{right}>\r\n".encode("ascii")
