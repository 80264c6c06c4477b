"""Suppressions: what keeps mail from addresses; added and lifted by people who may.

Guarantees: a suppression that was lifted stays on record with who lifted it; lifting is asked
about first. Owners act in their account, operators in all, analysts nowhere. A bypass is an
operator's, and so is lifting it, a hard bounce or a complaint. Raises `PageError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from smtpplus.ports import SuppressionRow
from smtpplus.rules.suppression import OPERATORS_ONLY, Reason, Scope, Suppression
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError
from smtpplus.values.ids import parse_id, show_id
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.pages.messages import MOST_SEARCH
from smtpplus.web.rights import (
    account_of,
    check_is_operator,
    check_may_change,
    is_operator,
    list_of,
    may_change,
    visible_accounts,
)
from smtpplus.web.shell import Shell

__all__ = ["Suppressed", "SuppressionPages", "done", "liftable", "suppressed"]

_ROWS = 50
_MOST_DETAIL = 500
_DAY = 86_400.0
_SPANS = {"": None, "30": 30 * _DAY, "90": 90 * _DAY, "365": 365 * _DAY}
_WHAT = "suppressions"
_OPERATORS_WHAT = "a bypass, or what stands for a hard bounce or a complaint"
_DONE = {
    "lifted": "Lifted: mail goes to this address again. The record is kept.",
    "nothing": "Nothing was changed: it did not stand any more.",
    "added": "Added: this address is not mailed from now on.",
    "bypassed": "Set: this address is mailed from now on, whatever stands against it.",
    "ended": "The bypass is over: what stands against this address holds again.",
    "subscribed": "Subscribed again.",
}


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A suppression, or a bypass, with the state it is in: holds, lifted, or over."""

    row: SuppressionRow
    state: str
    reason: Reason

    @property
    def holds(self) -> bool:
        """Does it keep mail back now?"""
        return self.state == "holds" and not self.is_bypass

    @property
    def is_bypass(self) -> bool:
        """Is it an operator's word that the address is mailed?"""
        return self.reason is Reason.BYPASS


def suppressed(row: SuppressionRow, now: float) -> Suppressed:
    """How it stands at `now`."""
    found = row.suppression
    state = "holds"
    if found.lifted_at is not None:
        state = "lifted"
    elif found.expires_at is not None and found.expires_at <= now:
        state = "over"
    return Suppressed(row, state, found.reason)


def done(query: Mapping[str, str]) -> str:
    """What was just done, in words; "" where nothing was."""
    return _DONE.get(query.get("did", ""), "")


def liftable(visit: Visit) -> frozenset[Reason]:
    """The reasons that this person may lift."""
    if not may_change(visit):
        return frozenset()
    return frozenset(Reason) if is_operator(visit) else frozenset(Reason) - OPERATORS_ONLY


