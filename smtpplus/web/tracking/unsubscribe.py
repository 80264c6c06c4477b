"""The unsubscribe page and the one-click POST: ``/u/<token>``.

GET and HEAD show and change nothing, so that no program that looks at links unsubscribes anyone
(UN2). POST works without cookies and without the page, from a mailbox provider's button
(RFC 8058 §3.2) as well as from the page's form, and answers when the change is committed (UN1).
The token is the right to do this; it can only be had from the mail, so there is no other
protection of the form.

Guarantees: 200 for what was done, also when it was done before, and never a redirect; 404 for a
token that is not ours, 410 for one that is too old, 429, and 503 while the store is away: in
these nothing was changed. The address is shown masked: mails are forwarded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from twisted.logger import Logger

from smtpplus.message.token import Token, TokenError, TokenFault
from smtpplus.message.tracking_urls import read_unsubscribe
from smtpplus.ports import SubscriptionRow
from smtpplus.rules.address_rates import AddressRates
from smtpplus.values.errors import STORE_ERRORS, NotFoundError
from smtpplus.values.response import Response as Said
from smtpplus.values.response import ResponseKind
from smtpplus.web.context import TrackingPorts, Visit
from smtpplus.web.exchange import Asked, Response
from smtpplus.web.shell import Shell
from smtpplus.web.tracking.hits import known_address
from smtpplus.web.tracking.phrases import LANGUAGES, REASONS, language_for

__all__ = ["UnsubscribePages"]

_STYLE = "unsubscribe.css"
_CSP = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_RATE, _BURST = 20.0, 300  # of one address: a mailbox provider asks for all its people
_ONE_CLICK = ("list-unsubscribe", "one-click")  # RFC 8058 §3.2


@dataclass(frozen=True, slots=True)
class _Situation:
    """Whom the token names, and what they subscribe to."""

    token: Token
    address: str
    list_name: str
    subscriptions: tuple[SubscriptionRow, ...]

    @property
    def is_active(self) -> bool:
        """Is the mail's own list subscribed to? Whoever was never asked is."""
        mine = self.token.facts.list_id
        return all(one.is_active for one in self.subscriptions if one.list_id == mine)

    @property
    def others(self) -> list[SubscriptionRow]:
        """The other lists that have written to the address."""
        mine = self.token.facts.list_id
        return [one for one in self.subscriptions if one.list_id != mine]


class _NoteError(Exception):
    """A page that says why nothing was done: the phrase's name and the status."""

    def __init__(self, phrase: str, status: HTTPStatus, wait_seconds: int = 0) -> None:
        super().__init__(phrase)
        self.phrase = phrase
        self.status = status
        self.wait_seconds = wait_seconds


