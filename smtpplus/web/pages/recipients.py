"""Recipients: who was mailed, and of one of them everything: why did she not get it?

Guarantees: a recipient of another account is not found (404). Looking changes nothing; lifting
and subscribing again go through `pages.suppressions`. Raises `PageError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from smtpplus.ports import MailRow, RecipientRow
from smtpplus.rules.suppression import Reason, is_passed
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError
from smtpplus.values.ids import id_milliseconds, parse_id, show_id
from smtpplus.values.message import DeliveryState
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.fate import fate
from smtpplus.web.pages.messages import MOST_SEARCH
from smtpplus.web.pages.suppressions import Suppressed, done, liftable, suppressed
from smtpplus.web.rights import may_change, visible_accounts
from smtpplus.web.shell import Shell
from smtpplus.web.steps import Answers, Step, answers, steps

__all__ = ["Mail", "RecipientPages"]

_ROWS = 50
_MAILS = 20
_REASONS = {
    Reason.HARD_BOUNCE: "its server said that it does not exist (hard bounce)",
    Reason.COMPLAINT: "a mail to it was reported as spam (complaint)",
    Reason.MANUAL: "somebody suppressed it by hand",
    Reason.REPEATED_SOFT_BOUNCE: "too many mails in a row came back (repeated soft bounce)",
    Reason.UNSUBSCRIBE: "it was unsubscribed",
}


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as the recipient's page shows it: what became of it in words, and its timeline."""

    row: MailRow
    why: str
    did: Answers
    steps: Sequence[Step]


class RecipientPages:
    """The list, and one recipient."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show_all(self, visit: Visit) -> Response:
        """Newest first, searched, a page at a time."""
        query, ports = visit.asked.query, self._shell.ports
        search = query.get("q", "").strip()[:MOST_SEARCH]
        before = parse_id(query.get("before", ""))
        down_to = await ports.recipients.reach(visit.scope, search, before)
        rows = await ports.recipients.recipients(visit.scope, search, before, _ROWS + 1, down_to)
        names = {one.id: one.name for one in await visible_accounts(visit, ports.accounts)}
        older = further = ""
        if len(rows) > _ROWS:
            older = urlencode({"q": search, "before": show_id(rows[_ROWS - 1].id)})
        elif down_to is not None:
            further = urlencode({"q": search, "before": show_id(down_to)})
        values = {
            "further": further,
            "looked_to": None if down_to is None else id_milliseconds(down_to) / 1000,
            "rows": rows[:_ROWS],
            "search": search,
            "accounts": names,
            "is_first": before is None,
            "older": older,
        }
        return self._shell.show(visit, "recipients", values)

    async def show(self, visit: Visit) -> Response:
        """One recipient; of several accounts (an operator sees them) the one asked for."""
        ports, query = self._shell.ports, visit.asked.query
        address = _address(query.get("address", ""))
        found = await ports.recipients.known(visit.scope, address)
        row = _chosen(found, query.get("account", ""))
        before = parse_id(query.get("before", ""))
        mails = await ports.recipients.mails(row.account_id, address, before, _MAILS + 1)
        names = {one.id: one.name for one in await visible_accounts(visit, ports.accounts)}
        stand = [suppressed(one, visit.now) for one in row.suppressions]
        values = {
            "row": row,
            "others": [one for one in found if one.account_id != row.account_id],
            "accounts": names,
            "suppressions": stand,
            "verdict": _verdict(row, stand, mails),
            "mails": [_mail(one) for one in mails[:_MAILS]],
            "is_first": before is None,
            "older": show_id(mails[_MAILS - 1].delivery.id) if len(mails) > _MAILS else "",
            "may_change": may_change(visit),
            "may_lift": liftable(visit),
            "done": done(query),
        }
        return self._shell.show(visit, "recipient", values)


def _address(text: str) -> str:
    try:
        return str(Address.parse(text.strip()))
    except AddressError as error:
        raise PageError(HTTPStatus.NOT_FOUND, "That is not a mail address.") from error


def _chosen(found: Sequence[RecipientRow], account: str) -> RecipientRow:
    if not found:
        raise PageError(
            HTTPStatus.NOT_FOUND,
            "Nothing was ever sent to this address, or it was erased at its owner's request.",
        )
    return next((one for one in found if str(one.account_id) == account), found[0])


def _mail(row: MailRow) -> Mail:
    address = {row.delivery.id: row.delivery.address}
    did = answers(row.events).get(row.delivery.id, Answers())
    return Mail(row, fate(row.delivery), did, steps(row.events, address))


def _verdict(
    row: RecipientRow, suppressions: Sequence[Suppressed], mails: Sequence[MailRow]
) -> tuple[str, str]:
    """Does mail reach this recipient? Its colour, and one sentence."""
    standing = [one for one in suppressions if one.holds]
    bypasses = [one for one in suppressions if one.is_bypass and one.state == "holds"]
    held = [
        one
        for one in standing
        if not any(is_passed(one.row.suppression, by.row.suppression) for by in bypasses)
    ]
    if held:
        everywhere = [one for one in held if not one.row.list_name]
        first = (everywhere or held)[0]
        where = "All mail" if everywhere else f"Mail of list {first.row.list_name}"
        let = sorted({one.row.list_name for one in bypasses} - {""}) if everywhere else []
        but = f" but that of list {', '.join(let)} (an operator's bypass)" if let else ""
        return "bad", f"{where}{but} to this address is held back: {_REASONS[first.reason]}."
    if standing:
        why = _REASONS[standing[0].reason]
        return "warn", f"Mail goes to this address by an operator's bypass, though {why}."
    ended = [one for one in row.subscriptions if not one.is_active]
    if ended:
        return "warn", f"Unsubscribed from {ended[0].list_name}."
    last = mails[0].delivery if mails else None
    if last is None:
        return "", "Nothing stands against mail to this address."
    if last.state is DeliveryState.DELIVERED:
        return "good", "The last mail was delivered; nothing stands against the next one."
    return "", f"Nothing stands against mail to this address. The last one: {fate(last)}"
