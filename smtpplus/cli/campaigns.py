"""``campaign``: list, show, rename, merge. A campaign is named by its key or its name."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from smtpplus.cli.context import Context, Group, moment, pass_context
from smtpplus.cli.recipients import account_names, find_account
from smtpplus.installation import Installation, run
from smtpplus.ports import CampaignRow
from smtpplus.rules.subject_learning import match_learnt
from smtpplus.rules.subject_patterns import pattern_of
from smtpplus.values.errors import NotFoundError, UsageError
from smtpplus.values.learnt_pattern import LearntPattern
from smtpplus.web.figures import Figures

__all__ = ["campaign_command"]

_MOST = 10_000
_LINKS = 100
_MOST_LEARNT = 5  # lists
_list = click.option(
    "--list", "list_name", default="", metavar="LIST", help="Of this list, where it is not unique."
)


@click.group("campaign", cls=Group)
def campaign_command() -> None:
    """Campaigns: the buckets that messages are counted in. CAMPAIGN is a key or a name."""


@campaign_command.command("list")
@click.option("--search", default="", help="Part of a name or key.")
@click.option("--most", default=100, show_default=True, type=click.IntRange(1, _MOST))
@click.option("--account", default="", help="Of this account alone.")
@pass_context
def list_all(context: Context, search: str, most: int, account: str) -> None:
    """Campaigns, by their last message, newest first."""
    with context.installation() as opened:
        scope = find_account(opened, account)
        found = run(opened.campaigns.campaigns(scope, search, 0, most))
        learnt = _learnt(opened, found)
        names = account_names(opened)
    columns = (
        "name",
        "key",
        "account",
        "list",
        "accepted",
        "delivered",
        "bounced",
        "opened",
        "clicked",
    )
    rows = [{**_row(one, names), "hint": _hint(one, learnt.get(one.list_id, ()))} for one in found]
    context.show_rows((*columns, "last"), rows)
    if not context.as_json:
        hints = ((row["account"], row["list"], row["hint"]) for row in rows if row["hint"])
        for owner, name, hint in dict.fromkeys(hints):
            context.note(f"List {owner}/{name}: {hint}")


@campaign_command.command("show")
@click.argument("campaign", metavar="CAMPAIGN")
@_list
@pass_context
def show(context: Context, campaign: str, list_name: str) -> None:
    """A campaign: its numbers, what was merged into it, clicks by link."""
    with context.installation() as opened:
        row = _found(opened, campaign, list_name)
        merged = run(opened.campaigns.merged(row.list_id, row.key))
        links = run(opened.campaigns.links(row.list_id, row.key, _LINKS))
        names = account_names(opened)
    more: dict[str, Any] = {
        "merged": [one.key for one in merged],
        "links": [
            {"link": one.target, "persons": one.persons, "machines": one.others} for one in links
        ],
    }
    if context.as_json:
        context.show({**_row(row, names), **more})
        return
    context.show({**_row(row, names), "merged": more["merged"]})
    click.echo("\nLinks")
    context.show_rows(("link", "persons", "machines"), more["links"])


@campaign_command.command("rename")
@click.argument("campaign", metavar="CAMPAIGN")
@click.argument("name", metavar="NAME")
@_list
@pass_context
def rename(context: Context, campaign: str, name: str, list_name: str) -> None:
    """Call CAMPAIGN by another NAME; its key stays."""
    with context.installation() as opened:
        row = _found(opened, campaign, list_name)
        now = run(opened.campaigns.rename(row.account_id, row.list_id, row.key, name))
        names = account_names(opened)
    context.show(_row(now, names), f"{row.name} is called {now.name} now.")


@campaign_command.command("merge")
@click.argument("campaign", metavar="CAMPAIGN")
@click.argument("into", metavar="INTO", default="")
@_list
@pass_context
def merge(context: Context, campaign: str, into: str, list_name: str) -> None:
    """Count CAMPAIGN in INTO from now on; without INTO it stands for itself again."""
    with context.installation() as opened:
        row = _found(opened, campaign, list_name)
        key = ""
        if into:
            other = _found(opened, into, list_name or _list_of(opened, row))
            if other.list_id != row.list_id:
                raise UsageError(f"{into} is a campaign of another list: {other.list_name}.")
            key = other.key
        now = run(opened.campaigns.merge(row.account_id, row.list_id, row.key, key))
        names = account_names(opened)
    text = f"{row.name} is counted in {now.name} now." if key else f"{row.name} stands for itself."
    context.show(_row(now, names), text)


def _learnt(
    opened: Installation, found: Sequence[CampaignRow]
) -> dict[int, Sequence[LearntPattern]]:
    """What the subjects of the first lists among `found` have in common, by list."""
    lists = list(dict.fromkeys(one.list_id for one in found))[:_MOST_LEARNT]
    now = time.time()
    return {one: run(opened.accounts.learn(one, now)).patterns for one in lists}


def _hint(row: CampaignRow, learnt: Sequence[LearntPattern]) -> str:
    """How the campaign's messages could be counted better; "" where there is nothing to say."""
    kind, _, own = row.key.partition(":")
    if not learnt or kind in {"code", "tag"}:
        return ""
    if kind in {"subject", "dynamic-subject"}:
        fitting = match_learnt(pattern_of(own).key if kind == "subject" else own, learnt)
        return fitting.hint if fitting is not None else ""
    return max(learnt, key=lambda one: one.messages).hint


def _list_of(opened: Installation, row: CampaignRow) -> str:
    return f"{account_names(opened)[row.account_id]}/{row.list_name}"


def _found(opened: Installation, word: str, list_name: str) -> CampaignRow:
    """The one campaign of this key or name; a key goes before names."""
    lists = (
        [run(opened.accounts.list_by_name(list_name))]
        if list_name
        else run(opened.accounts.lists(None))
    )
    by_key = [
        row
        for one in lists
        if (row := run(opened.campaigns.campaign(one.account_id, one.id, word))) is not None
    ]
    ids = {one.id for one in lists}
    found = by_key or [
        row
        for row in run(opened.campaigns.campaigns(None, word, 0, _MOST))
        if row.list_id in ids and row.name.casefold() == word.casefold()
    ]
    if not found:
        raise NotFoundError(f"There is no campaign {word}; see `smtpplus campaign list`.")
    if len(found) > 1:
        where = ", ".join(f"{_list_of(opened, one)} ({one.key})" for one in found[:5])
        raise UsageError(f"{word} is not unique: {where}. Say --list, or the key.")
    return found[0]


def _row(row: CampaignRow, accounts: Mapping[int, str]) -> dict[str, Any]:
    sums = Figures(row.name, row.totals)
    return {
        "name": row.name,
        "key": row.key,
        "account": accounts.get(row.account_id, ""),
        "list": row.list_name,
        "first": moment(row.first_at),
        "last": moment(row.last_at),
        "merged_into": row.merged_into,
        "messages": sums.messages,
        "accepted": sums.accepted,
        "delivered": sums.delivered,
        "bounced": sums.bounced,
        "deferred": sums.deferred,
        "suppressed": sums.suppressed,
        "cancelled": sums.cancelled,
        "opened": sums.readers,
        "opens": sums.opens,
        "machine_opens": sums.machine_opens,
        "clicked": sums.clickers,
        "clicks": sums.clicks,
        "machine_clicks": sums.machine_clicks,
        "unsubscribed": sums.unsubscribed,
    }
