"""``list``: add, list, show, set."""

from __future__ import annotations

import time
from typing import Any

import click

from smtpplus.cli.context import Context, Group, key_table, moment, pass_context, plain
from smtpplus.installation import Installation, run
from smtpplus.rules.list_settings import LINKING, SETTINGS, effective, read
from smtpplus.rules.tracking_hosts import fault_of
from smtpplus.values.learnt_pattern import LearntPattern
from smtpplus.values.submission import MailList, Stream

__all__ = ["hint_fields", "list_command", "note_links"]


@click.group("list", cls=Group)
def list_command() -> None:
    """Lists: the unit of policy inside an account. LIST is its name, or ACCOUNT/NAME."""


@list_command.command("add")
@click.argument("account")
@click.argument("name")
@click.option(
    "--stream",
    type=click.Choice([stream.value for stream in Stream]),
    default=Stream.TRANSACTIONAL.value,
    show_default=True,
    help="What the list's mail is.",
)
@pass_context
def add(context: Context, account: str, name: str, stream: str) -> None:
    """Add a list to ACCOUNT."""
    with context.installation() as opened:
        made = run(opened.accounts.add_list(account, name, Stream(stream), time.time()))
    context.show(
        {"list": made.name, "account": account, "stream": made.stream.value},
        f"Added list {account}/{made.name} ({made.stream.value}).",
    )


@list_command.command("list")
@pass_context
def list_all(context: Context) -> None:
    """All lists."""
    with context.installation() as opened:
        names = _account_names(opened)
        found = run(opened.accounts.lists(None))
    rows = [_row(one, names) for one in found]
    context.show_rows(("account", "list", "stream", "created"), rows)


@list_command.command("show")
@click.argument("name", metavar="LIST")
@pass_context
def show(context: Context, name: str) -> None:
    """A list with all its settings, and what its subjects have in common."""
    with context.installation() as opened:
        found = run(opened.accounts.list_by_name(name))
        row = _row(found, _account_names(opened))
        learnt = run(opened.accounts.learn(found.id, time.time()))
    hints = [hint_fields(one) for one in learnt.patterns]
    settings = effective(found.settings)
    if context.as_json:
        kept = [key for key, setting in SETTINGS.items() if not setting.acts]
        more = {"settings": settings, "set": found.settings, "kept_only": kept, "subjects": hints}
        context.show({**row, **more})
        return
    context.show(row)
    click.echo("\nSettings")
    context.show_rows(
        ("setting", "value", "from", "acts"),
        [
            {
                "setting": key,
                "value": SETTINGS[key].written(value),
                "from": "default" if found.settings.get(key) is None else "list",
                "acts": SETTINGS[key].acts,
            }
            for key, value in settings.items()
        ],
    )
    if hints:
        click.echo("\nSubjects that belong together")
        context.show_rows(("pattern", "subjects", "messages", "hint"), hints)


@list_command.command("set", epilog=key_table(SETTINGS.values()))
@click.argument("name", metavar="LIST")
@click.argument("key", metavar="KEY")
@click.argument("value", metavar="VALUE")
@pass_context
def set_one(context: Context, name: str, key: str, value: str) -> None:
    """Change a setting of a list; an empty VALUE is the default again."""
    read_value = read(key, value)
    with context.installation() as opened:
        found = run(opened.accounts.list_by_name(name))
        changed = run(opened.accounts.set_list(found.id, key, read_value))
    now = effective(changed.settings)[key]
    written = plain(SETTINGS[key].written(now))
    context.show({"list": changed.name, key: now}, f"{changed.name}: {key} = {written}")
    note_links(context, key, now)
    if not SETTINGS[key].acts:
        context.note(f"Note: this version keeps {key} and does not act on it yet.")


def note_links(context: Context, key: str, value: Any) -> None:
    """Tell where a setting puts links into mail that recipients cannot follow."""
    fault = fault_of(context.config.tracking_url)
    if key in LINKING and value is True and fault and context.config.relay.deliver != "sandbox":
        context.note(f"Note: {fault} Set web.tracking_url (docs/operations.md, Tracked links).")


def hint_fields(pattern: LearntPattern) -> dict[str, Any]:
    """What was learnt from a list's subjects, as it is shown."""
    return {
        "pattern": pattern.text,
        "key": pattern.key,
        "subjects": pattern.subjects,
        "messages": pattern.messages,
        "hint": pattern.hint,
    }


def _account_names(opened: Installation) -> dict[int, str]:
    return {one.id: one.name for one in run(opened.accounts.accounts())}


def _row(mail_list: MailList, accounts: dict[int, str]) -> dict[str, Any]:
    return {
        "account": accounts.get(mail_list.account_id),
        "list": mail_list.name,
        "stream": mail_list.stream.value,
        "created": moment(mail_list.created_at),
    }
