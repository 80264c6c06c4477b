"""SQL of subscriptions: functions that run inside a transaction, or a read.

No row means active. Guarantees: of several that end a subscription at the same moment one has
ended it, and the others are told that it was over.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text, update

from smtpplus.ports import SubscriptionRow
from smtpplus.store.commits import Transaction
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import delivery, mail_list, message, subscription

__all__ = ["end_subscription", "renew_subscription", "subscriptions"]

_END = text(
    "INSERT INTO subscription (list_id, address_key, account_id, is_active, since, reason)"
    " VALUES (:list_id, :address_key, :account_id, false, :since, :reason)"
    " ON CONFLICT (list_id, address_key) DO UPDATE"
    " SET is_active = false, since = excluded.since, reason = excluded.reason"
    " WHERE subscription.is_active RETURNING list_id"
)


def end_subscription(
    transaction: Transaction,
    account_id: int,
    list_id: int,
    address_key: str,
    since: float,
    reason: str,
) -> bool:
    """Unsubscribe; False: it was so."""
    row = {
        "list_id": list_id,
        "address_key": address_key,
        "account_id": account_id,
        "since": since,
        "reason": safe_text(reason),
    }
    return transaction.execute(_END, row).first() is not None


def renew_subscription(
    transaction: Transaction, list_id: int, address_key: str, since: float
) -> bool:
    """Take an unsubscription back; False: there was none."""
    renewing = update(subscription).where(
        subscription.c.list_id == list_id,
        subscription.c.address_key == address_key,
        subscription.c.is_active.is_(False),
    )
    values = {"is_active": True, "since": since, "reason": ""}
    return transaction.execute(renewing.values(**values)).rowcount > 0


def subscriptions(
    connection: Connection, account_id: int, address_key: str
) -> list[SubscriptionRow]:
    """The address in the lists that have mailed it, or that it has left."""
    mailed = (
        select(message.c.list_id, func.min(message.c.received_at))
        .join(delivery, delivery.c.message_id == message.c.id)
        .where(delivery.c.address_key == address_key, message.c.account_id == account_id)
        .group_by(message.c.list_id)
    )
    states = {row[0]: (True, float(row[1]), "") for row in connection.execute(mailed).all()}
    said = select(subscription).where(
        subscription.c.address_key == address_key, subscription.c.account_id == account_id
    )
    for row in connection.execute(said):
        states[row.list_id] = (bool(row.is_active), row.since, row.reason)
    names = select(mail_list.c.id, mail_list.c.name).where(mail_list.c.id.in_(list(states)))
    named = {row[0]: row[1] for row in connection.execute(names)}
    return [
        SubscriptionRow(list_id, named.get(list_id, str(list_id)), *state)
        for list_id, state in sorted(states.items())
    ]
