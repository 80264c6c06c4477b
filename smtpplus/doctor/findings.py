"""What the doctor finds."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "Level", "ok", "problem", "warning"]


class Level(enum.StrEnum):
    """How bad it is. Only a problem makes the doctor's exit status 1."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and where it is not well, how to mend it."""

    check: str
    level: Level
    text: str
    mend: str = ""


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, text)


def warning(check: str, text: str, mend: str) -> Finding:
    """It works, and may not for long, or not as well as it could."""
    return Finding(check, Level.WARNING, text, mend)


def problem(check: str, text: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(check, Level.PROBLEM, text, mend)
