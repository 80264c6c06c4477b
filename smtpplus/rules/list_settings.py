"""The settings of a list: which there are, what each may be, and what it is when nobody set it.

Guarantees: `read` gives the value as it is stored, or raises UsageError with what was expected.
The table is the one source for the command line, the pages and the API.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from smtpplus.values.address import Address, to_ascii
from smtpplus.values.errors import AddressError, UsageError

__all__ = ["LINKING", "SETTINGS", "ListSetting", "effective", "read"]

# Settings that put links to the tracking URL into mail.
LINKING = ("track_opens", "track_clicks", "track_clicks_text", "honeypot", "unsubscribe")

_MAX_TEXT = 100_000  # characters of a header or footer
_MAX_NOTICES = 20
_MAX_WORDS = 200  # characters of a text on one line
_MAX_DOMAINS = 50
_AGGREGATION = (
    "day",
    "week",
    "month",
    "year",
    "subject",
    "dynamic-subject",
    "sender",
    "sender-name",
    "sender-subject",
    "user",
    "campaign",
)


@dataclass(frozen=True, slots=True)
class ListSetting:
    """One key of ``list set``.

    `acts` is False where this version keeps the value and does not act on it yet. `choices` are
    the words it takes where there are few, `is_long` marks texts of several lines.
    """

    key: str
    meaning: str
    expected: str
    default: Any
    read: Callable[[str], Any]
    acts: bool = True
    choices: tuple[str, ...] = ()
    is_long: bool = False

    def written(self, value: Any) -> str:
        """What `read` takes for `value`."""
        if isinstance(value, bool):
            return "on" if value else "off"
        return ", ".join(value) if isinstance(value, list | tuple) else str(value)


def read(key: str, text: str) -> Any:
    """The value that `text` says for `key`; an empty text is the default again (None).

    Raises:
        UsageError: no such key, or not what it takes.
    """
    setting = SETTINGS.get(key)
    if setting is None:
        raise UsageError(f"A list has no setting {key}; expected one of {', '.join(SETTINGS)}.")
    if not text:
        return None
    try:
        return setting.read(text)
    except ValueError as error:
        detail = f" ({error})" if isinstance(error, AddressError) else ""
        raise UsageError(
            f"{key}: expected {setting.expected}, got {text[:80]!r}{detail}."
        ) from error


def effective(settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of a list that has set `settings`."""
    return {
        key: setting.default if settings.get(key) is None else settings[key]
        for key, setting in SETTINGS.items()
    }


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word in {"true", "on", "yes", "1"}:
        return True
    if word in {"false", "off", "no", "0"}:
        return False
    raise ValueError


def _text(text: str) -> str:
    if len(text) > _MAX_TEXT or "\0" in text:
        raise ValueError
    return text


def _words(text: str) -> str:
    words = text.strip()
    if not words or len(words) > _MAX_WORDS or not words.isprintable():
        raise ValueError
    return words


def _domains(text: str) -> list[str]:
    given = [one.strip() for one in text.split(",", _MAX_DOMAINS) if one.strip()]
    if len(given) > _MAX_DOMAINS:
        raise ValueError
    return [to_ascii(Address.parse(f"any@{one}").domain) for one in given]


