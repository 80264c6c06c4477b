"""``account``: add, list."""

from __future__ import annotations

import time

import click

from smtpplus.cli.context import Context, Group, moment, pass_context

__all__ = ["account_command"]


@click.group("account", cls=Group)
def account_command() -> None:
    """Accounts: the tenants, each with its people, domains, lists and recipients."""


@account_command.command("add")
@click.argument("name")
@pass_context
def add(context: Context, name: str) -> None:
    """Add an account."""
    from smtpplus.installation import run

    with context.installation() as opened:
        made = run(opened.accounts.add_account(name, time.time()))
    context.show({"account": made.name}, f"Added account {made.name}.")


@account_command.command("list")
@pass_context
def list_all(context: Context) -> None:
    """All accounts."""
    from smtpplus.installation import run

    with context.installation() as opened:
        found = run(opened.accounts.accounts())
    rows = [{"account": one.name, "created": moment(one.created_at)} for one in found]
    context.show_rows(("account", "created"), rows)
