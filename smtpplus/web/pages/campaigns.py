"""Campaigns: their numbers, links and time; renamed and merged by people who may.

Guarantees: a campaign of another account is not found (404). Numbers are those of the counters;
persons stand first and machines beside (W4, W5). What is merged or renamed is so in every sum
from then on, and can be undone. Raises `PageError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlencode

from smtpplus.ports import CampaignRow
from smtpplus.values.errors import NotFoundError, UsageError
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.figures import Figures
from smtpplus.web.mail_charts import mail_charts, response_charts
from smtpplus.web.pages.messages import MOST_SEARCH
from smtpplus.web.rights import check_may_change, list_of, may_change, visible_accounts
from smtpplus.web.shell import Shell
from smtpplus.web.spans import SPANS, Span, span_of, times

__all__ = ["CampaignPages"]

_ROWS = 50
_MOST_SKIP = 100_000
_LINKS = 100
_MOST_TO_MERGE = 200
_MOST_KEY = 200
_WHAT = "campaigns"
_DONE = {
    "renamed": "Renamed.",
    "merged": "Merged: its numbers are part of this campaign now.",
    "apart": "It stands for itself again.",
}


class CampaignPages:
    """The list, and one campaign."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show_all(self, visit: Visit) -> Response:
        """By the last message, newest first, a page at a time."""
        query, ports = visit.asked.query, self._shell.ports
        search = query.get("q", "").strip()[:MOST_SEARCH]
        skip = _number(query.get("skip", ""))
        rows = await ports.campaigns.campaigns(visit.scope, search, skip, _ROWS + 1)
        names = {one.id: one.name for one in await visible_accounts(visit, ports.accounts)}
        older = ""
        if len(rows) > _ROWS and skip + _ROWS <= _MOST_SKIP:
            older = urlencode({"q": search, "skip": skip + _ROWS})
        values = {
            "rows": [(row, Figures(row.name, row.totals)) for row in rows[:_ROWS]],
            "search": search,
            "accounts": names,
            "is_first": skip == 0,
            "older": older,
        }
        return self._shell.show(visit, "campaigns", values)

    async def show(self, visit: Visit) -> Response:
        """One campaign."""
        row = await self._campaign(visit, visit.asked.query)
        return await self._page(visit, row, "", HTTPStatus.OK)

    async def rename(self, visit: Visit) -> Response:
        """Call it something else."""
        check_may_change(visit, _WHAT)
        row = await self._campaign(visit, visit.asked.form)
        try:
            await self._shell.ports.campaigns.rename(
                row.account_id, row.list_id, row.key, visit.asked.form.get("name", "")
            )
        except UsageError as error:
            return await self._page(visit, row, str(error), HTTPStatus.BAD_REQUEST)
        return self._go(row.list_id, row.key, "renamed")

    async def merge(self, visit: Visit) -> Response:
        """Count it in another one, or for itself again."""
        check_may_change(visit, _WHAT)
        form = visit.asked.form
        row, into = await self._campaign(visit, form), form.get("into", "")[:_MOST_KEY]
        try:
            now = await self._shell.ports.campaigns.merge(
                row.account_id, row.list_id, row.key, into
            )
        except (UsageError, NotFoundError) as error:
            return await self._page(visit, row, str(error), HTTPStatus.BAD_REQUEST)
        return self._go(now.list_id, now.key, "merged" if into else "apart")

    def _go(self, list_id: int, key: str, did: str) -> Response:
        return self._shell.go(f"/campaign?{urlencode({'list': list_id, 'key': key, 'did': did})}")

    async def _campaign(self, visit: Visit, fields: dict[str, str]) -> CampaignRow:
        ports = self._shell.ports
        mail_list = await list_of(visit, ports.accounts, fields.get("list", ""))
        key = fields.get("key", "")[:_MOST_KEY]
        found = await ports.campaigns.campaign(mail_list.account_id, mail_list.id, key)
        if found is None:
            raise PageError(HTTPStatus.NOT_FOUND, "There is no such campaign.")
        return found

    async def _page(
        self, visit: Visit, row: CampaignRow, error: str, status: HTTPStatus
    ) -> Response:
        campaigns, query = self._shell.ports.campaigns, visit.asked.query
        span = span_of(query.get("range", ""), _usual_span(row, visit.now).key)
        since, until = span.bounds(visit.now)
        counters = await campaigns.series(row.list_id, row.key, since, until, span.step)
        titles, labels = times(span, since)
        merged = await campaigns.merged(row.list_id, row.key)
        others: Sequence[CampaignRow] = ()
        if may_change(visit):
            others = await campaigns.others(row.list_id, row.key, _MOST_TO_MERGE)
        values = {
            "row": row,
            "figures": Figures(row.name, row.totals),
            "links": await campaigns.links(row.list_id, row.key, _LINKS),
            "merged": merged,
            "others": others,
            "span": span,
            "spans": SPANS,
            "here": urlencode({"list": row.list_id, "key": row.key}),
            "sent": mail_charts(counters, titles, labels),
            "answered": response_charts(counters, titles, labels),
            "may_change": may_change(visit),
            "error": error,
            "done": _DONE.get(query.get("did", ""), ""),
        }
        return self._shell.show(visit, "campaign", values, status)


def _usual_span(row: CampaignRow, now: float) -> Span:
    """The shortest span that holds the campaign's whole life."""
    return next((one for one in SPANS if one.since(now) <= row.first_at), SPANS[-1])


def _number(text: str) -> int:
    is_one = text.isascii() and text.isdecimal() and len(text) <= 6
    return min(int(text), _MOST_SKIP) if is_one else 0
