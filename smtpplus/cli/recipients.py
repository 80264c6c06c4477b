"""``recipient``: list, show, export, erase."""

from __future__ import annotations

import time
from typing import Any

import click

from smtpplus.cli.addresses import mail_address
from smtpplus.cli.context import Context, Group, moment, pass_context
from smtpplus.installation import Installation, run
from smtpplus.ports import MailRow, RecipientRow, SuppressionRow
from smtpplus.values.errors import NotFoundError, UsageError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Event

__all__ = ["account_names", "find_account", "recipient_command", "suppression_fields"]

_PAGE = 200
_BY = "command line"
_UNKNOWN = "{address} is no recipient: nothing was ever sent to it, and nothing stands against it."
_account = click.option("--account", default="", help="Of this account alone.")


@click.group("recipient", cls=Group)
def recipient_command() -> None:
    """Recipients: everybody who was ever mailed, each known by the address."""


@recipient_command.command("list")
@click.option("--search", default="", help="Part of an address or a name.")
@click.option("--most", default=100, show_default=True, type=click.IntRange(1, 100_000))
@_account
@pass_context
def list_all(context: Context, search: str, most: int, account: str) -> None:
    """Recipients, newest first."""
    with context.installation() as opened:
        scope = find_account(opened, account)
        found = run(opened.recipients.recipients(scope, search, None, most))
        names = account_names(opened)
    context.show_rows(
        ("address", "name", "account", "mails", "delivered", "bounced", "opens", "last_mail"),
        [_facts(row, names) for row in found],
    )


@recipient_command.command("show")
@click.argument("address", metavar="ADDRESS")
@click.option("--mails", "most", default=20, show_default=True, type=click.IntRange(0, 10_000))
@_account
@pass_context
def show(context: Context, address: str, most: int, account: str) -> None:
    """A recipient: who it is, what stands against mail to it, its mails and their fate."""
    with context.installation() as opened:
        found = _known(opened, find_account(opened, account), address, most)
    if context.as_json:
        context.show_rows((), found)
        return
    for one in found:
        more = {name: one.pop(name) for name in ("subscriptions", "suppressions", "mails_kept")}
        context.show(one)
        for name, columns in _COLUMNS.items():
            click.echo(f"\n{name.replace('_', ' ').capitalize()}")
            context.show_rows(columns, more[name])
        click.echo()


@recipient_command.command("export")
@click.argument("address", metavar="ADDRESS")
@_account
@pass_context
def export(context: Context, address: str, account: str) -> None:
    """Everything that is known of an address, as JSON (GDPR articles 15 and 20).

    Of every account that knows it: its facts and merge fields, subscriptions, suppressions, and
    each mail with the fields and metadata that came with it, and every event. Contents of mails are
    not among them.
    """
    context.as_json = True
    with context.installation() as opened:
        scope = find_account(opened, account)
        found = _known(opened, scope, address, None)
    context.show({"address": address, "exported": moment(time.time()), "recipients": found})


@recipient_command.command("erase")
@click.argument("address", metavar="ADDRESS")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_account
@pass_context
def erase(context: Context, address: str, yes: bool, account: str) -> None:
    """Forget an address for good (GDPR article 17). Numbers stay, suppressions stay as a hash."""
    address = str(mail_address(address))
    with context.installation() as opened:
        scope = find_account(opened, account)
        if not run(opened.recipients.known(scope, address)):
            raise NotFoundError(_UNKNOWN.format(address=address))
        if not yes:
            if context.as_json:
                raise UsageError(f"This would erase {address} for good: say --yes.")
            click.confirm(f"Erase {address} for good?", abort=True, err=True)
        erased = run(opened.recipients.erase(scope, address, time.time(), _BY))
    word = "account" if erased == 1 else "accounts"
    text = f"{address} is erased in {erased} {word}."
    context.show({"address": address, "erased": erased}, text)


_COLUMNS = {
    "subscriptions": ("list", "state", "since", "reason"),
    "suppressions": ("reason", "scope", "state", "since", "by", "until", "detail", "lifted_by"),
    "mails_kept": ("at", "message", "subject", "state", "attempts", "reply"),
}


