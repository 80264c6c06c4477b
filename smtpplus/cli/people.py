"""``person``: add, list, sign-in, password."""

from __future__ import annotations

import secrets
import sys
import time
from typing import Any

import click

from smtpplus.cli.addresses import mail_address
from smtpplus.cli.context import Context, Group, moment, pass_context
from smtpplus.installation import Installation, run
from smtpplus.trial import sign_in_link
from smtpplus.values.errors import NotFoundError, UsageError
from smtpplus.values.submission import Person, Role
from smtpplus.web.sessions import hash_password

__all__ = ["person_command"]

_LEAST_PASSWORD = 12
_MOST_PASSWORD = 200


@click.group("person", cls=Group)
def person_command() -> None:
    """People who sign in to the web pages."""


@person_command.command("add")
@click.argument("email")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="owner: one account; analyst: reads one account; operator: the installation.",
)
@click.option("--account", help="The account; may be left out where there is only one.")
@click.option("--password", "with_password", is_flag=True, help="Read a password from stdin.")
@pass_context
def add(context: Context, email: str, role: str, account: str | None, with_password: bool) -> None:
    """Add a person; prints a one-time sign-in link, or takes a password."""
    address = str(mail_address(email))
    hashed = hash_password(_read_password()) if with_password else None
    now = time.time()
    with context.installation() as opened:
        account_id = None if role == Role.OPERATOR else _account_id(opened, account)
        person = run(opened.people.add_person(address, Role(role), account_id, hashed, now))
        link = None if hashed else sign_in_link(opened, person.email, now, secrets.token_bytes)
    context.show({"email": person.email, "role": role, "account": account, "sign_in": link})


@person_command.command("list")
@pass_context
def list_all(context: Context) -> None:
    """Everybody."""
    with context.installation() as opened:
        names = {one.id: one.name for one in run(opened.accounts.accounts())}
        found = run(opened.people.people())
    rows = [
        {
            "email": one.email,
            "role": one.role.value,
            "account": names.get(one.account_id) if one.account_id is not None else None,
            "has_password": one.has_password,
            "created": moment(one.created_at),
        }
        for one in found
    ]
    context.show_rows(("email", "role", "account", "has_password", "created"), rows)


@person_command.command("sign-in")
@click.argument("email")
@pass_context
def sign_in(context: Context, email: str) -> None:
    """Print a one-time link that signs EMAIL in; it works once, within 24 hours."""
    with context.installation() as opened:
        link = sign_in_link(opened, email, time.time(), secrets.token_bytes)
    context.show({"email": email, "sign_in": link}, link)


@person_command.command("password")
@click.argument("email")
@pass_context
def password(context: Context, email: str) -> None:
    """Set the password of EMAIL, read from stdin; ends all of that person's sessions."""
    with context.installation() as opened:
        person = _person(opened, email)
        hashed = hash_password(_read_password())
        run(opened.people.set_password(person.id, hashed))
    fields: dict[str, Any] = {"email": person.email, "has_password": True}
    context.show(fields, f"The password of {person.email} is set.")


def _read_password() -> str:
    if sys.stdin is None:
        raise UsageError("Give the password on standard input, which is closed.")
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        try:
            typed = sys.stdin.readline(_MOST_PASSWORD + 2).rstrip("\r\n")
            typed.encode()  # in a locale without letters octets come in as lone surrogates
        except UnicodeError as error:
            raise UsageError("The password on standard input is not in UTF-8.") from error
    if not _LEAST_PASSWORD <= len(typed) <= _MOST_PASSWORD:
        raise UsageError(
            f"A password has {_LEAST_PASSWORD} to {_MOST_PASSWORD} characters; a few unrelated "
            "words are easy to remember and hard to guess."
        )
    return typed


def _account_id(opened: Installation, name: str | None) -> int:
    found = run(opened.accounts.accounts())
    if name is None and len(found) == 1:
        return found[0].id
    if name is None:
        raise UsageError("Say which account with --account; see `smtpplus account list`.")
    for one in found:
        if one.name == name:
            return one.id
    raise NotFoundError(f"There is no account {name}; see `smtpplus account list`.")


def _person(opened: Installation, email: str) -> Person:
    for one in run(opened.people.people()):
        if one.email.lower() == email.strip().lower():
            return one
    raise NotFoundError(f"There is no person {email}; see `smtpplus person list`.")
