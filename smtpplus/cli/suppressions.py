"""``suppression``: list, add, lift, bypass."""

from __future__ import annotations

import time
from typing import Any

import click

from smtpplus.cli.addresses import mail_address
from smtpplus.cli.context import Context, Group, moment, pass_context
from smtpplus.cli.recipients import account_names, find_account, suppression_fields
from smtpplus.cli.times import parse_time
from smtpplus.installation import Installation, run
from smtpplus.ports import SuppressionRow
from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.values.errors import NotFoundError, UsageError

__all__ = ["suppression_command"]

_BY = "command line"
_PAGE = 1_000
_account = click.option("--account", default="", help="The account; not needed with one alone.")
_list = click.option("--list", "list_name", default="", metavar="LIST", help="For this list alone.")
_COLUMNS = ("address", "reason", "account", "scope", "state", "since", "by", "until", "detail")
_REASONS = click.Choice([one.value for one in Reason])


@click.group("suppression", cls=Group)
def suppression_command() -> None:
    """Suppressions: reasons not to mail an address."""


@suppression_command.command("list")
@click.option("--search", default="", help="Part of an address.")
@click.option("--reason", type=_REASONS, default=None, help="Of this reason alone.")
@click.option("--all", "every", is_flag=True, help="Lifted ones and those that are over, too.")
@click.option("--most", default=100, show_default=True, type=click.IntRange(1, 1_000_000))
@_account
@_list
@pass_context
def list_all(
    context: Context,
    search: str,
    reason: str | None,
    every: bool,
    most: int,
    account: str,
    list_name: str,
) -> None:
    """Suppressions, newest first."""
    now = time.time()
    with context.installation() as opened:
        scope = find_account(opened, account)
        list_id = run(opened.accounts.list_by_name(list_name)).id if list_name else None
        names = account_names(opened)
        found: list[dict[str, Any]] = []
        before = None
        while len(found) < most:
            wanted = min(_PAGE, most - len(found))
            page = run(
                opened.suppressions.listed(
                    scope,
                    search,
                    before,
                    wanted,
                    reason=Reason(reason) if reason else None,
                    list_id=list_id,
                    standing_at=None if every else now,
                )
            )
            found += [
                {**suppression_fields(one, now), "account": names.get(one.account_id, "")}
                for one in page
            ]
            if len(page) < wanted:
                break
            before = page[-1].id
    context.show_rows(_COLUMNS, found)


@suppression_command.command("add")
@click.argument("address", metavar="ADDRESS")
@click.option("--reason", "detail", default="", help="Why, for people; kept on record.")
@click.option("--until", default="", metavar="TIME", help="A date, or a duration such as 30d.")
@_account
@_list
@pass_context
def add(
    context: Context, address: str, detail: str, until: str, account: str, list_name: str
) -> None:
    """Do not mail ADDRESS any more: for a list, or for the whole account."""
    row, now = _set(context, Reason.MANUAL, address, detail, until, account, list_name)
    fields = suppression_fields(row, now)
    where = f"list {row.list_name}" if row.list_name else "all lists of the account"
    if row.suppression.since != now:
        text = f"{row.address} was suppressed already for {where} since {fields['since']}."
    else:
        text = f"{row.address} is not mailed any more by {where}."
    context.show({**fields, "changed": row.suppression.since == now}, text)


@suppression_command.command("bypass")
@click.argument("address", metavar="ADDRESS")
@click.option("--reason", "detail", default="", help="Why, for people; kept on record.")
@click.option("--until", default="", metavar="TIME", help="A date, or a duration such as 30d.")
@_account
@_list
@pass_context
def bypass(
    context: Context, address: str, detail: str, until: str, account: str, list_name: str
) -> None:
    """Mail ADDRESS in spite of what stands against it, hard bounce and complaint, too.

    For a list, or for the whole account; what stands stays on record, and an unsubscribe or a
    complaint that comes later holds. Ended by `suppression lift ADDRESS --reason bypass`.
    """
    row, now = _set(context, Reason.BYPASS, address, detail, until, account, list_name)
    where = f"list {row.list_name}" if row.list_name else "all lists of the account"
    is_new = row.suppression.since == now
    fields = suppression_fields(row, now)
    if is_new:
        text = f"{row.address} is mailed by {where}, whatever stands against it."
    else:
        text = f"{row.address} had a bypass already for {where} since {fields['since']}."
    context.show({**fields, "changed": is_new}, text)


@suppression_command.command("lift")
@click.argument("address", metavar="ADDRESS")
@click.option("--reason", type=_REASONS, default=None, help="Those of this reason alone.")
@_account
@_list
@pass_context
def lift(context: Context, address: str, reason: str | None, account: str, list_name: str) -> None:
    """Mail ADDRESS again. What was lifted stays on record.

    A bypass is lifted with --reason bypass alone.
    """
    address = str(mail_address(address))
    with context.installation() as opened:
        scope = find_account(opened, account)
        list_id = None
        if list_name:
            found = run(opened.accounts.list_by_name(list_name))
            scope, list_id = found.account_id, found.id
        wanted = Reason(reason) if reason else None
        lifted = run(opened.suppressions.lift(scope, address, list_id, wanted, time.time(), _BY))
    if not lifted:
        raise NotFoundError(f"Nothing stands against mail to {address}.")
    word = "suppression" if lifted == 1 else "suppressions"
    context.show({"address": address, "lifted": lifted}, f"Lifted {lifted} {word} of {address}.")


def _set(
    context: Context,
    reason: Reason,
    address: str,
    detail: str,
    until: str,
    account: str,
    list_name: str,
) -> tuple[SuppressionRow, float]:
    """Put it on record; the row, and what now is."""
    address, now = str(mail_address(address)), time.time()
    expires_at = _until(until, now) if until else None
    with context.installation() as opened:
        account_id, list_id = _place(opened, account, list_name)
        scope = Scope.ACCOUNT if list_id is None else Scope.LIST
        wanted = Suppression(scope, reason, now, list_id, expires_at, detail=detail[:500])
        return run(opened.suppressions.add(account_id, address, wanted, _BY)), now


def _place(opened: Installation, account: str, list_name: str) -> tuple[int, int | None]:
    """Account and list that are meant."""
    scope = find_account(opened, account)
    if list_name:
        found = run(opened.accounts.list_by_name(list_name))
        if scope not in {None, found.account_id}:
            raise UsageError(f"The list {list_name} is not of account {account}.")
        return found.account_id, found.id
    if scope is None:
        accounts = run(opened.accounts.accounts())
        if len(accounts) != 1:
            names = ", ".join(one.name for one in accounts)
            raise UsageError(f"Name the account with --account: one of {names or 'none'}.")
        scope = accounts[0].id
    return scope, None


def _until(text: str, now: float) -> float:
    """A time ahead: ``2027-01-31``, ``2027-01-31T12:00Z`` or a duration from now.

    Raises:
        UsageError: it is none of these, or past.
    """
    at = parse_time(text, now, ahead=True)
    if at <= now:
        raise UsageError(f"--until {text}: that is past ({moment(at)}).")
    return at
