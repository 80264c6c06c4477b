"""Lists and their settings: every key of ``list set`` in one form, with previews.

Guarantees: nothing is saved unless everything in the form is in order; only what was changed is
written. Header and footer are shown as a document that may do nothing, as mail in the sandbox is.
An analyst reads. Raises `PageError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from smtpplus.message.header_footer import fragment
from smtpplus.rules.list_settings import LINKING, SETTINGS, ListSetting, effective, read
from smtpplus.rules.tracking_hosts import fault_of
from smtpplus.values.errors import STORE_ERRORS, UsageError
from smtpplus.values.learnt_pattern import LearntPattern
from smtpplus.values.submission import MailList, Stream
from smtpplus.web.context import Visit
from smtpplus.web.exchange import Response
from smtpplus.web.pages.sandbox import MAIL_CSP
from smtpplus.web.rights import check_may_change, list_of, may_change, visible_accounts
from smtpplus.web.shell import Shell

__all__ = ["Group", "ListPages", "Setting"]

_GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Header and footer",
        "Put into every copy, before and after what the sender wrote; signed mail is left alone.",
        ("header", "header_html", "header_text", "footer", "footer_html", "footer_text"),
    ),
    (
        "Opens and clicks",
        "Persons are counted apart from scanners and mail programs that fetch ahead.",
        ("track_opens", "track_clicks", "track_clicks_text", "honeypot", "privacy"),
    ),
    (
        "Parameters on links",
        "For web analytics, in HTML, and in text whose links are rewritten. A message may say others.",
        tuple(
            f"utm_{name}" for name in ("source", "medium", "campaign", "term", "content", "domains")
        ),
    ),
    (
        "Unsubscribing",
        "Mail of a subscribed list always has a way out.",
        ("unsubscribe", "own_unsubscribe"),
    ),
    ("Recipients", "", ("bcc_own_to", "suppressed_reply")),
    (
        "Campaigns",
        "New messages are counted by the policy; a campaign code in a message goes before it.",
        ("aggregation", "timezone"),
    ),
    ("Providers and notices", "", ("feedback_id", "notices")),
)
_MOST_HINTS = 5
_SAMPLE = "<p>Here stands what the sender wrote.</p>"


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of the form: what it says now, and what is wrong with it ("" for nothing)."""

    setting: ListSetting
    text: str
    is_default: bool
    error: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """The words to choose from; none: it is typed."""
        return ("on", "off") if isinstance(self.setting.default, bool) else self.setting.choices


@dataclass(frozen=True, slots=True)
class Group:
    """Settings that belong together."""

    title: str
    text: str
    settings: Sequence[Setting]