def find_account(opened: Installation, name: str) -> int | None:
    """The id of the account called `name`; None without a name: all of them."""
    if not name:
        return None
    accounts = run(opened.accounts.accounts())
    found = next((one.id for one in accounts if one.name.lower() == name.lower()), None)
    if found is None:
        raise NotFoundError(f"There is no account {name}; see `smtpplus account list`.")
    return found


def account_names(opened: Installation) -> dict[int, str]:
    """All accounts, by id."""
    return {one.id: one.name for one in run(opened.accounts.accounts())}


def _known(
    opened: Installation, scope: int | None, address: str, most: int | None
) -> list[dict[str, Any]]:
    """All that is known; of its mails the newest `most`, None: every one."""
    address = str(mail_address(address))
    rows = run(opened.recipients.known(scope, address))
    if not rows:
        raise NotFoundError(_UNKNOWN.format(address=address))
    names = account_names(opened)
    now = time.time()
    return [
        {
            **_facts(row, names),
            "fields": dict(row.fields),
            "subscriptions": [
                {
                    "list": one.list_name,
                    "state": "active" if one.is_active else "unsubscribed",
                    "since": moment(one.since),
                    "reason": one.reason,
                }
                for one in row.subscriptions
            ],
            "suppressions": [suppression_fields(one, now) for one in row.suppressions],
            "mails_kept": [_mail(one) for one in _mails(opened, row, address, most)],
        }
        for row in rows
    ]


def _mails(
    opened: Installation, row: RecipientRow, address: str, most: int | None
) -> list[MailRow]:
    found: list[MailRow] = []
    before = None
    while most is None or len(found) < most:
        wanted = _PAGE if most is None else min(_PAGE, most - len(found))
        page = run(opened.recipients.mails(row.account_id, address, before, wanted))
        found += page
        if len(page) < wanted:
            break
        before = page[-1].delivery.id
    return found


def _facts(row: RecipientRow, names: dict[int, str]) -> dict[str, Any]:
    return {
        "address": row.address,
        "name": row.name,
        "account": names.get(row.account_id),
        "first_mail": moment(row.first_mail_at) if row.id else None,
        "last_mail": moment(row.last_mail_at) if row.id else None,
        "last_delivery": moment(row.last_delivery_at),
        "last_open": moment(row.last_open_at),
        "last_click": moment(row.last_click_at),
        "complained": moment(row.complained_at),
        "mails": row.mails,
        "delivered": row.delivered,
        "bounced": row.bounced,
        "opens": row.opens,
        "clicks": row.clicks,
    }


def suppression_fields(row: SuppressionRow, now: float) -> dict[str, Any]:
    """A suppression, for a table and for JSON."""
    found = row.suppression
    over = found.expires_at is not None and found.expires_at <= now
    return {
        "address": row.address,
        "reason": found.reason.value,
        "scope": row.list_name or "account",
        "state": "lifted" if found.lifted_at is not None else "over" if over else "holds",
        "since": moment(found.since),
        "until": moment(found.expires_at),
        "detail": found.detail,
        "lifted": moment(found.lifted_at),
        "lifted_by": row.lifted_by,
        "by": row.set_by,
    }


def _mail(row: MailRow) -> dict[str, Any]:
    delivery = row.delivery
    outcome = delivery.last_outcome
    said = "" if outcome is None else str(outcome.reply or outcome.text)
    return {
        "at": moment(row.received_at),
        "message": show_id(row.message_id),
        "subject": row.subject,
        "from": row.header_from,
        "list": row.list_name,
        "campaign": row.campaign,
        "name": delivery.name,
        "fields": dict(row.fields),
        "metadata": dict(row.metadata),
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "reply": delivery.withheld or said,
        "events": [_event(one) for one in row.events],
    }


def _event(event: Event) -> dict[str, Any]:
    return {"at": moment(event.at), "event": event.type.value, "detail": event.detail}
