"""Where a configuration comes from: the file, its lines, and the overrides of ``--set``.

Guarantees: every key knows where it was said, so that a fault can be named with file and line.
Raises ConfigError. Does not know which keys there are.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smtpplus.values.errors import ConfigError, reason

__all__ = [
    "TRIAL_FOLDER",
    "KeyPath",
    "Origins",
    "Tree",
    "find_configuration",
    "find_file",
    "override",
    "read_toml",
]

Tree = dict[str, Any]
KeyPath = tuple[str, ...]

SYSTEM_CONFIG = Path("/etc/smtpplus/smtpplus.toml")
TRIAL_FOLDER = Path("smtpplus-data")

_HEADER = re.compile(r"\s*\[{1,2}([^\]]+)\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"([^"]*)"|'([^']*)'""")


@dataclass(slots=True)
class Origins:
    """Who said what: `file` with the line of each key, and the keys of ``--set``."""

    file: Path | None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    overridden: set[KeyPath] = field(default_factory=set)

    def says(self, path: KeyPath) -> bool:
        """Was the key `path` said, or is it the default?"""
        return path in self.lines or path in self.overridden

    def of(self, path: KeyPath) -> str:
        """Where the key `path`, or the nearest one above it, was said."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overridden:
                return "--set"
            said = [line for key, line in self.lines.items() if key[:length] == path[:length]]
            if said:
                return f"{self.file}:{min(said)}"
        return str(self.file) if self.file else "--set"


def find_file(
    explicit: str | None, environment: Mapping[str, str], folder: Path, system: Path
) -> Path | None:
    """The file to read: `explicit`, $SMTPPLUS_CONFIG, ./smtpplus.toml, the `system`'s; or None.

    Raises:
        ConfigError: the one that was named does not exist.
    """
    for named, by in (
        (explicit, "--config"),
        (environment.get("SMTPPLUS_CONFIG"), "$SMTPPLUS_CONFIG"),
    ):
        if named:
            path = (folder / named).absolute()
            if not path.is_file():
                raise ConfigError(f"{by} names {named}, and there is no such file.")
            return path
    return next((path for path in (folder / "smtpplus.toml", system) if path.is_file()), None)


def find_configuration(explicit: str | None, environment: Mapping[str, str]) -> Path | None:
    """The configuration to use from the current folder; a trial's comes last. None: there is none.

    Raises:
        ConfigError: the one that was named does not exist.
    """
    found = find_file(explicit, environment, Path.cwd(), SYSTEM_CONFIG)
    trial = Path.cwd() / TRIAL_FOLDER / "smtpplus.toml"
    return found or (trial if trial.is_file() else None)


def read_toml(path: Path) -> tuple[Tree, Origins]:
    """The file's content, and the line of each key.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {reason(error)}.") from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        where = f"{path}:{match[1]}" if match else str(path)
        raise ConfigError(f"{where}: not valid TOML: {error}") from error
    return tree, Origins(path, _key_lines(text))


def override(tree: Tree, origins: Origins, settings: Iterable[str]) -> None:
    """Put each ``section.key=value`` of `settings` into `tree`.

    The value is a TOML literal; what is none is a string.

    Raises:
        ConfigError: a setting is not of that form.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = _path(key)
        if not equals or len(path) < 2:
            raise ConfigError(f"--set {setting}: expected section.key=value.")
        place = tree
        for part in path[:-1]:
            below = place.setdefault(part, {})
            if not isinstance(below, dict):
                raise ConfigError(f"--set {setting}: {part} is not a table.")
            place = below
        place[path[-1]] = _literal(text)
        origins.overridden.add(path)


def _literal(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    return parsed["value"] if len(parsed) == 1 else text.strip()


def _path(key: str) -> KeyPath:
    key = key.strip()
    parts = tuple(match[1] or match[2] or match[0] for match in _PART.finditer(key))
    return parts if _KEY.fullmatch(f"{key}=") else ()


def _key_lines(text: str) -> dict[KeyPath, int]:
    """The line where each table and key begins; a key of an inline table has its parent's."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _path(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(table + _path(key[1]), number)
    return lines
