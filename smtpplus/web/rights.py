"""Who may change something on the pages; whose account it is, and which list is meant.

Guarantees: an analyst changes nothing; what belongs to another account is not found (404), not
forbidden. Raises `PageError`.
"""

from __future__ import annotations

from http import HTTPStatus

from smtpplus.ports import IAccounts
from smtpplus.values.submission import Account, MailList, Role
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError

__all__ = [
    "account_of",
    "check_is_operator",
    "check_may_change",
    "is_operator",
    "list_of",
    "may_change",
    "visible_accounts",
]

_MOST_DIGITS = 18


def may_change(visit: Visit) -> bool:
    """May this person change things? Owners in their account, operators everywhere."""
    return visit.person is not None and visit.person.role in {Role.OWNER, Role.OPERATOR}


def check_may_change(visit: Visit, what: str) -> None:
    """Refuse (403) whoever only reads, or has no account; `what` is what was to be changed."""
    _ = visit.scope
    if not may_change(visit):
        raise PageError(
            HTTPStatus.FORBIDDEN,
            f"Your role reads the pages. Ask an owner of the account to change {what}.",
        )


def is_operator(visit: Visit) -> bool:
    """Does this person look after the whole installation?"""
    return visit.person is not None and visit.person.role is Role.OPERATOR


def check_is_operator(visit: Visit, what: str) -> None:
    """Refuse (403) everybody but operators; `what` is what was to be done."""
    check_may_change(visit, what)
    if not is_operator(visit):
        raise PageError(
            HTTPStatus.FORBIDDEN,
            f"Only an operator may change {what}. Ask whoever runs this installation.",
        )


async def visible_accounts(visit: Visit, accounts: IAccounts) -> list[Account]:
    """The accounts this person sees, by name."""
    scope = visit.scope
    return [one for one in await accounts.accounts() if scope is None or one.id == scope]


async def account_of(visit: Visit, accounts: IAccounts, given: str) -> int:
    """The account a form is about: the person's own; of an operator the one `given`."""
    scope = visit.scope
    if scope is not None:
        return scope
    known = await accounts.accounts()
    found = next((one.id for one in known if str(one.id) == given), None)
    if found is None and not given and len(known) == 1:
        found = known[0].id
    if found is None:
        raise PageError(HTTPStatus.BAD_REQUEST, "Choose the account it is about.")
    return found


async def list_of(visit: Visit, accounts: IAccounts, given: str) -> MailList:
    """The list with this id."""
    scope = visit.scope
    if given.isascii() and given.isdecimal() and len(given) <= _MOST_DIGITS:
        found = await accounts.list_by_id(int(given))
        if found is not None and (scope is None or found.account_id == scope):
            return found
    raise PageError(HTTPStatus.NOT_FOUND, "There is no such list.")
