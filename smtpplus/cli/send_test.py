"""``send-test``: a message through the running service, over SMTP, and what became of it.

Guarantees: the credential it makes for itself works only while it runs, and TLS is checked
against the very certificate of the configuration. Exit status 0 when every recipient's
delivery succeeded in the time that was given.
"""

from __future__ import annotations

import re
import secrets
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate, make_msgid
from typing import Any

import click

from smtpplus.cli.addresses import mail_address
from smtpplus.cli.context import Context, command, pass_context
from smtpplus.cli.messages import story
from smtpplus.config import Config, Endpoint
from smtpplus.installation import Installation, run
from smtpplus.ports import DeliveryRow
from smtpplus.trial import TRIAL_DOMAIN, new_credential
from smtpplus.values.errors import NotFoundError, SmtpplusError, UsageError, reason
from smtpplus.values.ids import parse_id
from smtpplus.values.message import DeliveryState
from smtpplus.values.submission import MailList, SmtpUser, UserStatus

__all__ = ["send_test_command"]

_CONNECT_SECONDS = 10.0
_KNOWN_SECONDS = 5.0  # by when the running service knows a new credential: 2 s and some room
_LOOK_SECONDS = 0.2
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # with all that ends a line
_SANDBOX_RECIPIENT = "you@example.net"


@dataclass(frozen=True, slots=True)
class _Login:
    username: str
    password: str
    is_new: bool = False


@command("send-test")
@click.option("--to", "recipients", multiple=True, help="Recipient; may be repeated.")
@click.option("--from", "sender", help="Sender; default: hello@ the first verified domain.")
@click.option("--list", "list_name", help="The list to send by; default: the only one, or default.")
@click.option("--user", "username", help="An SMTP user; default: one that lives as long as this.")
@click.option("--password", help="Its password.", envvar="SMTPPLUS_PASSWORD")
@click.option("--subject", default="A first message", show_default=True)
@click.option(
    "--wait", default=20.0, show_default=True, help="Seconds to wait for the outcome.", type=float
)
@pass_context
def send_test_command(
    context: Context,
    recipients: tuple[str, ...],
    sender: str | None,
    list_name: str | None,
    username: str | None,
    password: str | None,
    subject: str,
    wait: float,
) -> int:
    """Send a message through the running service and tell its fate."""
    if (username is None) != (password is None):
        raise click.UsageError("--user and --password go together.")
    if _CONTROL.search(subject):
        raise UsageError("--subject: expected one line without control characters.")
    to = [mail_address(one).wire for one in recipients or _default_recipients(context.config)]
    with context.installation() as opened:
        user = None if username is None else _user(opened, username)
        mail_list = _list(opened, list_name, user)
        origin = mail_address(sender).wire if sender else _default_sender(opened, mail_list, user)
        given = _Login(username, password) if username and password else None
        with _credential(opened, mail_list, given) as login:
            reply = _submit(context.config, login, _message(origin, to, subject), to)
        identifier = reply.rpartition(" ")[2]
        message_id = parse_id(identifier)
        if message_id is None:
            raise SmtpplusError(f"The service's reply names no message: {reply}")
        if not context.as_json:
            click.echo(f"{identifier}  accepted: {reply}")
        deliveries = _wait_for(opened, message_id, time.monotonic() + wait)
        found = story(opened, message_id)
    if context.as_json:
        context.show(found)
    else:
        for row in found["deliveries"]:
            click.echo(f"{row['recipient']}  {row['state']}: {row['reply'] or 'not tried yet'}")
        context.note(f"More: smtpplus message show {identifier}")
    fine = all(one.state is DeliveryState.DELIVERED for one in deliveries)
    return 0 if fine and deliveries else 1


def _default_recipients(config: Config) -> tuple[str, ...]:
    if config.relay.deliver != "sandbox":
        raise click.UsageError("Say whom to mail with --to: this installation delivers for real.")
    return (_SANDBOX_RECIPIENT,)


def _user(opened: Installation, username: str) -> SmtpUser:
    found = run(opened.accounts.user_by_name(username))
    if found is None:
        raise NotFoundError(f"There is no SMTP user {username}; see `smtpplus user list`.")
    return found


def _list(opened: Installation, name: str | None, user: SmtpUser | None) -> MailList:
    wanted = None if name is None else run(opened.accounts.list_by_name(name))
    found = run(opened.accounts.lists(None))
    if user is not None:
        if wanted is not None and wanted.id != user.list_id:
            raise UsageError(f"{user.username} is a user of another list than {name}.")
        found = [one for one in found if one.id == user.list_id]
    if wanted is not None:
        return wanted
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError("There is no list yet; see `smtpplus list add --help`.")
    chosen = [one for one in found if one.name == "default"]
    if len(chosen) != 1:
        raise UsageError("Say by which list with --list; see `smtpplus list list`.")
    return chosen[0]


def _default_sender(opened: Installation, mail_list: MailList, user: SmtpUser | None) -> str:
    domains = [
        one.domain
        for one in run(opened.accounts.sender_domains(mail_list.account_id))
        if one.verified_at is not None
    ]
    if user is not None and user.domains:
        domains = [one for one in domains if one in user.domains]
    if not domains:
        raise UsageError("No sender domain is verified yet; see `smtpplus domain add --help`.")
    return f"hello@{TRIAL_DOMAIN if TRIAL_DOMAIN in domains else domains[0]}"


