"""The ``smtpplus`` program: global options, the commands, errors and exit status."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from typing import Any

import click

from smtpplus import __version__
from smtpplus.cli.context import Context, plain
from smtpplus.values.errors import SmtpplusError, UsageError, reason

__all__ = ["exit_status", "main", "program"]

# Command, module of this package, first line of its help. A module is loaded when it is run.
_COMMANDS = {
    "init": ("setup", "Set up an installation in a folder."),
    "check-config": ("setup", "Check the configuration and print what is in effect."),
    "migrate": ("setup", "Bring the store to this version's tables."),
    "account": ("accounts", "Accounts: the tenants."),
    "list": ("lists", "Lists: policy inside an account."),
    "user": ("users", "SMTP users: credentials, each bound to a list."),
    "person": ("people", "People who sign in to the web pages."),
    "domain": ("domains", "Sender domains, their DNS records and DKIM keys."),
    "queue": ("queue", "Deliveries that wait."),
    "message": ("messages", "Messages and what became of them."),
    "recipient": ("recipients", "Recipients: who was mailed, and all that is known of them."),
    "suppression": ("suppressions", "Reasons not to mail an address."),
    "campaign": ("campaigns", "Campaigns: what messages are counted in."),
    "stats": ("stats", "How much was accepted, delivered, bounced, opened."),
    "explain": ("explain", "What would become of a message, without sending one."),
    "doctor": ("doctor", "Look for what is wrong, and say how to mend it."),
    "backup": ("backups", "Write the whole installation into a file; it may run."),
    "restore": ("backups", "Restore such a file into an empty place."),
    "send-test": ("send_test", "Send a message through the running service and tell its fate."),
}


class _Program(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"smtpplus.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_") + "_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "-c", metavar="FILE", help="The configuration file.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override section.key=value."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.version_option(__version__, prog_name="smtpplus")
@click.pass_context
def program(
    ctx: click.Context, config: str | None, settings: tuple[str, ...], as_json: bool
) -> None:
    """Administer smtpplus. What is changed holds in the running service within 2 s.

    The configuration is --config, $SMTPPLUS_CONFIG, ./smtpplus.toml,
    /etc/smtpplus/smtpplus.toml, or that of the trial in ./smtpplus-data.
    """
    ctx.obj = Context(config, settings, as_json)


def main(arguments: list[str] | None = None) -> None:
    """Run and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the locale cannot write is escaped
            stream.reconfigure(errors="backslashreplace")
    status = exit_status(arguments)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # it was told, or whoever read us is gone: Python is not to try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = status or 1
    sys.exit(status)


def exit_status(arguments: list[str] | None) -> int:
    """Run; the status to exit with."""
    said = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in said
    try:
        _check_octets(said)
        result: Any = program.main(said, prog_name="smtpplus", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _complain(_wrongly_called(error), as_json)
        return error.exit_code
    except click.Abort:
        _complain("Stopped.", as_json)
        return 130
    except BrokenPipeError:
        return 1  # whoever read us is gone: say nothing
    except OSError as error:
        of = f"{error.filename}: " if error.filename else ""
        _complain(f"{of}{reason(error)}.", as_json)
        return 1
    except SmtpplusError as error:
        _complain(str(error), as_json)
        return 1
    return result if isinstance(result, int) else 0


def _check_octets(arguments: list[str]) -> None:
    """What is no UTF-8 reaches us as lone surrogates, which neither store nor JSON takes.

    Raises:
        UsageError: an argument is of that kind.
    """
    for one in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in one):
            raise UsageError(f"The argument {one!a} is not in UTF-8: type it in UTF-8.")


def _wrongly_called(error: click.ClickException) -> str:
    """One sentence, and how it is called."""
    text = " ".join(error.format_message().split())
    ctx = getattr(error, "ctx", None)
    if ctx is None:
        return text
    ending = "" if text.endswith((".", "?")) else "."
    usage = " ".join(ctx.get_usage().removeprefix("Usage:").split())
    return f"{text}{ending} Usage: {usage} (see {ctx.command_path} --help)"


def _complain(text: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": text}), err=True)
    else:
        lines = (plain(line) for line in text.split("\n"))
        click.echo("smtpplus: " + "\n".join(lines), err=True)
