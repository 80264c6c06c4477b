"""What every command has: the configuration, the opened store, and how to print.

Guarantees: with ``--json`` standard output is one JSON document and nothing else; without it,
control characters of what is shown are made visible, whoever wrote them. Raises what
`smtpplus.config.load` and `smtpplus.installation.open_installation` raise.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import click

from smtpplus.values.errors import ConfigError

if TYPE_CHECKING:
    from smtpplus.config import Config
    from smtpplus.installation import Installation

__all__ = [
    "Command",
    "Context",
    "Group",
    "command",
    "key_table",
    "moment",
    "pass_context",
    "plain",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Context:
    """The global options of one call."""

    def __init__(self, config: str | None, settings: Sequence[str], as_json: bool) -> None:
        self._path = config
        self.settings = settings
        self.as_json = as_json

    @functools.cached_property
    def config(self) -> Config:
        """The configuration in effect."""
        from smtpplus.config import find_configuration, load

        path = find_configuration(self._path, os.environ)
        if path is None:
            raise ConfigError(
                "There is no configuration: name one with --config, set one up with "
                "`smtpplus init DIR`, or start a trial with `twistd -n smtpplus`."
            )
        return load(path, self.settings)

    @contextlib.contextmanager
    def installation(self) -> Iterator[Installation]:
        """The opened installation."""
        from smtpplus.installation import open_installation

        with open_installation(self.config) as opened:
            yield opened

    def show(self, fields: dict[str, Any], text: str | None = None) -> None:
        """Print one thing: `text`, or its fields a line each."""
        if self.as_json:
            self._print_json(fields)
        elif text is not None:
            click.echo(text)
        else:
            width = max(map(len, fields), default=0)
            for name, value in fields.items():
                click.echo(f"{name:<{width}}  {plain(value)}")

    def show_rows(self, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
        """Print many things: all fields as JSON, or `columns` of them as a table."""
        if self.as_json:
            self._print_json(rows)
            return
        if not rows:
            self.note("None.")
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(row.get(column))) for column in columns))
        Console(highlight=False, width=None if _is_wide() else 200).print(table)

    def note(self, text: str) -> None:
        """Print a remark, beside what was asked for."""
        click.echo(text, err=True)

    def _print_json(self, value: Any) -> None:
        import msgspec

        encoded = msgspec.json.encode(value, enc_hook=str, order=None)
        click.echo(msgspec.json.format(encoded, indent=2).decode())


def _is_wide() -> bool:
    """Is standard output a terminal, whose width counts?"""
    return sys.stdout is not None and sys.stdout.isatty()


def plain(value: Any) -> str:
    """`value` in a person's words, its control characters made visible."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(plain(one) for one in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{key}={plain(one)}" for key, one in value.items()) or "-"
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", str(value))


def moment(seconds: float | None) -> str | None:
    """Unix seconds as people and programs read them."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Key(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def meaning(self) -> str: ...
    @property
    def expected(self) -> str: ...


def key_table(keys: Iterable[_Key]) -> str:
    """The keys of a ``set`` command, for the end of its help."""
    lines = [f"  {one.key:<18}{one.meaning}: {one.expected}" for one in keys]
    return "\n".join(["\b", "Keys:", *lines])


pass_context = click.make_pass_decorator(Context)


def _turn_to_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().obj.as_json = True


def _json_option() -> click.Option:
    return click.Option(
        ["--json"], is_flag=True, expose_value=False, callback=_turn_to_json, help="Print JSON."
    )


class Command(click.Command):
    """A command that takes ``--json`` also behind its name."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.params.append(_json_option())


class Group(click.Group):
    """A group of such commands, and one itself."""

    command_class = Command

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.params.append(_json_option())


command = functools.partial(click.command, cls=Command)
