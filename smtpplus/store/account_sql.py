"""SQL of accounts, lists and SMTP users: functions that run inside a transaction.

Writers raise NotFoundError, ConflictError or UsageError, with a sentence for the person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from smtpplus.store.commits import Transaction
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import account, mail_list, smtp_user
from smtpplus.store.subject_sql import patterns_from
from smtpplus.values.errors import ConflictError, NotFoundError, UsageError
from smtpplus.values.submission import (
    Account,
    MailList,
    ScramVerifier,
    SmtpUser,
    Stream,
    UserStatus,
)

__all__ = [
    "account_named",
    "all_accounts",
    "all_lists",
    "all_users",
    "change_list",
    "change_user",
    "find_user",
    "key_of",
    "list_named",
    "new_account",
    "new_list",
    "new_user",
    "users_with_networks",
]

_FIRST_NUMBER = 10_000  # s10001_01: five digits from the first account on
_JSON_FIELDS = {"domains", "senders", "networks"}
_PLAIN_FIELDS = {
    "priority",
    "campaign",
    "limit_hour",
    "limit_day",
    "duplicates",
    "recall",
    "status",
    "blocked_until",
    "block_reason",
}
_OF_MESSAGES = {
    "priority",
    "campaign",
    "duplicates",
    "recall",
    "settings",
}  # as rules.effective asks
_MAX_NAME = 200


def key_of(name: str) -> str:
    """What a name is compared by."""
    return safe_text(name).casefold()


def _checked_name(what: str, name: str) -> str:
    name = name.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise UsageError(f"{what} needs a name of 1 to {_MAX_NAME} printable characters.")
    return name


# ---------------------------------------------------------------- accounts


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.name, row.created_at)


def all_accounts(connection: Connection) -> list[Account]:
    """All accounts by name."""
    query = select(account).order_by(account.c.name_key)
    return [_account(row) for row in connection.execute(query)]


def account_named(connection: Connection, name: str) -> Account:
    """The account of that name, whatever its case."""
    query = select(account).where(account.c.name_key == key_of(name.strip()))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no account named {name!r}.")
    return _account(row)


def new_account(transaction: Transaction, name: str, now: float) -> Account:
    """A new account."""
    name = _checked_name("An account", name)
    taken = select(account.c.id).where(account.c.name_key == key_of(name))
    if transaction.execute(taken).first() is not None:
        raise ConflictError(f"There is an account named {name!r} already.")
    row = {"name": name, "name_key": key_of(name), "created_at": now}
    made = transaction.execute(insert(account).returning(account.c.id), row).scalar_one()
    return Account(made, name, now)


# ---------------------------------------------------------------- lists


def _list(row: Row[Any]) -> MailList:
    return MailList(
        row.id,
        row.account_id,
        row.name,
        Stream(row.stream),
        json.loads(row.settings),
        row.created_at,
        patterns_from(row.learnt),
        row.changed_at,
    )


def all_lists(connection: Connection, account_id: int | None) -> list[MailList]:
    """Lists by account and name."""
    query = select(mail_list).order_by(mail_list.c.account_id, mail_list.c.name_key)
    if account_id is not None:
        query = query.where(mail_list.c.account_id == account_id)
    return [_list(row) for row in connection.execute(query)]


def list_of_id(connection: Connection, list_id: int) -> MailList | None:
    """The list, if there is one."""
    row = connection.execute(select(mail_list).where(mail_list.c.id == list_id)).one_or_none()
    return None if row is None else _list(row)


def user_of_id(connection: Connection, user_id: int) -> SmtpUser | None:
    """The SMTP user, if there is one."""
    row = connection.execute(_users().where(smtp_user.c.id == user_id)).one_or_none()
    return None if row is None else _user(row)


def list_named(connection: Connection, name: str) -> MailList:
    """``name`` where it is unique, or ``account/name``."""
    owner, slash, own = name.strip().rpartition("/")
    query = (
        select(mail_list)
        .join(account, account.c.id == mail_list.c.account_id)
        .where(mail_list.c.name_key == key_of(own))
    )
    if slash:
        query = query.where(account.c.name_key == key_of(owner))
    rows = connection.execute(query).all()
    if not rows:
        raise NotFoundError(f"There is no list named {name!r}.")
    if len(rows) > 1:
        raise UsageError(f"Several accounts have a list {name!r}: write ACCOUNT/{name}.")
    return _list(rows[0])


def new_list(
    transaction: Transaction, owner: str, name: str, stream: Stream, now: float
) -> MailList:
    """A new list in the account named `owner`."""
    name = _checked_name("A list", name)
    if "/" in name:
        raise UsageError("A list's name has no slash: it stands between account and list.")
    holder = account_named(transaction.connection, owner)
    taken = select(mail_list.c.id).where(
        mail_list.c.account_id == holder.id, mail_list.c.name_key == key_of(name)
    )
    if transaction.execute(taken).first() is not None:
        raise ConflictError(f"The account {holder.name!r} has a list named {name!r} already.")
    row = {
        "account_id": holder.id,
        "name": name,
        "name_key": key_of(name),
        "stream": stream.value,
        "settings": "{}",
        "created_at": now,
    }
    made = transaction.execute(insert(mail_list).returning(mail_list.c.id), row).scalar_one()
    return MailList(made, holder.id, name, stream, {}, now)


def change_list(
    transaction: Transaction, list_id: int, key: str, value: Any, now: float
) -> MailList:
    """Change one setting, or the stream; a value of None takes the setting back."""
    own = select(mail_list).where(mail_list.c.id == list_id)
    row = transaction.execute(own.with_for_update()).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no list with the id {list_id}.")
    change: dict[str, Any]
    if key == "stream":
        change = {"stream": Stream(value).value}
    else:
        settings = json.loads(row.settings)
        settings.pop(key, None)
        if value is not None:
            settings[key] = value
        change = {"settings": json.dumps(settings)}
    changing = update(mail_list).where(mail_list.c.id == list_id)
    changing = changing.values(**change, changed_at=now)
    transaction.execute(changing)
    return _list(transaction.execute(own).one())


# ---------------------------------------------------------------- SMTP users


def _users() -> Select[Any]:
    return (
        select(
            smtp_user,
            mail_list.c.name.label("list_name"),
            account.c.name.label("account_name"),
        )
        .join(mail_list, mail_list.c.id == smtp_user.c.list_id)
        .join(account, account.c.id == smtp_user.c.account_id)
    )


def _user(row: Row[Any]) -> SmtpUser:
    return SmtpUser(
        id=row.id,
        account_id=row.account_id,
        list_id=row.list_id,
        username=row.username,
        verifier=ScramVerifier(
            bytes(row.salt), row.iterations, bytes(row.stored_key), bytes(row.server_key)
        ),
        domains=tuple(json.loads(row.domains)),
        senders=tuple(json.loads(row.senders)),
        networks=tuple(json.loads(row.networks)),
        priority=row.priority,
        campaign=row.campaign,
        limit_hour=row.limit_hour,
        limit_day=row.limit_day,
        duplicates=row.duplicates,
        recall=row.recall,
        status=UserStatus(row.status),
        blocked_until=row.blocked_until,
        block_reason=row.block_reason,
        created_at=row.created_at,
        list_name=row.list_name,
        account_name=row.account_name,
        changed_at=row.changed_at,
        settings=json.loads(row.settings) if row.settings else {},
    )


def find_user(connection: Connection, username: str) -> SmtpUser | None:
    """The SMTP user of that name, whatever its case."""
    query = _users().where(smtp_user.c.username_key == key_of(username))
    row = connection.execute(query).one_or_none()
    return None if row is None else _user(row)


def all_users(connection: Connection, account_id: int | None) -> list[SmtpUser]:
    """SMTP users by name."""
    query = _users().order_by(smtp_user.c.username_key)
    if account_id is not None:
        query = query.where(smtp_user.c.account_id == account_id)
    return [_user(row) for row in connection.execute(query)]


def users_with_networks(connection: Connection) -> list[SmtpUser]:
    """The active users that some client address may submit as."""
    query = _users().where(
        smtp_user.c.networks != "[]", smtp_user.c.status == UserStatus.ACTIVE.value
    )
    return [_user(row) for row in connection.execute(query)]


def new_user(
    transaction: Transaction,
    list_id: int,
    username: str | None,
    verifier: ScramVerifier,
    domains: Sequence[str],
    senders: Sequence[str],
    now: float,
) -> SmtpUser:
    """A new SMTP user of a list."""
    home = transaction.execute(
        select(mail_list.c.account_id).where(mail_list.c.id == list_id)
    ).one_or_none()
    if home is None:
        raise NotFoundError(f"There is no list with the id {list_id}.")
    if username is None:
        username = _next_username(transaction, home.account_id)
    username = _checked_name("An SMTP user", username)
    if find_user(transaction.connection, username) is not None:
        raise ConflictError(f"There is an SMTP user named {username!r} already.")
    user = SmtpUser(0, home.account_id, list_id, username, verifier, tuple(domains), tuple(senders))
    row = {
        "account_id": home.account_id,
        "list_id": list_id,
        "username": username,
        "username_key": key_of(username),
        "created_at": now,
        **_verifier_columns(verifier),
        **{name: json.dumps(getattr(user, name)) for name in _JSON_FIELDS},
        **{name: getattr(user, name) for name in _PLAIN_FIELDS},
        "status": user.status.value,
    }
    transaction.execute(insert(smtp_user), row)
    return _made(transaction, username)


def _next_username(transaction: Transaction, account_id: int) -> str:
    prefix = f"s{_FIRST_NUMBER + account_id:05d}_"
    query = select(smtp_user.c.username_key).where(smtp_user.c.username_key.startswith(prefix))
    pattern = re.compile(rf"{prefix}(\d+)")
    taken = [pattern.fullmatch(name) for name in transaction.execute(query).scalars()]
    last = max((int(match[1]) for match in taken if match), default=0)
    return f"{prefix}{last + 1:02d}"


def _verifier_columns(verifier: ScramVerifier) -> dict[str, Any]:
    return {
        "salt": verifier.salt,
        "iterations": verifier.iterations,
        "stored_key": verifier.stored_key,
        "server_key": verifier.server_key,
    }


def change_user(
    transaction: Transaction, username: str, changes: dict[str, Any], now: float
) -> SmtpUser:
    """Change fields of `SmtpUser` by name."""
    found = find_user(transaction.connection, username)
    if found is None:
        raise NotFoundError(f"There is no SMTP user named {username!r}.")
    columns: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "verifier":
            columns |= _verifier_columns(value)
        elif name in _JSON_FIELDS:
            columns[name] = json.dumps(list(value))
        elif name == "settings":
            kept = {key: one for key, one in {**found.settings, **value}.items() if one is not None}
            columns[name] = json.dumps(kept) if kept else None
        elif name == "status":
            columns[name] = UserStatus(value).value
        elif name in _PLAIN_FIELDS:
            columns[name] = value
        else:
            raise UsageError(f"{name!r} of an SMTP user cannot be changed.")
    if _OF_MESSAGES & columns.keys():
        columns["changed_at"] = now
    if columns:
        changing = update(smtp_user).where(smtp_user.c.id == found.id).values(**columns)
        transaction.execute(changing)
    return _made(transaction, username)


def _made(transaction: Transaction, username: str) -> SmtpUser:
    user = find_user(transaction.connection, username)
    assert user is not None
    return user
