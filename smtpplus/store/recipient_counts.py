"""What accepting and settling write at recipients and campaigns.

Guarantees: rows are written in the order of their keys, so that two nodes do not wait for each
other in a circle; a recipient is there once it was mailed, with first and last mail. Only mail of
people makes recipients: a report to a sender does not. Runs in the writer's thread; may run twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import bindparam, func, select, update

from smtpplus.rules.delivery_end import delivery_end
from smtpplus.rules.soft_bounces import DeliveryEnd, SoftCounts, step
from smtpplus.rules.suppression import Suppression
from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import StoreDialect, insert_sql, select_sql, update_sql
from smtpplus.store.facts import hour_of
from smtpplus.store.rows import address_key, fields_text, safe_text
from smtpplus.store.schema import campaign, recipient
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted, DeliveryState, Message, NewDelivery, Settlement

__all__ = ["CampaignRows", "Ended", "Key", "Mailed", "RecipientSql", "has_recipients"]

Key: TypeAlias = tuple[int, str]  # account, address key

_MOST_CAMPAIGNS = 10_000
_DETAIL = 500

_MAILED_AGAIN = (
    " ON CONFLICT (account_id, address_key) DO UPDATE SET"
    " address = excluded.address,"
    " search = CASE WHEN excluded.name = '' THEN recipient.search ELSE excluded.search END,"
    " name = CASE WHEN excluded.name = '' THEN recipient.name ELSE excluded.name END,"
    " fields = CASE WHEN excluded.fields = '' THEN recipient.fields ELSE excluded.fields END,"
    " last_mail_at = CASE WHEN excluded.last_mail_at > recipient.last_mail_at"
    " THEN excluded.last_mail_at ELSE recipient.last_mail_at END,"
    " mails = recipient.mails + excluded.mails"
)
_CAMPAIGN_AGAIN = (
    " ON CONFLICT (list_id, key) DO UPDATE SET last_at = CASE"
    " WHEN excluded.last_at > campaign.last_at THEN excluded.last_at ELSE campaign.last_at END"
)
_OF_KEY = (
    recipient.c.account_id == bindparam("n_account"),
    recipient.c.address_key == bindparam("n_key"),
)
# What is None stays as it is.
_SETTLED = (
    update(recipient)
    .where(*_OF_KEY)
    .ordered_values(
        (
            recipient.c.last_delivery_at,
            func.coalesce(bindparam("n_at"), recipient.c.last_delivery_at),
        ),
        (recipient.c.delivered, recipient.c.delivered + bindparam("n_delivered")),
        (recipient.c.bounced, recipient.c.bounced + bindparam("n_bounced")),
        (recipient.c.soft, func.coalesce(bindparam("n_soft"), recipient.c.soft)),
        (recipient.c.soft_full, func.coalesce(bindparam("n_full"), recipient.c.soft_full)),
    )
)
_SETTLED_NAMES = ["n_at", "n_delivered", "n_bounced", "n_soft", "n_full", "n_account", "n_key"]
_SOFT = select(recipient.c.soft, recipient.c.soft_full).where(*_OF_KEY).with_for_update()


def has_recipients(message: Message) -> bool:
    """Is it mail of people? What has the null reverse-path reports on such mail."""
    return message.envelope.sender is not None


class RecipientSql:
    """The SQL, compiled once; `ids` are made in the writer's thread."""

    def __init__(self, dialect: StoreDialect, ids: IdSource) -> None:
        self.ids = ids
        self.mailed = insert_sql(recipient, dialect, _MAILED_AGAIN)
        self.settled = update_sql(_SETTLED, _SETTLED_NAMES, dialect)
        self.soft = select_sql(_SOFT, ["n_account", "n_key"], dialect)


class Mailed:
    """The recipients of accepted messages, gathered and written together."""

    __slots__ = ("_found", "_sql")

    def __init__(self, sql: RecipientSql) -> None:
        self._sql = sql
        self._found: dict[Key, list[Any]] = {}  # last message and delivery, how many

    def add(self, item: Accepted, new: NewDelivery) -> None:
        """One delivery that is going to be mailed."""
        key = (item.message.account_id, address_key(new.recipient.address))
        found = self._found.get(key)
        if found is None:
            self._found[key] = [item.message.received_at, new, 1]
            return
        found[0] = max(found[0], item.message.received_at)
        found[2] += 1
        if new.name or new.fields:
            found[1] = new

    def write(self, transaction: Transaction) -> None:
        """Make them, or bring them up to date."""
        next_id = self._sql.ids.next
        rows = [
            (
                next_id(at),
                *key,
                safe_text(f"{new.recipient.address}\n{new.name}".lower()),
                safe_text(str(new.recipient.address)),
                safe_text(new.name),
                fields_text(new.fields),
                at,
                at,
                *(None, None, None, None),
                mails,
                *(0, 0, 0, 0, 0, 0),
            )
            for key, (at, new, mails) in sorted(self._found.items(), key=_by_key)
        ]
        transaction.many(self._sql.mailed, rows)


