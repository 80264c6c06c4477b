"""``user``: add, list, show, set, secret."""

from __future__ import annotations

import secrets
import time
from typing import Any

import click

from smtpplus.cli.context import Context, Group, key_table, moment, pass_context, plain
from smtpplus.cli.lists import note_links
from smtpplus.installation import Installation, run
from smtpplus.rules.user_settings import OWN, SETTINGS, read
from smtpplus.trial import new_credential
from smtpplus.values.errors import NotFoundError
from smtpplus.values.submission import SmtpUser

__all__ = ["user_command"]

_ONCE = "The password is shown this once; `smtpplus user secret {}` makes a new one."


@click.group("user", cls=Group)
def user_command() -> None:
    """SMTP users: credentials for your applications, each bound to a list."""


@user_command.command("add")
@click.argument("name", metavar="LIST")
@click.option("--domain", "domains", multiple=True, help="A sender domain it may use.")
@click.option("--sender", "senders", multiple=True, help="A sender address it may use.")
@pass_context
def add(context: Context, name: str, domains: tuple[str, ...], senders: tuple[str, ...]) -> None:
    """Add an SMTP user to LIST; prints its username and password, once.

    Without --domain and --sender it may use all verified sender domains of its account.
    """
    rights = read("domains", ",".join(domains)) | read("senders", ",".join(senders))
    password, verifier = new_credential(secrets.token_bytes)
    with context.installation() as opened:
        found = run(opened.accounts.list_by_name(name))
        user = run(
            opened.accounts.add_user(
                found.id, None, verifier, rights["domains"], rights["senders"], time.time()
            )
        )
        unknown = _unknown_domains(opened, user)
    context.show({"username": user.username, "password": password, "list": found.name})
    if unknown:
        context.note(f"Note: the account has no verified sender domain {', '.join(unknown)} yet.")
    if not context.as_json:
        context.note(_ONCE.format(user.username))


@user_command.command("list")
@pass_context
def list_all(context: Context) -> None:
    """All SMTP users."""
    with context.installation() as opened:
        found = run(opened.accounts.users(None))
    context.show_rows(
        ("username", "account", "list", "status", "limit_hour", "limit_day"),
        [_shown(context, user) for user in found],
    )


@user_command.command("show")
@click.argument("username", metavar="USER")
@pass_context
def show(context: Context, username: str) -> None:
    """An SMTP user with all its settings."""
    with context.installation() as opened:
        user = _user(opened, username)
    context.show(_shown(context, user))


@user_command.command("set", epilog=key_table(SETTINGS.values()))
@click.argument("username", metavar="USER")
@click.argument("key", metavar="KEY")
@click.argument("value", metavar="VALUE")
@pass_context
def set_one(context: Context, username: str, key: str, value: str) -> None:
    """Change a setting of an SMTP user."""
    changes = read(key, value)
    with context.installation() as opened:
        user = run(opened.accounts.set_user(username, changes))
    now = user.settings.get(key) if key in OWN else _row(user)[key]
    written = plain(SETTINGS[key].written(now))
    context.show({"username": user.username, key: now}, f"{user.username}: {key} = {written}")
    note_links(context, key, now)


@user_command.command("secret")
@click.argument("username", metavar="USER")
@pass_context
def secret(context: Context, username: str) -> None:
    """Make a new password for USER and print it, once. The old one no longer works."""
    password, verifier = new_credential(secrets.token_bytes)
    with context.installation() as opened:
        user = run(opened.accounts.set_user(username, {"verifier": verifier}))
    context.show({"username": user.username, "password": password})
    if not context.as_json:
        context.note(_ONCE.format(user.username))


def _user(opened: Installation, username: str) -> SmtpUser:
    user = run(opened.accounts.user_by_name(username))
    if user is None:
        raise NotFoundError(f"There is no SMTP user {username}; see `smtpplus user list`.")
    return user


def _unknown_domains(opened: Installation, user: SmtpUser) -> list[str]:
    verified = {
        one.domain
        for one in run(opened.accounts.sender_domains(user.account_id))
        if one.verified_at is not None
    }
    wanted = {*user.domains, *(sender.rpartition("@")[2].lower() for sender in user.senders)}
    return sorted(wanted - verified)


def _shown(context: Context, user: SmtpUser) -> dict[str, Any]:
    """A program gets numbers and lists, a person what `user set` takes."""
    row = _row(user)
    if context.as_json:
        return row
    return {
        key: SETTINGS[key].written(value) if key in SETTINGS else value
        for key, value in row.items()
    }


def _row(user: SmtpUser) -> dict[str, Any]:
    return {
        "username": user.username,
        "account": user.account_name,
        "list": user.list_name,
        "status": user.status.value,
        "blocked_until": moment(user.blocked_until),
        "block_reason": user.block_reason,
        "domains": user.domains,
        "senders": user.senders,
        "networks": user.networks,
        "priority": user.priority,
        "campaign": user.campaign,
        "limit_hour": user.limit_hour,
        "limit_day": user.limit_day,
        "duplicates": user.duplicates,
        "recall": user.recall,
        **user.settings,
        "created": moment(user.created_at),
    }
