"""A person's own settings: who they are here, and their password.

Guarantees: a new password needs the old one where there is one, and ends all other sessions of
the person. Raises `PageError` 429 as signing in does.
"""

from __future__ import annotations

from http import HTTPStatus

from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.pages.sign_in import PasswordDesk
from smtpplus.web.sessions import hash_password, open_session
from smtpplus.web.shell import Shell

__all__ = ["SettingsPage"]

_LEAST_PASSWORD = 10
_MOST_PASSWORD = 1024


class SettingsPage:
    """Who one is, and the password."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._desk = PasswordDesk(shell)

    async def show(self, visit: Visit) -> Response:
        """The page."""
        return await self._page(visit, "", HTTPStatus.OK)

    async def set_password(self, visit: Visit) -> Response:
        """Keep a new password."""
        ports, person, form = self._shell.ports, visit.who, visit.asked.form
        new = form.get("new", "")
        if problem := _problem(new, form.get("again", ""), person.email):
            return await self._page(visit, problem, HTTPStatus.BAD_REQUEST)
        if person.has_password:
            try:
                checked = await self._desk.check(
                    visit.asked.client_ip, person.email, form.get("current", "")
                )
            except PageError as error:
                return await self._page(visit, error.text, error.status, error.headers)
            if checked is None:
                text = "The current password is wrong. Nothing was changed."
                return await self._page(visit, text, HTTPStatus.FORBIDDEN)
        await ports.people.set_password(person.id, await ports.workers.run(hash_password, new))
        cookie = await open_session(
            ports.people, person, visit.now, ports.random, self._shell.settings
        )
        return self._shell.go("/settings?saved=1", cookie)

    async def _page(
        self,
        visit: Visit,
        error: str,
        status: HTTPStatus,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        accounts = await self._shell.ports.accounts.accounts()
        names = [account.name for account in accounts if account.id == visit.who.account_id]
        values = {
            "error": error,
            "saved": visit.asked.query.get("saved") == "1",
            "account": names[0] if names else "",
            "least": _LEAST_PASSWORD,
        }
        return self._shell.show(visit, "settings", values, status, headers)


def _problem(new: str, again: str, email: str) -> str:
    if len(new) < _LEAST_PASSWORD:
        return f"The new password is too short: use at least {_LEAST_PASSWORD} characters."
    if len(new) > _MOST_PASSWORD:
        return f"The new password is too long: use at most {_MOST_PASSWORD} characters."
    if new.lower() == email.lower():
        return "The new password is your e-mail address: choose another one."
    if new != again:
        return "The two new passwords differ. Type the same one twice."
    return ""