def _word_of(*words: str) -> Callable[[str], str]:
    def read_word(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError
        return word

    return read_word


def _address(text: str) -> str:
    return str(Address.parse(text.strip()))


def _addresses(text: str) -> list[str]:
    given = [one for one in text.split(",", _MAX_NOTICES) if one.strip()]
    if len(given) > _MAX_NOTICES:
        raise ValueError
    return [_address(one) for one in given]


def _feedback_id(text: str) -> str:
    """Google's header has up to four fields between colons; this is one or more of them."""
    word = text.strip()
    if len(word) > 60 or not word.isascii() or not word.isprintable() or " " in word:
        raise ValueError
    return word


def _timezone(text: str) -> str:
    try:
        return ZoneInfo(text.strip()).key
    except (OSError, ValueError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError from error


_ON_OFF = "on or off"
_LONG = f"text of up to {_MAX_TEXT:,} characters"
_HTML = f"HTML of up to {_MAX_TEXT:,} characters"
_ON_LINKS = "added to links without it"
_ONE_LINE = f"up to {_MAX_WORDS} characters on one line"
_TABLE = (
    ListSetting("header_html", "put before the HTML part", _HTML, "", _text, is_long=True),
    ListSetting("header_text", "put before the text part", _LONG, "", _text, is_long=True),
    ListSetting("footer_html", "put after the HTML part", _HTML, "", _text, is_long=True),
    ListSetting("footer_text", "put after the text part", _LONG, "", _text, is_long=True),
    ListSetting("header", "are the headers put in", _ON_OFF, False, _switch),
    ListSetting("footer", "are the footers put in", _ON_OFF, False, _switch),
    ListSetting("track_opens", "is the pixel put in", _ON_OFF, False, _switch),
    ListSetting("track_clicks", "are links in HTML rewritten", _ON_OFF, False, _switch),
    ListSetting("track_clicks_text", "are links in text rewritten", _ON_OFF, False, _switch),
    ListSetting(
        "honeypot",
        "a link that no person sees, by which scanners are known",
        _ON_OFF,
        False,
        _switch,
    ),
    ListSetting("utm_source", f"the parameter utm_source, {_ON_LINKS}", _ONE_LINE, "", _words),
    ListSetting("utm_medium", f"the parameter utm_medium, {_ON_LINKS}", _ONE_LINE, "", _words),
    ListSetting("utm_campaign", f"the parameter utm_campaign, {_ON_LINKS}", _ONE_LINE, "", _words),
    ListSetting("utm_term", f"the parameter utm_term, {_ON_LINKS}", _ONE_LINE, "", _words),
    ListSetting("utm_content", f"the parameter utm_content, {_ON_LINKS}", _ONE_LINE, "", _words),
    ListSetting(
        "utm_domains",
        "the only hosts whose links get the utm parameters, with what is below them; empty: all",
        f"up to {_MAX_DOMAINS} domains between commas",
        [],
        _domains,
    ),
    ListSetting(
        "privacy",
        "opens and clicks are counted without address and program of who did it",
        _ON_OFF,
        False,
        _switch,
    ),
    ListSetting(
        "unsubscribe",
        "is List-Unsubscribe put in (always on a subscribed list)",
        _ON_OFF,
        False,
        _switch,
    ),
    ListSetting(
        "own_unsubscribe",
        "a List-Unsubscribe that the sender wrote: kept (on subscribed lists only with one-click), "
        "or replaced by ours",
        "keep or replace",
        "keep",
        _word_of("keep", "replace"),
        choices=("keep", "replace"),
    ),
    ListSetting(
        "bcc_own_to",
        "does the copy of who is in neither To nor Cc show that address alone in To",
        _ON_OFF,
        True,
        _switch,
    ),
    ListSetting(
        "aggregation",
        "which campaign a message is counted in",
        f"one of {', '.join(_AGGREGATION)}",
        "month",
        _word_of(*_AGGREGATION),
        choices=_AGGREGATION,
    ),
    ListSetting(
        "timezone",
        "where a day begins for the campaigns by day, week, month and year",
        "a name such as Europe/Rome",
        "UTC",
        _timezone,
    ),
    ListSetting(
        "notices",
        "who is told of bounces",
        "addresses between commas",
        [],
        _addresses,
        acts=False,
    ),
    ListSetting(
        "feedback_id",
        "the list's own field in Feedback-ID",
        "up to 60 visible ASCII characters without a blank",
        "",
        _feedback_id,
    ),
    ListSetting(
        "suppressed_reply",
        "a suppressed recipient at RCPT: accepted and not mailed, or refused",
        "accept or refuse",
        "accept",
        _word_of("accept", "refuse"),
        choices=("accept", "refuse"),
    ),
)
SETTINGS: dict[str, ListSetting] = {setting.key: setting for setting in _TABLE}