class ListPages:
    """The lists, and one list."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show_all(self, visit: Visit) -> Response:
        """All lists."""
        accounts = self._shell.ports.accounts
        lists, users = await accounts.lists(visit.scope), await accounts.users(visit.scope)
        names = {one.id: one.name for one in await visible_accounts(visit, accounts)}
        rows = [
            {
                "list": one,
                "account": names.get(one.account_id, ""),
                "users": [user.username for user in users if user.list_id == one.id],
                "settings": effective(one.settings),
            }
            for one in sorted(lists, key=lambda one: (names.get(one.account_id, ""), one.name))
        ]
        return self._shell.show(visit, "lists", {"rows": rows, "accounts": names})

    async def show(self, visit: Visit) -> Response:
        """One list with its form."""
        mail_list = await self._list(visit)
        return await self._page(visit, mail_list, {}, {}, HTTPStatus.OK)

    async def save(self, visit: Visit) -> Response:
        """Keep what was changed, if all of it is in order."""
        check_may_change(visit, "a list")
        mail_list = await self._list(visit)
        given = _given(visit.asked.form)
        changes, errors = _changes(mail_list, given)
        if errors:
            return await self._page(visit, mail_list, given, errors, HTTPStatus.BAD_REQUEST)
        for key, value in changes.items():
            await self._shell.ports.accounts.set_list(mail_list.id, key, value)
        return self._shell.go(f"/lists/{mail_list.id}?saved={len(changes)}")

    async def preview(self, visit: Visit) -> Response:
        """Header and footer around a sample, as they are saved or (POST) as they stand."""
        mail_list = await self._list(visit)
        settings = effective(mail_list.settings) | _given(visit.asked.form)
        document = (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Preview</title>'
            f"</head><body>{fragment(settings['header_html'])}{_SAMPLE}"
            f"{fragment(settings['footer_html'])}</body></html>"
        )
        return Response(document.encode("utf-8", "replace"), csp=MAIL_CSP)

    async def _list(self, visit: Visit) -> MailList:
        return await list_of(visit, self._shell.ports.accounts, visit.parameters["id"])

    async def _page(
        self,
        visit: Visit,
        mail_list: MailList,
        given: Mapping[str, str],
        errors: Mapping[str, str],
        status: HTTPStatus,
    ) -> Response:
        accounts = self._shell.ports.accounts
        users = await accounts.users(mail_list.account_id)
        names = {one.id: one.name for one in await visible_accounts(visit, accounts)}
        settings = effective(mail_list.settings)
        values = {
            "list": mail_list,
            "account": names.get(mail_list.account_id, ""),
            "users": [user for user in users if user.list_id == mail_list.id],
            "groups": _groups(mail_list, given, errors),
            "settings": settings,
            "errors": len(errors),
            "may_change": may_change(visit),
            "saved": _number(visit.asked.query.get("saved", "")),
            "hints": await self._hints(mail_list, visit.now),
            "link_fault": self._link_fault(mail_list),
        }
        return self._shell.show(visit, "list", values, status)

    def _link_fault(self, mail_list: MailList) -> str:
        """Why recipients cannot follow the links of this list's mail; "" where they can."""
        settings, now = self._shell.settings, effective(mail_list.settings)
        has_links = mail_list.stream is Stream.SUBSCRIBED or any(now[key] for key in LINKING)
        return fault_of(settings.tracking_url) if has_links and not settings.trial else ""

    async def _hints(self, mail_list: MailList, now: float) -> Sequence[LearntPattern]:
        """The patterns of most messages."""
        try:
            found = (await self._shell.ports.accounts.learn(mail_list.id, now)).patterns
        except STORE_ERRORS:  # it cannot be written to: what was known is shown
            found = mail_list.learnt
        return sorted(found, key=lambda one: -one.messages)[:_MOST_HINTS]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else None


def _given(form: Mapping[str, str]) -> dict[str, str]:
    """The settings of a form; line ends as they are typed, not as HTML sends them."""
    return {key: form[key].replace("\r\n", "\n") for key in SETTINGS if key in form}


def _changes(
    mail_list: MailList, given: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What differs from what holds now, and what is wrong."""
    now = effective(mail_list.settings)
    changes: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for key, text in given.items():
        setting = SETTINGS[key]
        if text == setting.written(now[key]):
            continue
        try:
            value = read(key, text)
        except UsageError as error:
            errors[key] = str(error)
            continue
        changes[key] = None if value == setting.default else value
    return changes, errors


def _groups(
    mail_list: MailList, given: Mapping[str, str], errors: Mapping[str, str]
) -> list[Group]:
    now = effective(mail_list.settings)
    left = dict.fromkeys(SETTINGS)
    groups = []
    for title, text, keys in _GROUPS:
        known = [key for key in keys if key in left]
        groups.append((title, text, known))
        for key in known:
            del left[key]
    if left:
        groups.append(("More", "", list(left)))
    return [
        Group(
            title,
            text,
            [
                Setting(
                    SETTINGS[key],
                    given.get(key, SETTINGS[key].written(now[key])),
                    mail_list.settings.get(key) is None,
                    errors.get(key, ""),
                )
                for key in keys
            ],
        )
        for title, text, keys in groups
    ]
