"""Between a request and its view: host, session, role, CSRF.

Guarantees: no view of a signed-in page runs without a person, and no POST runs without the CSRF
token of the session (of the form cookie where nobody is signed in), from a form of our own.
A `PageError` becomes a page; other exceptions pass. Does not know Twisted.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote

from smtpplus.ports import ISandbox
from smtpplus.values.submission import Person, Role
from smtpplus.web.context import Visit
from smtpplus.web.exchange import Asked, PageError, Response
from smtpplus.web.router import Access, Route, Router
from smtpplus.web.sessions import (
    FORM_COOKIE,
    SESSION_COOKIE,
    cookie_name,
    hash_token,
    new_token,
    set_cookie,
)
from smtpplus.web.shell import Shell

__all__ = ["Gate"]

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_FORM_SECONDS = 86_400


class Gate:
    """Answers requests by the routes of `router`."""

    def __init__(self, shell: Shell, router: Router[Visit]) -> None:
        self._shell = shell
        self._router = router

    async def answer(self, asked: Asked) -> Response:
        """The answer, an error's page included."""
        visit = Visit(asked=asked, now=self._shell.ports.clock.now(), csrf="")
        try:
            route, parameters = self._router.find(asked.method, asked.path)
        except PageError as error:
            return self._shell.show_error(await self._known(visit), error)
        visit = replace(visit, parameters=parameters)
        try:
            if route.access is Access.PROBE:
                return await route.view(visit)
            self._check_host(asked)
            visit = await self._known(visit)
            return await self._pass(route, visit)
        except PageError as error:
            return self._shell.show_error(visit, error)

    async def _pass(self, route: Route[Visit], visit: Visit) -> Response:
        if route.access is Access.SIGNED_IN and visit.person is None:
            return self._ask_to_sign_in(visit.asked)
        fresh = visit.person is None and not visit.csrf
        if visit.asked.method == "POST":
            _check_form(visit)
        if fresh:
            visit = replace(visit, csrf=new_token(self._shell.ports.random))
        response = await route.view(visit)
        if not fresh:
            return response
        cookie = set_cookie(self._shell.settings, FORM_COOKIE, visit.csrf, _FORM_SECONDS)
        return replace(response, cookies=(*response.cookies, cookie))

    async def _known(self, visit: Visit) -> Visit:
        """Who is it? The person and the CSRF token of the session, or the token of the form."""
        cookies = visit.asked.cookies
        token = cookies.get(cookie_name(self._shell.settings, SESSION_COOKIE), "")
        found = None
        if _TOKEN.fullmatch(token):
            found = await self._shell.ports.people.session(hash_token(token), visit.now)
        if found is not None:
            person, csrf = found
            sees = await self._sees_sandbox(person, self._shell.ports.sandbox)
            return replace(visit, person=person, csrf=csrf, sees_sandbox=sees)
        form = cookies.get(cookie_name(self._shell.settings, FORM_COOKIE), "")
        return replace(visit, csrf=form if _TOKEN.fullmatch(form) else "")

    async def _sees_sandbox(self, person: Person, sandbox: ISandbox | None) -> bool:
        """The sandbox keeps no accounts apart: where there are several it is the operator's."""
        if sandbox is None:
            return False
        if person.role is Role.OPERATOR:
            return True
        accounts = await self._shell.ports.accounts.accounts()
        return [account.id for account in accounts] == [person.account_id]

    def _ask_to_sign_in(self, asked: Asked) -> Response:
        if asked.is_live or asked.method not in {"GET", "HEAD"}:
            raise PageError(HTTPStatus.FORBIDDEN, "You are signed out. Sign in and try again.")
        if asked.path == "/":
            return self._shell.go("/sign-in")
        return self._shell.go(f"/sign-in?next={quote(asked.path, safe='/')}")

    def _check_host(self, asked: Asked) -> None:
        settings = self._shell.settings
        if asked.host and not settings.knows_host(asked.host):
            raise PageError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "There are no pages under this name. Whoever runs this service: pages are reached "
                "under the name in web.public_url alone.",
            )


def _check_form(visit: Visit) -> None:
    asked = visit.asked
    if not asked.is_form:
        raise PageError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only forms of these pages are taken here."
        )
    given = asked.form.get("csrf", "").encode("utf-8", "replace")
    is_ours = bool(visit.csrf) and hmac.compare_digest(given, visit.csrf.encode("utf-8"))
    if not is_ours or asked.fetch_site == "cross-site":
        raise PageError(
            HTTPStatus.FORBIDDEN,
            "This form is out of date or did not come from these pages. Go back, reload the page "
            "and try again; cookies must be allowed.",
        )
