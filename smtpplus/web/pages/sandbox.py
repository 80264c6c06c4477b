"""The sandbox mailbox: the mail a trial "delivered", as its recipients would see it.

Guarantees: a mail's HTML is served as a document that may do nothing (Content-Security-Policy
``sandbox``: no script, no form, no plug-in, an origin of its own; nothing is loaded from
elsewhere), its source as plain text. Raises `PageError` 404, also where there is no sandbox or
the person may not see it.
"""

from __future__ import annotations

from http import HTTPStatus

from smtpplus.message.preview import preview
from smtpplus.ports import ISandbox, SandboxMail
from smtpplus.values.ids import parse_id, show_id
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.pages.messages import MOST_SEARCH
from smtpplus.web.shell import Shell
from smtpplus.web.templates import inert

__all__ = ["MAIL_CSP", "SandboxPages"]

MAIL_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_ROWS = 50
_SHOWN_SOURCE = 48 * 1024
_VIEWS = (("html", "HTML"), ("text", "Text"), ("headers", "Headers"), ("source", "Source"))


class SandboxPages:
    """List, mail, HTML, source."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show_list(self, visit: Visit) -> Response:
        """Newest first."""
        query = visit.asked.query
        search = query.get("q", "").strip()[:MOST_SEARCH]
        before = parse_id(query.get("before", ""))
        mails = await self._sandbox(visit).mails(search, before, _ROWS + 1)
        values = {
            "mails": mails[:_ROWS],
            "search": search,
            "is_first": before is None,
            "older": show_id(mails[_ROWS - 1].id) if len(mails) > _ROWS else "",
        }
        return self._shell.show(visit, "sandbox", values)

    async def show_mail(self, visit: Visit) -> Response:
        """One mail."""
        mail = await self._mail(visit)
        content = mail.content or b""
        seen = await self._shell.ports.workers.run(preview, content)
        views = _VIEWS if seen.html else _VIEWS[1:]
        wanted = visit.asked.query.get("view")
        values = {
            "mail": mail,
            "seen": seen,
            "views": views,
            "view": wanted if wanted in dict(views) else views[0][0],
            "source": content[:_SHOWN_SOURCE].decode("utf-8", "replace"),
            "is_cut": len(content) > _SHOWN_SOURCE,
        }
        return self._shell.show(visit, "sandbox_mail", values)

    async def html(self, visit: Visit) -> Response:
        """The HTML part, for the frame."""
        content = (await self._mail(visit)).content or b""
        seen = await self._shell.ports.workers.run(preview, content)
        if not seen.html:
            raise PageError(HTTPStatus.NOT_FOUND, "This mail has no HTML part.")
        return Response(seen.html.encode("utf-8", "replace"), csp=MAIL_CSP)

    async def source(self, visit: Visit) -> Response:
        """What arrived, octet for octet, to be kept as a file; or to be read (``?view=1``)."""
        mail = await self._mail(visit)
        content = mail.content or b""
        if visit.asked.query.get("view") == "1":
            text = inert(content.decode("utf-8", "replace").replace("\r\n", "\n"))
            return Response(
                text.encode("utf-8", "replace"),
                content_type="text/plain; charset=utf-8",
                csp=MAIL_CSP,
            )
        name = f'attachment; filename="{show_id(mail.id)}.eml"'
        return Response(
            content,
            content_type="application/octet-stream",
            headers=(("Content-Disposition", name),),
            csp=MAIL_CSP,
        )

    def _sandbox(self, visit: Visit) -> ISandbox:
        sandbox = self._shell.ports.sandbox
        if sandbox is None or not visit.sees_sandbox:
            raise PageError(HTTPStatus.NOT_FOUND, "There is no sandbox to be seen here.")
        return sandbox

    async def _mail(self, visit: Visit) -> SandboxMail:
        identifier = parse_id(visit.parameters["id"])
        sandbox = self._sandbox(visit)
        mail = await sandbox.mail(identifier) if identifier is not None else None
        if mail is None:
            raise PageError(
                HTTPStatus.NOT_FOUND,
                "There is no such mail. The sandbox keeps the newest ones only.",
            )
        return mail
