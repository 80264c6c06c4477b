"""SQL of sender domains and DKIM keys: functions that run inside a transaction.

Private keys are sealed before they reach the database, and opened only here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from smtpplus.store.account_sql import account_named
from smtpplus.store.commits import Transaction
from smtpplus.store.schema import account, dkim_key, sender_domain
from smtpplus.store.seal import Seal
from smtpplus.values.address import to_ascii
from smtpplus.values.errors import ConflictError, NotFoundError, UsageError
from smtpplus.values.submission import DkimKey, DkimKeyState, SenderDomain

__all__ = [
    "active_key",
    "all_domains",
    "change_key_state",
    "change_tracking_host",
    "change_verified",
    "domain_key",
    "domain_keys",
    "domain_named",
    "new_domain",
    "new_key",
    "opens_a_key",
]


def domain_key(domain: str) -> str:
    """How a domain is kept and compared: lower-case A-labels without the final dot."""
    return to_ascii(domain.strip().rstrip("."))


def _domain(row: Row[Any]) -> SenderDomain:
    return SenderDomain(
        row.id,
        row.account_id,
        row.domain,
        row.verified_at,
        row.created_at,
        row.tracking_host or "",
    )


def all_domains(connection: Connection, account_id: int) -> list[SenderDomain]:
    """An account's sender domains by name."""
    query = (
        select(sender_domain)
        .where(sender_domain.c.account_id == account_id)
        .order_by(sender_domain.c.domain)
    )
    return [_domain(row) for row in connection.execute(query)]


def domain_named(connection: Connection, domain: str) -> SenderDomain:
    """A sender domain."""
    query = select(sender_domain).where(sender_domain.c.domain == domain_key(domain))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no sender domain {domain!r}.")
    return _domain(row)


def new_domain(
    transaction: Transaction, owner: str, domain: str, verified_at: float | None, now: float
) -> SenderDomain:
    """A new sender domain of the account named `owner`."""
    holder = account_named(transaction.connection, owner)
    key = domain_key(domain)
    taken = transaction.execute(
        select(account.c.name)
        .join(sender_domain, sender_domain.c.account_id == account.c.id)
        .where(sender_domain.c.domain == key)
    ).scalar()
    if taken is not None:
        raise ConflictError(f"The domain {key} belongs to the account {taken!r} already.")
    row = {
        "account_id": holder.id,
        "domain": key,
        "verified_at": verified_at,
        "created_at": now,
    }
    transaction.execute(insert(sender_domain), row)
    return domain_named(transaction.connection, key)


def change_verified(
    transaction: Transaction, domain: str, verified_at: float | None
) -> SenderDomain:
    """Ownership proven, or no longer."""
    found = domain_named(transaction.connection, domain)
    changing = update(sender_domain).where(sender_domain.c.id == found.id)
    transaction.execute(changing.values(verified_at=verified_at))
    return domain_named(transaction.connection, domain)


def change_tracking_host(transaction: Transaction, domain: str, host: str) -> SenderDomain:
    """The name by which the domain's links reach us."""
    found = domain_named(transaction.connection, domain)
    changing = update(sender_domain).where(sender_domain.c.id == found.id)
    transaction.execute(changing.values(tracking_host=domain_key(host) or None))
    return domain_named(transaction.connection, domain)


# ---------------------------------------------------------------- keys


def _belongs_to(domain: str, selector: str) -> str:
    return f"{selector}._domainkey.{domain}"


def _key(row: Row[Any], seal: Seal) -> DkimKey:
    return _made(row, seal.open(bytes(row.sealed), _belongs_to(row.domain, row.selector)))


def _shown(row: Row[Any], seal: Seal) -> DkimKey:
    """As `_key`, for lists and for retiring: one that does not open has no private key."""
    try:
        return _key(row, seal)
    except UsageError:
        return _made(row, b"")


def _made(row: Row[Any], private_pem: bytes) -> DkimKey:
    state = DkimKeyState(row.state)
    return DkimKey(
        row.id, row.domain, row.selector, state, private_pem, row.public_b64, row.created_at
    )


def opens_a_key(connection: Connection, seal: Seal) -> bool | None:
    """Does `seal` open the newest key? None: there is none."""
    row = connection.execute(select(dkim_key).order_by(dkim_key.c.id.desc()).limit(1)).first()
    if row is None:
        return None
    try:
        _key(row, seal)
    except UsageError:
        return False
    return True


def active_key(connection: Connection, domain: str, seal: Seal) -> DkimKey | None:
    """The key that signs for exactly this domain."""
    query = select(dkim_key).where(
        dkim_key.c.domain == domain_key(domain),
        dkim_key.c.state == DkimKeyState.ACTIVE.value,
    )
    row = connection.execute(query.order_by(dkim_key.c.id.desc())).first()
    return None if row is None else _key(row, seal)


def domain_keys(connection: Connection, domain: str, seal: Seal) -> list[DkimKey]:
    """All keys of a domain, newest first."""
    query = (
        select(dkim_key)
        .where(dkim_key.c.domain == domain_key(domain))
        .order_by(dkim_key.c.created_at.desc(), dkim_key.c.id.desc())
    )
    return [_shown(row, seal) for row in connection.execute(query)]


def new_key(
    transaction: Transaction,
    seal: Seal,
    domain: str,
    selector: str,
    private_pem: bytes,
    public_b64: str,
    state: DkimKeyState,
    now: float,
) -> DkimKey:
    """Keep a key; a new active one retires the one before."""
    name, label = domain_key(domain), selector.lower()
    if _find_key(transaction, name, label) is not None:
        raise ConflictError(f"The domain {name} has a key with the selector {label!r} already.")
    if state is DkimKeyState.ACTIVE:
        _retire_active(transaction, name)
    row = {
        "domain": name,
        "selector": label,
        "state": state.value,
        "sealed": seal.close(private_pem, _belongs_to(name, label)),
        "public_b64": public_b64,
        "created_at": now,
    }
    transaction.execute(insert(dkim_key), row)
    return _found_key(transaction, name, label, seal)


def change_key_state(
    transaction: Transaction, seal: Seal, domain: str, selector: str, state: DkimKeyState
) -> DkimKey:
    """Rotate; making a key active retires the active one."""
    name, label = domain_key(domain), selector.lower()
    row = _find_key(transaction, name, label)
    if row is None:
        raise NotFoundError(f"The domain {name} has no key with the selector {label!r}.")
    if state is DkimKeyState.ACTIVE:
        _retire_active(transaction, name)
    changing = update(dkim_key).where(dkim_key.c.id == row.id).values(state=state.value)
    transaction.execute(changing)
    if state is DkimKeyState.ACTIVE:  # one that does not open cannot sign
        return _found_key(transaction, name, label, seal)
    changed = _find_key(transaction, name, label)
    assert changed is not None
    return _shown(changed, seal)


def _retire_active(transaction: Transaction, domain: str) -> None:
    transaction.execute(
        update(dkim_key)
        .where(dkim_key.c.domain == domain, dkim_key.c.state == DkimKeyState.ACTIVE.value)
        .values(state=DkimKeyState.RETIRED.value)
    )


def _find_key(transaction: Transaction, domain: str, selector: str) -> Row[Any] | None:
    query = select(dkim_key).where(dkim_key.c.domain == domain, dkim_key.c.selector == selector)
    return transaction.execute(query).one_or_none()


def _found_key(transaction: Transaction, domain: str, selector: str, seal: Seal) -> DkimKey:
    row = _find_key(transaction, domain, selector)
    assert row is not None
    return _key(row, seal)
