"""Signing in and out: by e-mail and password, or by a one-time link.

A link's page only has a button; the POST behind it uses the link up, so a scanner that looks at
links burns none. Guarantees: passwords are tried under `rules.throttle`, at most three at once
from one address; the page does not tell whether an e-mail address is known; after signing in one
lands on a page of ours, never elsewhere.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from http import HTTPStatus

from smtpplus.rules.throttle import AuthThrottle, address_group
from smtpplus.values.submission import Person
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.sessions import (
    SESSION_COOKIE,
    check_password,
    cookie_name,
    hash_token,
    open_session,
    set_cookie,
)
from smtpplus.web.shell import Shell

__all__ = ["PasswordDesk", "SignInPages"]

_MOST_AT_ONCE = 3
_MOST_EMAIL = 254
_MOST_PASSWORD = 1024
_OWN_PATH = re.compile(r"/(?![/\\])[A-Za-z0-9/_.~-]*")


class PasswordDesk:
    """Checks passwords, slowly enough for nobody to guess one."""

    def __init__(self, shell: Shell) -> None:
        self._ports = shell.ports
        self._throttle = AuthThrottle()
        self._trying: Counter[str] = Counter()

    async def check(self, ip: str, email: str, password: str) -> Person | None:
        """The person whose e-mail address and password these are.

        Raises:
            PageError: 429, too many tries.
        """
        self._wait(ip, email)
        group = address_group(ip)
        self._trying[group] += 1
        try:
            found = await self._ports.people.password_hash(email)
            stored = found[1] if found else None
            is_right = len(password) <= _MOST_PASSWORD and await self._ports.workers.run(
                check_password, password, stored
            )
        finally:
            self._trying[group] -= 1
            if not self._trying[group]:
                del self._trying[group]
        now = self._ports.clock.monotonic()
        if found is None or not is_right:
            self._throttle.failed(ip, email, now)
            return None
        self._throttle.succeeded(ip, email, now)
        return found[0]

    def _wait(self, ip: str, email: str) -> None:
        seconds = self._throttle.wait_seconds(ip, email, self._ports.clock.monotonic())
        if self._trying[address_group(ip)] >= _MOST_AT_ONCE:
            seconds = max(seconds, 1.0)
        if seconds > 0:
            whole = math.ceil(seconds)
            span = f"{whole} s" if whole < 120 else f"{math.ceil(whole / 60)} min"
            raise PageError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"Too many tries. Wait {span}, then try again.",
                (("Retry-After", str(whole)),),
            )


class SignInPages:
    """The ways in, and the way out."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._desk = PasswordDesk(shell)

    async def ask(self, visit: Visit) -> Response:
        """The form."""
        target = _own_path(visit.asked.query.get("next", ""))
        if visit.person is not None:
            return self._shell.go(target)
        return self._form(visit, target, "", "", HTTPStatus.OK)

    async def by_password(self, visit: Visit) -> Response:
        """The form, filled in."""
        form = visit.asked.form
        email, target = form.get("email", "").strip(), _own_path(form.get("next", ""))
        try:
            person = None
            if 0 < len(email) <= _MOST_EMAIL:
                person = await self._desk.check(
                    visit.asked.client_ip, email, form.get("password", "")
                )
        except PageError as error:
            return self._form(visit, target, email, error.text, error.status, error.headers)
        if person is None:
            text = "E-mail address or password is wrong."
            return self._form(visit, target, email, text, HTTPStatus.FORBIDDEN)
        return await self._let_in(visit, person, target)

    async def offer_link(self, visit: Visit) -> Response:
        """The button behind which a one-time link works; looking at it changes nothing."""
        return self._shell.show(visit, "sign_in_link", {"token": visit.parameters["token"]})

    async def by_link(self, visit: Visit) -> Response:
        """Use a one-time link up."""
        token = hash_token(visit.parameters["token"])
        person = await self._shell.ports.people.use_sign_in(token, visit.now)
        if person is None:
            raise PageError(
                HTTPStatus.FORBIDDEN,
                "This link has been used already, or has expired. Sign in with your password, or "
                "ask whoever runs this installation for a new link.",
            )
        return await self._let_in(visit, person, "/")

    async def sign_out(self, visit: Visit) -> Response:
        """End the session."""
        settings = self._shell.settings
        token = visit.asked.cookies.get(cookie_name(settings, SESSION_COOKIE), "")
        await self._shell.ports.people.end_session(hash_token(token))
        return self._shell.go("/sign-in", set_cookie(settings, SESSION_COOKIE, "", 0))

    async def _let_in(self, visit: Visit, person: Person, target: str) -> Response:
        ports = self._shell.ports
        cookie = await open_session(
            ports.people, person, visit.now, ports.random, self._shell.settings
        )
        return self._shell.go(target, cookie)

    def _form(
        self,
        visit: Visit,
        target: str,
        email: str,
        error: str,
        status: HTTPStatus,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        values = {"target": target, "email": email, "error": error}
        return self._shell.show(visit, "sign_in", values, status, headers)


def _own_path(text: str) -> str:
    return text if _OWN_PATH.fullmatch(text) else "/"