def _message(sender: str, recipients: list[str], subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message.set_content(
        "This message went through smtpplus: submitted over SMTP, kept, signed, delivered.\n"
    )
    return message


@contextmanager
def _credential(
    opened: Installation, mail_list: MailList, given: _Login | None
) -> Iterator[_Login]:
    """`given`, or a user of our own that is switched off again afterwards."""
    if given is not None:
        yield given
        return
    username = f"send-test-{mail_list.id}"
    password, verifier = new_credential(secrets.token_bytes)
    changes: dict[str, Any] = {"verifier": verifier, "status": UserStatus.ACTIVE}
    if run(opened.accounts.user_by_name(username)) is None:
        run(opened.accounts.add_user(mail_list.id, username, verifier, (), (), time.time()))
    else:
        run(opened.accounts.set_user(username, changes))
    try:
        yield _Login(username, password, is_new=True)
    finally:
        run(opened.accounts.set_user(username, {"status": UserStatus.OFF}))


def _submit(config: Config, login: _Login, message: EmailMessage, recipients: list[str]) -> str:
    """Send; the text of the final reply. Retries AUTH until the service knows a new credential."""
    known_by = time.monotonic() + (_KNOWN_SECONDS if login.is_new else 0.0)
    while True:
        try:
            with _connect(config) as client:
                _sign_in(client, login)
                return _transaction(client, message, recipients)
        except smtplib.SMTPAuthenticationError as error:
            if time.monotonic() > known_by:
                raise _refused(error.smtp_code, error.smtp_error) from error
            time.sleep(_LOOK_SECONDS)
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error) from error
        except (smtplib.SMTPException, ssl.SSLError) as error:
            raise SmtpplusError(f"The service did not take the message: {error}") from error


def _sign_in(client: smtplib.SMTP, login: _Login) -> None:
    """By PLAIN alone: `login` goes on to other mechanisms, each of which would be a failure."""
    client.ehlo_or_helo_if_needed()
    client.user, client.password = login.username, login.password
    client.auth("PLAIN", client.auth_plain)


def _refused(code: int, text: bytes | str) -> SmtpplusError:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return SmtpplusError(f"The service refused: {code} {said}")


def _connect(config: Config) -> smtplib.SMTP:
    submission = config.submission
    with_tls = submission.certificate is not None
    listening = submission.listen or submission.listen_tls
    if not listening:
        raise UsageError("[submission] listens nowhere: see listen and listen_tls.")
    where = listening[0]
    if where.port == 0:
        raise UsageError(f"[submission] listens on a port of the kernel's choice ({where}).")
    try:
        if not submission.listen:
            return _checked(
                config,
                smtplib.SMTP_SSL(*_reachable(where), timeout=_CONNECT_SECONDS, context=_tls()),
            )
        client = smtplib.SMTP(*_reachable(where), timeout=_CONNECT_SECONDS)
    except OSError as error:
        raise SmtpplusError(
            f"Nothing answers on {where}: {reason(error)}. Is `twistd smtpplus` running?"
        ) from error
    if not with_tls:
        return client
    client.starttls(context=_tls())
    return _checked(config, client)


def _reachable(where: Endpoint) -> tuple[str, int]:
    """Where a client on this machine connects to."""
    every = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
    return every.get(where.host, where.host), where.port


def _tls() -> ssl.SSLContext:
    """A context that trusts nobody's word: `_checked` compares the certificate itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _checked(config: Config, client: smtplib.SMTP) -> smtplib.SMTP:
    """Is it our own service that answered? Its certificate is on our disk."""
    assert config.submission.certificate is not None
    assert isinstance(client.sock, ssl.SSLSocket)
    own = ssl.PEM_cert_to_DER_cert(_first_pem(config.submission.certificate.read_text("ascii")))
    if client.sock.getpeercert(binary_form=True) != own:
        client.close()
        raise SmtpplusError(
            f"Another certificate than {config.submission.certificate} answered: is that another "
            "service on the port, or was the file replaced within the last minute?"
        )
    return client


def _first_pem(text: str) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = text.find(begin)
    return text[start : text.find(end, start) + len(end)]


def _transaction(client: smtplib.SMTP, message: EmailMessage, recipients: list[str]) -> str:
    policy, options = SMTP, []
    if not all(one.isascii() for one in (message["From"], *recipients)):  # RFC 6531 §3.4
        policy, options = SMTPUTF8, ["SMTPUTF8"]
        client.command_encoding = "utf-8"
    code, text = client.mail(message["From"], options)
    for recipient in recipients:
        if code < 400:
            code, text = client.rcpt(recipient)
    if code < 400:
        code, text = client.data(message.as_bytes(policy=policy))
    if code >= 400:
        raise smtplib.SMTPResponseException(code, text)
    return text.decode("utf-8", "replace")


def _wait_for(opened: Installation, message_id: int, until: float) -> list[DeliveryRow]:
    """The deliveries once all are over or were tried, at most until then (monotonic seconds)."""
    while True:
        found = list(run(opened.history.deliveries(message_id)))
        busy = [one for one in found if not one.state.is_final and one.attempts == 0]
        if (found and not busy) or time.monotonic() > until:
            return found
        time.sleep(_LOOK_SECONDS)
