"""The settings of an SMTP user: which there are, and what each may be.

Of its list's settings those that concern a message on its way out may be otherwise for a user
(`OWN`). Guarantees: `read` gives the fields of `SmtpUser` to change, or raises UsageError with
what was expected. The table is the one source for the command line, the pages and the API.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smtpplus.rules import list_settings
from smtpplus.values.address import Address, to_ascii
from smtpplus.values.duration import Duration
from smtpplus.values.errors import UsageError
from smtpplus.values.submission import UserStatus

__all__ = ["OWN", "SETTINGS", "UserSetting", "read"]

_MOST = 200  # entries of one setting
_WIDEST = {4: 8, 6: 16}  # a shorter prefix would let in the internet, without AUTH
_STATUS = {
    "active": UserStatus.ACTIVE,
    "off": UserStatus.OFF,
    "blocked": UserStatus.BLOCKED_BY_OPERATOR,
    "blocked by operator": UserStatus.BLOCKED_BY_OPERATOR,
}
_NONE = {"", "none", "unlimited"}
_AS_THE_LIST = "as the list"
# What is asked for elsewhere than for a message on its way out is the list's alone.
_LISTS_ALONE = frozenset({"privacy", "timezone", "suppressed_reply", "notices"})
OWN = {key: one for key, one in list_settings.SETTINGS.items() if key not in _LISTS_ALONE}
_MOST_DUPLICATES = 30 * 86_400.0
_MOST_RECALL = 120.0


@dataclass(frozen=True, slots=True)
class UserSetting:
    """One key of ``user set``."""

    key: str
    meaning: str
    expected: str
    read: Callable[[str], Any]

    def written(self, value: Any) -> str:
        """What `read` takes for `value`."""
        if self.key in OWN:
            return _AS_THE_LIST if value is None else OWN[self.key].written(value)
        if value in (None, (), 0, ""):
            return "none"
        if isinstance(value, tuple):
            return ", ".join(value)
        if isinstance(value, float):
            return str(Duration(seconds=value))
        return str(value)


def read(key: str, text: str) -> dict[str, Any]:
    """What `text` for `key` changes.

    Raises:
        UsageError: no such key, or not what it takes.
    """
    setting = SETTINGS.get(key)
    if setting is None:
        raise UsageError(f"A user has no setting {key}; expected one of {', '.join(SETTINGS)}.")
    try:
        value = setting.read(text.strip())
    except ValueError as error:
        detail = f" ({error})" if str(error) else ""
        raise UsageError(
            f"{key}: expected {setting.expected}, got {text[:80]!r}{detail}."
        ) from error
    if key in OWN:
        return {"settings": {key: value}}
    if key == "status" and value is UserStatus.ACTIVE:
        # A person's word also lifts a block of the system's.
        return {"status": value, "blocked_until": None, "block_reason": ""}
    return {key: value}


def _several(one: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def read_several(text: str) -> tuple[str, ...]:
        if text.lower() == "none":
            return ()
        words = [word.strip() for word in text.split(",") if word.strip()]
        if len(words) > _MOST:
            raise ValueError(f"more than {_MOST}")
        return tuple(dict.fromkeys(one(word) for word in words))

    return read_several


def _domain(text: str) -> str:
    return to_ascii(Address.parse(f"any@{text}").domain)


def _sender(text: str) -> str:
    return str(Address.parse(text))


def _network(text: str) -> str:
    network = ipaddress.ip_network(text)
    if network.prefixlen < _WIDEST[network.version]:
        raise ValueError("so wide a network would make an open relay")
    return str(network)


def _priority(text: str) -> int:
    if text not in {"1", "2", "3", "4", "5"}:
        raise ValueError
    return int(text)


def _campaign(text: str) -> str:
    if len(text) > 100 or not text.isprintable():
        raise ValueError
    return "" if text.lower() == "none" else text


def _limit(text: str) -> int | None:
    if text.lower() in _NONE:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 31):
        raise ValueError
    return int(text)


def _up_to(most: float) -> Callable[[str], float]:
    def read_seconds(text: str) -> float:
        seconds = 0.0 if text.lower() in _NONE else Duration.parse(text).seconds
        if seconds > most:
            raise ValueError
        return seconds

    return read_seconds


def _status(text: str) -> UserStatus:
    if text.lower() not in _STATUS:
        raise ValueError
    return _STATUS[text.lower()]


def _own() -> tuple[UserSetting, ...]:
    def reads(key: str) -> Callable[[str], Any]:
        return lambda text: None if text == _AS_THE_LIST else list_settings.read(key, text)

    return tuple(
        UserSetting(
            key,
            f"instead of the list's: {setting.meaning}",
            f"{setting.expected}, or {_AS_THE_LIST}",
            reads(key),
        )
        for key, setting in OWN.items()
    )


_LIMIT = "a number of messages above 0, or none"
_TABLE = (
    UserSetting(
        "networks",
        "clients of these networks submit as this user without AUTH and TLS",
        "networks such as 192.0.2.0/28 between commas, or none",
        _several(_network),
    ),
    UserSetting(
        "domains",
        "sender domains it may use, of those its account has; none: all of them",
        "domains between commas, or none",
        _several(_domain),
    ),
    UserSetting(
        "senders",
        "sender addresses it may use, beside its domains",
        "addresses between commas, or none",
        _several(_sender),
    ),
    UserSetting("priority", "1 first, 5 last", "a number from 1 to 5", _priority),
    UserSetting("campaign", "default campaign code", "up to 100 characters, or none", _campaign),
    UserSetting("limit_hour", "messages an hour", _LIMIT, _limit),
    UserSetting("limit_day", "messages a day", _LIMIT, _limit),
    UserSetting(
        "duplicates",
        "the same submission (Message-ID and envelope) within this time is sent once",
        "a duration such as 10m, up to 30d, or none",
        _up_to(_MOST_DUPLICATES),
    ),
    UserSetting(
        "recall",
        "time to take a message back before it leaves",
        "a duration such as 30s, up to 120s, or none",
        _up_to(_MOST_RECALL),
    ),
    UserSetting("status", "may it submit", "active, off or blocked", _status),
)
SETTINGS: dict[str, UserSetting] = {setting.key: setting for setting in (*_TABLE, *_own())}
