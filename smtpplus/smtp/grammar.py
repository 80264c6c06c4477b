"""The grammar of SMTP command lines (RFC 5321 §4.1) and of their parameters.

Guarantees: linear in the length of the line; what comes back was checked against the grammar.
Raises `RefusedError` with the reply to give, and nothing else, whatever the octets are. Does
not know what this server offers: `smtpplus.smtp.server_transaction` does.
"""

from __future__ import annotations

import re

from smtpplus.values.address import Address
from smtpplus.values.envelope import Notify
from smtpplus.values.errors import AddressError, RefusedError
from smtpplus.values.reply import Reply
from smtpplus.values.xtext import is_xtext

__all__ = [
    "parse_chunk_size",
    "parse_hello",
    "parse_notify",
    "parse_orcpt",
    "parse_parameters",
    "parse_path",
    "parse_size",
    "split_command",
    "split_path",
]

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# The octets between < and >, where a quoted string may hold anything; or, for old devices, an
# address without brackets.
_PATH = re.compile(r' ?(?:<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>|([^\s<>"]+))(?: +(.*))?', re.DOTALL)
_ROUTE_HOST = r"@(?:\[[^\[\]]*\]|[^:,\[\]@\s]+)"
_ROUTE = re.compile(rf"{_ROUTE_HOST}(?:,{_ROUTE_HOST})*:")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE = re.compile(r"[^\x00-\x20=\x7f]+")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*/?^_`{|}~.-]+")
_MAX_HELLO = 255  # RFC 5321 §4.5.3.1.2
_MAX_ORCPT = 500  # RFC 3461 §4.2
_SIZE_DIGITS = 20  # RFC 1870 §5


def split_command(line: bytes) -> tuple[str, str]:
    """Verb, in upper case, and argument of a command line that has lost its CRLF.

    Octets that are not UTF-8 become lone surrogates, which no grammar below lets pass.
    """
    if _CONTROL.search(line):
        raise RefusedError(
            Reply.of(500, "5.5.2", "Syntax error: the command holds a control character")
        )
    verb, _, argument = line.decode("utf-8", "surrogateescape").strip(" ").partition(" ")
    return verb.upper(), argument.strip(" ")


def parse_hello(argument: str) -> str:
    """The client's name in EHLO or HELO, in printable ASCII (others are escaped)."""
    name = argument.partition(" ")[0]
    if not name or len(name) > _MAX_HELLO:
        raise RefusedError(Reply.of(501, "5.5.4", "Syntax: EHLO hostname"))
    return name.encode("ascii", "backslashreplace").decode("ascii")


def split_path(argument: str, keyword: str) -> tuple[str, str]:
    """Path, without its brackets, and parameters of ``FROM:<path> parameters``."""
    if argument[: len(keyword)].upper() == keyword:
        match = _PATH.fullmatch(argument, len(keyword))
        if match is not None:
            bracketed, plain, parameters = match.groups()
            return (plain if bracketed is None else bracketed), parameters or ""
    verb = "MAIL" if keyword == "FROM:" else "RCPT"
    raise RefusedError(Reply.of(501, "5.5.4", f"Syntax: {verb} {keyword}<address>"))


def parse_path(path: str, status: str) -> Address:
    """The address in a path; its source route is ignored (RFC 5321 §4.1.1.3, appendix C).

    `status` is the enhanced code of the refusal.
    """
    if path.startswith("@"):
        route = _ROUTE.match(path)
        if route is not None:
            path = path[route.end() :]
    try:
        return Address.parse(path)
    except AddressError as error:
        raise RefusedError(Reply.of(501, status, f"Bad address: {error}")) from error


def parse_parameters(text: str) -> dict[str, str | None]:
    """``KEYWORD`` and ``KEYWORD=value`` pairs, keywords in upper case (RFC 5321 §4.1.2)."""
    parameters: dict[str, str | None] = {}
    for item in filter(None, text.split(" ")):
        keyword, equals, value = item.partition("=")
        if not _KEYWORD.fullmatch(keyword) or (equals and not _VALUE.fullmatch(value)):
            raise _bad_parameter("a parameter is malformed")
        keyword = keyword.upper()
        if keyword in parameters:
            raise _bad_parameter(f"{keyword} is given twice")
        parameters[keyword] = value if equals else None
    return parameters


def parse_size(value: str | None) -> int:
    """SIZE= in octets; a number beyond all reason counts as 10^20."""
    if value is None or not (value.isascii() and value.isdecimal()):
        raise _bad_parameter("SIZE= takes a number of octets")
    significant = value.lstrip("0")
    if len(significant) > _SIZE_DIGITS:
        return int(10**_SIZE_DIGITS)
    return int(significant or "0")


def parse_notify(value: str | None) -> frozenset[Notify]:
    """NOTIFY= (RFC 3461 §4.1): NEVER alone, or any of SUCCESS, FAILURE, DELAY."""
    words = (value or "").upper().split(",")
    try:
        conditions = frozenset(Notify(word) for word in words)
    except ValueError as error:
        raise _bad_parameter("NOTIFY= takes NEVER, or SUCCESS, FAILURE and DELAY") from error
    if Notify.NEVER in conditions and len(words) > 1:
        raise _bad_parameter("NOTIFY=NEVER stands alone")
    return conditions


def parse_orcpt(value: str | None) -> str:
    """ORCPT= (RFC 3461 §4.2), ``address-type;xtext``, as it came."""
    kind, semicolon, address = (value or "").partition(";")
    utf8 = kind.lower() == "utf-8" and address.isprintable()  # RFC 6533 §3
    if (
        value is None
        or len(value) > _MAX_ORCPT
        or not semicolon
        or not address
        or not _ADDRESS_TYPE.fullmatch(kind)
        or not (utf8 or is_xtext(address))
    ):
        raise _bad_parameter(f"ORCPT= takes type;xtext of at most {_MAX_ORCPT} octets")
    return value


def parse_chunk_size(argument: str) -> tuple[int, bool, bool]:
    """Size, LAST, and whether all is well formed, of BDAT's argument (RFC 3030 §2).

    A size that can be read is given even where the rest is malformed: its octets follow.
    """
    size, _, rest = argument.partition(" ")
    last = rest.strip().upper()
    if not (size.isascii() and size.isdecimal()):
        raise RefusedError(Reply.of(501, "5.5.4", "Syntax: BDAT octets [LAST]"))
    return parse_size(size), last == "LAST", last in {"", "LAST"}


def _bad_parameter(why: str) -> RefusedError:
    return RefusedError(Reply.of(501, "5.5.4", f"Bad parameter: {why}"))