class UnsubscribePages:
    """``/u/``: the page, its style sheet, and what its buttons do."""

    _log = Logger()

    def __init__(self, shell: Shell, ports: TrackingPorts) -> None:
        self._shell = shell
        self._tokens = ports.tokens
        self._responses = ports.responses
        self._recipients = shell.ports.recipients
        self._rates = AddressRates(_RATE, _BURST)

    async def style(self, visit: Visit) -> Response:
        """The style sheet, beside the page: a tracking host may be sent on ``/u/`` alone."""
        return self._shell.static.answer(_STYLE, visit.asked)

    async def show(self, visit: Visit) -> Response:
        """The page: a button to unsubscribe, or one to undo it."""
        return await self._answered(visit, self._show)

    async def change(self, visit: Visit) -> Response:
        """One-click, or a button of the page."""
        return await self._answered(visit, self._change)

    async def _answered(
        self, visit: Visit, work: Callable[[Visit, Token], Awaitable[Response]]
    ) -> Response:
        try:
            self._check_rate(visit.asked.client_ip)
            token = self._read(visit)
            try:
                return await work(visit, token)
            except NotFoundError as error:
                raise _NoteError("old", HTTPStatus.GONE) from error
            except STORE_ERRORS as error:
                self._log.warn("an unsubscribe waits, the store is away: {error}", error=str(error))
                raise _NoteError("busy", HTTPStatus.SERVICE_UNAVAILABLE, 60) from error
        except _NoteError as note:
            return self._note(visit.asked, note)

    def _check_rate(self, ip: str) -> None:
        if self._rates.wait_seconds(ip, self._shell.ports.clock.monotonic()):
            raise _NoteError("many", HTTPStatus.TOO_MANY_REQUESTS, 60)

    def _read(self, visit: Visit) -> Token:
        try:
            return read_unsubscribe(self._tokens, visit.parameters["token"], visit.now)
        except TokenError as error:
            if error.fault is TokenFault.EXPIRED:
                raise _NoteError("old", HTTPStatus.GONE) from error
            raise _NoteError("broken", HTTPStatus.NOT_FOUND) from error

    # ------------------------------------------------ looking

    async def _show(self, visit: Visit, token: Token) -> Response:
        situation = await self._situation(token)
        return await self._page(visit.asked, situation, "ask" if situation.is_active else "done")

    async def _situation(self, token: Token) -> _Situation:
        facts = token.facts
        found = await self._responses.delivery(facts.message_id, facts.delivery_id)
        if found is None:
            raise _NoteError("old", HTTPStatus.GONE)
        address, list_name, _ = found
        rows = await self._recipients.recipient(facts.account_id, address)
        subscriptions = tuple(one for row in rows for one in row.subscriptions)
        return _Situation(token, address, list_name, subscriptions)

    # ------------------------------------------------ changing

    async def _change(self, visit: Visit, token: Token) -> Response:
        form = visit.asked.form
        if any((name.lower(), value.strip().lower()) == _ONE_CLICK for name, value in form.items()):
            return await self._one_click(visit, token)
        wish = form.get("do", "")
        if wish not in {"unsubscribe", "resubscribe"}:
            raise _NoteError("unclear", HTTPStatus.BAD_REQUEST)
        situation = await self._situation(token)
        list_id = _chosen_list(form.get("list", ""), situation)
        if list_id is None:
            raise _NoteError("unclear", HTTPStatus.BAD_REQUEST)
        if wish == "unsubscribe":
            said = form.get("reason", "")
            reason = f"page: {said}" if said in REASONS else "page"
            await self._responses.unsubscribe(await self._said(visit, token, list_id, reason))
        else:
            await self._responses.resubscribe(await self._said(visit, token, list_id, "page"))
        now = await self._situation(token)
        is_mine = list_id == token.facts.list_id
        shown = "ask" if is_mine and wish == "unsubscribe" else "back"
        return await self._page(visit.asked, now, shown if now.is_active else "done")

    async def _one_click(self, visit: Visit, token: Token) -> Response:
        said = await self._said(visit, token, token.facts.list_id, "one-click")
        await self._responses.unsubscribe(said)
        return Response(b"Unsubscribed.\n", content_type="text/plain; charset=utf-8", csp=_CSP)

    async def _said(self, visit: Visit, token: Token, list_id: int, reason: str) -> Said:
        facts = token.facts
        mail_list = await self._shell.ports.accounts.list_by_id(facts.list_id)
        is_private = mail_list is None or bool(mail_list.settings.get("privacy"))
        return Said(
            kind=ResponseKind.RESUBSCRIBED
            if visit.asked.form.get("do") == "resubscribe"
            else ResponseKind.UNSUBSCRIBED,
            at=visit.now,
            account_id=facts.account_id,
            list_id=list_id,
            message_id=facts.message_id,
            delivery_id=facts.delivery_id,
            client_ip="" if is_private else known_address(visit.asked.client_ip),
            agent="" if is_private else visit.asked.agent,
            reason=reason,
        )

    # ------------------------------------------------ what is shown

    async def _page(self, asked: Asked, situation: _Situation, state: str) -> Response:
        accounts = await self._shell.ports.accounts.accounts()
        wanted = situation.token.facts.account_id
        values = {
            "state": state,
            "account_name": next((one.name for one in accounts if one.id == wanted), ""),
            "list_name": situation.list_name,
            "address": _masked(situation.address),
            "others": situation.others,
            "reasons": REASONS,
        }
        return self._render(asked, values, HTTPStatus.OK)

    def _note(self, asked: Asked, note: _NoteError) -> Response:
        headers = (("Retry-After", str(note.wait_seconds)),) if note.wait_seconds else ()
        values = {"state": "note", "account_name": "", "phrase": note.phrase}
        return self._render(asked, values, note.status, headers)

    def _render(
        self,
        asked: Asked,
        values: Mapping[str, object],
        status: HTTPStatus,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        language = language_for(asked.languages)
        style = self._shell.static.url(_STYLE).rpartition("?")[2]
        everything = {
            "t": LANGUAGES[language],
            "language": language,
            "style": f"page.css?{style}",
            **values,
        }
        body = self._shell.render("unsubscribe", everything)
        spoken = (("Content-Language", language), ("Vary", "Accept-Language"))
        return Response(body, status, headers=(*headers, *spoken), csp=_CSP)


def _chosen_list(text: str, situation: _Situation) -> int | None:
    """The mail's own list, or another one that has written to the address; None: neither."""
    mine = situation.token.facts.list_id
    if not text or text == str(mine):
        return mine
    return next((one.list_id for one in situation.others if str(one.list_id) == text), None)


def _masked(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"