class SuppressionPages:
    """The list, adding and lifting."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show(self, visit: Visit) -> Response:
        """Newest first, filtered, a page at a time."""
        return await self._page(visit, "", {}, HTTPStatus.OK)

    async def add(self, visit: Visit) -> Response:
        """Suppress an address."""
        check_may_change(visit, _WHAT)
        return await self._set(visit, Reason.MANUAL, "added")

    async def bypass(self, visit: Visit) -> Response:
        """Have an address mailed in spite of what stands against it."""
        check_is_operator(visit, _OPERATORS_WHAT)
        return await self._set(visit, Reason.BYPASS, "bypassed")

    async def _set(self, visit: Visit, reason: Reason, did: str) -> Response:
        form, ports = visit.asked.form, self._shell.ports
        account_id, wanted = await self._wanted(visit, reason)
        try:
            address = str(Address.parse(form.get("address", "").strip()))
        except AddressError as error:
            return await self._page(visit, f"Not an address: {error}", form, HTTPStatus.BAD_REQUEST)
        await ports.suppressions.add(account_id, address, wanted, visit.who.email)
        if form.get("back") == "recipient":
            return self._shell.go(_recipient(address, account_id, did))
        return self._shell.go(f"/suppressions?{urlencode({'q': address, 'did': did})}")

    async def ask(self, visit: Visit) -> Response:
        """What lifting would do, and a button."""
        check_may_change(visit, _WHAT)
        query = visit.asked.query
        address, account_id = _address(query), await self._account(visit, query)
        reason = _reason(query.get("reason", ""))
        _check_may_lift(visit, reason)
        name = ""
        if query.get("list"):
            name = (await list_of(visit, self._shell.ports.accounts, query["list"])).name
        values = {
            "address": address,
            "reason": reason.value if reason else "",
            "list_name": name,
            "fields": {
                "address": address,
                "account": str(account_id),
                "list": query.get("list", ""),
                "reason": reason.value if reason else "",
                "back": "recipient" if query.get("back") == "recipient" else "",
            },
            "is_final": reason in {Reason.HARD_BOUNCE, Reason.COMPLAINT},
        }
        return self._shell.show(visit, "suppression_lift", values)

    async def lift(self, visit: Visit) -> Response:
        """Lift it."""
        check_may_change(visit, _WHAT)
        form = visit.asked.form
        address, account_id = _address(form), await self._account(visit, form)
        list_id = None
        if form.get("list"):
            list_id = (await list_of(visit, self._shell.ports.accounts, form["list"])).id
        reason = _reason(form.get("reason", ""))
        _check_may_lift(visit, reason)
        lifted = await self._shell.ports.suppressions.lift(
            account_id, address, list_id, reason, visit.now, visit.who.email
        )
        did = "lifted" if lifted else "nothing"
        if lifted and reason is Reason.UNSUBSCRIBE and list_id is not None:
            did = "subscribed"
        if lifted and reason is Reason.BYPASS:
            did = "ended"
        if form.get("back") == "recipient":
            return self._shell.go(_recipient(address, account_id, did))
        return self._shell.go(f"/suppressions?{urlencode({'q': address, 'all': '1', 'did': did})}")

    async def _account(self, visit: Visit, fields: Mapping[str, str]) -> int:
        return await account_of(visit, self._shell.ports.accounts, fields.get("account", ""))

    async def _wanted(self, visit: Visit, reason: Reason) -> tuple[int, Suppression]:
        form, accounts = visit.asked.form, self._shell.ports.accounts
        detail = " ".join(form.get("detail", "").split())[:_MOST_DETAIL]
        span = _SPANS.get(form.get("days", ""))
        expires_at = None if span is None else visit.now + span
        scope, list_id = Scope.ACCOUNT, None
        if form.get("list"):
            mail_list = await list_of(visit, accounts, form["list"])
            scope, list_id, account_id = Scope.LIST, mail_list.id, mail_list.account_id
        else:
            account_id = await self._account(visit, form)
        return account_id, Suppression(scope, reason, visit.now, list_id, expires_at, detail=detail)

    async def _page(
        self, visit: Visit, error: str, form: Mapping[str, str], status: HTTPStatus
    ) -> Response:
        ports, query = self._shell.ports, visit.asked.query
        search = query.get("q", "").strip()[:MOST_SEARCH]
        reason, every = _reason(query.get("reason", "")), query.get("all") == "1"
        before = parse_id(query.get("before", ""))
        lists = await ports.accounts.lists(visit.scope)
        chosen = next((one.id for one in lists if str(one.id) == query.get("list")), None)
        rows = await ports.suppressions.listed(
            visit.scope,
            search,
            before,
            _ROWS + 1,
            reason=reason,
            list_id=chosen,
            standing_at=None if every else visit.now,
        )
        asked = {
            "q": search,
            "reason": reason.value if reason else "",
            "list": str(chosen or ""),
            "all": "1" if every else "",
        }
        filters = {name: value for name, value in asked.items() if value}
        older = ""
        if len(rows) > _ROWS:
            older = urlencode({**filters, "before": show_id(rows[_ROWS - 1].id)})
        accounts = await visible_accounts(visit, ports.accounts)
        values = {
            "rows": [suppressed(row, visit.now) for row in rows[:_ROWS]],
            "accounts": accounts,
            "names": {one.id: one.name for one in accounts},
            "lists": lists,
            "reasons": list(Reason),
            "chosen": asked,
            "filters": urlencode(filters),
            "is_first": before is None,
            "older": older,
            "may_change": may_change(visit),
            "may_lift": liftable(visit),
            "error": error,
            "given": {name: form.get(name, "") for name in ("address", "detail")},
            "done": done(query),
            "days": {"": "for good", "30": "30 days", "90": "90 days", "365": "a year"},
        }
        return self._shell.show(visit, "suppressions", values, status)


def _address(fields: Mapping[str, str]) -> str:
    try:
        return str(Address.parse(fields.get("address", "").strip()))
    except AddressError as error:
        raise PageError(HTTPStatus.BAD_REQUEST, "That is not a mail address.") from error


def _check_may_lift(visit: Visit, reason: Reason | None) -> None:
    """Without a reason all are meant."""
    if reason is None or reason in OPERATORS_ONLY:
        check_is_operator(visit, _OPERATORS_WHAT)


def _reason(text: str) -> Reason | None:
    return next((one for one in Reason if one.value == text), None)


def _recipient(address: str, account_id: int, did: str) -> str:
    return f"/recipient?{urlencode({'address': address, 'account': account_id, 'did': did})}"