def _by_key(item: tuple[Key, Any]) -> Key:
    return item[0]


class _Ends:
    """How the deliveries to one recipient ended, in their order."""

    __slots__ = ("at", "bounced", "delivered", "ends")

    def __init__(self) -> None:
        self.at: float | None = None
        self.delivered = 0
        self.bounced = 0
        self.ends: list[tuple[DeliveryEnd, Settlement]] = []


class Ended:
    """The recipients of deliveries that are over, gathered and written together."""

    __slots__ = ("_found", "_sql")

    def __init__(self, sql: RecipientSql) -> None:
        self._sql = sql
        self._found: defaultdict[Key, _Ends] = defaultdict(_Ends)

    def add(self, settlement: Settlement) -> None:
        """A delivery has come to its end."""
        message = settlement.delivery.message
        if not has_recipients(message) or settlement.state is DeliveryState.CANCELLED:
            return
        key = (message.account_id, address_key(settlement.delivery.recipient.address))
        found = self._found[key]
        end = delivery_end(settlement.state, settlement.outcome)
        if settlement.state is DeliveryState.DELIVERED:
            found.at = settlement.at
            found.delivered += 1
        else:
            found.bounced += 1
        if end is not DeliveryEnd.NEUTRAL:
            found.ends.append((end, settlement))

    def write(self, transaction: Transaction) -> list[tuple[Key, Settlement, Suppression]]:
        """Bring the recipients up to date; whom not to mail any more, and because of what."""
        suppressed: list[tuple[Key, Settlement, Suppression]] = []
        rows = []
        for key, found in sorted(self._found.items(), key=_by_key):
            counts = self._count(transaction, key, found, suppressed)
            soft = (None, None) if counts is None else (counts.consecutive, counts.full)
            rows.append((found.at, found.delivered, found.bounced, *soft, *key))
        transaction.many(self._sql.settled, rows)
        return suppressed

    def _count(
        self,
        transaction: Transaction,
        key: Key,
        found: _Ends,
        suppressed: list[tuple[Key, Settlement, Suppression]],
    ) -> SoftCounts | None:
        """The counters of failures after these ends; None: as before."""
        if not found.ends:
            return None
        counts = SoftCounts()
        if found.ends[0][0] is not DeliveryEnd.DELIVERED:
            for row in transaction.rows(self._sql.soft, key):
                counts = SoftCounts(*row)
        for end, settlement in found.ends:
            said = str(settlement.outcome.reply or settlement.outcome.text)[:_DETAIL]
            counts, suppression = step(counts, end, settlement.at, detail=safe_text(said))
            if suppression is not None:
                suppressed.append((key, settlement, suppression))
        return counts


class CampaignRows:
    """Makes the campaigns that messages are counted in."""

    def __init__(self, dialect: StoreDialect) -> None:
        self._insert = insert_sql(campaign, dialect, _CAMPAIGN_AGAIN)
        self._known: dict[tuple[int, str], int] = {}  # the hour it was last written in

    def write(self, transaction: Transaction, items: Sequence[Accepted]) -> None:
        """Those of `items`; one that was written in the same hour is left alone."""
        fresh: dict[tuple[int, str], Message] = {}
        for item in items:
            message = item.message
            if not message.campaign:
                continue
            key = (message.list_id, message.campaign)
            if self._known.get(key, -1) < hour_of(message.received_at):
                fresh[key] = message
        if not fresh:
            return
        rows = [
            (
                message.list_id,
                safe_text(message.campaign),
                message.account_id,
                safe_text(message.campaign_name or message.campaign),
                message.received_at,
                message.received_at,
                None,
            )
            for _, message in sorted(fresh.items(), key=_by_campaign)
        ]
        transaction.many(self._insert, rows)
        hours = {key: hour_of(message.received_at) for key, message in fresh.items()}
        transaction.after_commit(lambda: self._know(hours))

    def _know(self, hours: dict[tuple[int, str], int]) -> None:
        if len(self._known) >= _MOST_CAMPAIGNS:
            self._known = {}
        self._known.update(hours)


def _by_campaign(item: tuple[tuple[int, str], Message]) -> tuple[int, str]:
    return item[0]
