"""The parameters of MAIL that speak of time and urgency: HOLDFOR, HOLDUNTIL, BY, MT-PRIORITY.

FUTURERELEASE (RFC 4865), DELIVERBY (RFC 2852), MT-PRIORITY (RFC 6710). Guarantees: what comes
back lies within what this listener announces (`keywords`). Raises `RefusedError` with the reply
to give. Reads no clock: the time is an argument. The header field MT-Priority of RFC 6758 is not
looked at: whoever may submit says it in MAIL, or by the header fields of ours.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.values.envelope import ByMode, DeliverBy
from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply

__all__ = ["NO_WISHES", "TIME_WORDS", "Wishes", "keywords", "offered", "read_wishes"]

TIME_WORDS = frozenset({"HOLDFOR", "HOLDUNTIL", "BY", "MT-PRIORITY"})
_INTERVAL = re.compile(r"[1-9][0-9]{0,8}")  # RFC 4865 §4: future-release-integer
_MOMENT = re.compile(  # RFC 3339 §5.6
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}):(\d{2})(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.ASCII
)
_PRIORITY = re.compile(r"-?[1-9]|0")  # RFC 6710 §3: priority-value


class Wishes(NamedTuple):
    """See `smtpplus.values.envelope.Envelope`."""

    hold_for: int | None = None
    hold_until: float | None = None
    deliver_by: DeliverBy | None = None
    mt_priority: int | None = None


NO_WISHES = Wishes()


def keywords(settings: ServerSettings, now: float) -> list[str]:
    """What EHLO announces at `now`, Unix seconds."""
    words = []
    if settings.longest_hold:
        last = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + settings.longest_hold))
        words.append(f"FUTURERELEASE {settings.longest_hold} {last}")  # RFC 4865 §4
    if settings.shortest_by is not None:
        words.append(f"DELIVERBY {settings.shortest_by}")  # RFC 2852 §3
    if settings.mt_priority:
        words.append("MT-PRIORITY")
    return words


def offered(word: str, settings: ServerSettings) -> bool:
    """Is this one of `TIME_WORDS` that the listener takes?"""
    if word == "BY":
        return settings.shortest_by is not None
    return settings.mt_priority if word == "MT-PRIORITY" else bool(settings.longest_hold)


def read_wishes(
    parameters: Mapping[str, str | None], settings: ServerSettings, now: float
) -> Wishes:
    """What MAIL asks for at `now`."""
    hold_for, hold_until = _hold(parameters, settings, now)
    by = _deliver_by(parameters["BY"], settings) if "BY" in parameters else None
    held = max(hold_for or 0, (hold_until or 0.0) - now)
    if by is not None and by.mode is ByMode.RETURN and by.seconds <= held:
        raise _bad("the time of BY= is over before the message may leave")
    priority = parameters.get("MT-PRIORITY", "")
    if "MT-PRIORITY" in parameters and not _PRIORITY.fullmatch(priority or ""):
        raise _bad("MT-PRIORITY= takes a number from -9 to 9")
    return Wishes(hold_for, hold_until, by, int(priority) if priority else None)


def _hold(
    parameters: Mapping[str, str | None], settings: ServerSettings, now: float
) -> tuple[int | None, float | None]:
    longest = settings.longest_hold
    if "HOLDFOR" in parameters:
        if "HOLDUNTIL" in parameters:
            raise _bad("HOLDFOR= and HOLDUNTIL= exclude each other")
        value = parameters["HOLDFOR"] or ""
        if not _INTERVAL.fullmatch(value) or int(value) > longest:
            raise _bad(f"HOLDFOR= takes seconds from 1 to {longest}")
        return int(value), None
    if "HOLDUNTIL" not in parameters:
        return None, None
    moment = _moment(parameters["HOLDUNTIL"] or "")
    if moment is None:
        raise _bad("HOLDUNTIL= takes a time such as 2026-11-23T08:00:00Z")
    if moment > now + longest:
        raise _bad(f"HOLDUNTIL= is more than {longest} seconds ahead")
    return None, moment


def _moment(text: str) -> float | None:
    """Unix seconds; one in the past is a moment, too: then nothing is held."""
    match = _MOMENT.fullmatch(text.upper())
    if match is None:
        return None
    minute, seconds, fraction, offset = match.groups()
    if int(seconds) > 60:  # 60: a leap second
        return None
    try:
        moment = datetime.fromisoformat(minute + offset).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(moment + int(seconds) + float(fraction or 0), 0.0)


def _deliver_by(value: str | None, settings: ServerSettings) -> DeliverBy:
    try:
        by = DeliverBy.parse(value or "")
    except ValueError as error:
        raise _bad("BY= takes seconds;R or seconds;N, and T behind it") from error
    shortest = max(settings.shortest_by or 0, 1)
    if by.mode is ByMode.RETURN and by.seconds < shortest:  # RFC 2852 §4
        raise _bad(f"BY= with R takes {shortest} seconds or more")
    return by


def _bad(why: str) -> RefusedError:
    return RefusedError(Reply.of(501, "5.5.4", f"Bad parameter: {why}"))
