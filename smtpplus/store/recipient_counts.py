"""What accepting and settling write at recipients and campaigns.

Guarantees: rows are written in the order of their keys, so that two nodes do not wait for each
other in a circle; a recipient is there once it was mailed, with first and last mail. Only mail of
people makes recipients: a report to a sender does not. Runs in the writer's thread; may run twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import bindparam, func, select, update

from smtpplus.rules.delivery_end import delivery_end
from smtpplus.rules.soft_bounces import DeliveryEnd, SoftCounts, step
from smtpplus.rules.suppression import Suppression
from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import StoreDialect, insert_sql, select_sql, update_sql
from smtpplus.store.rows import address_key, fields_text, safe_text
from smtpplus.store.schema import campaign, recipient
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted, DeliveryState, Message, NewDelivery, Settlement

__all__ = [
    "CampaignRows",
    "EndRow",
    "Ended",
    "Key",
    "Mailed",
    "MailedRow",
    "RecipientSql",
    "campaign_row",
    "end_row",
    "has_recipients",
    "mailed_row",
]

Key: TypeAlias = tuple[int, str]  # account, address key

_MOST_CAMPAIGNS = 10_000
_NEVER = (-1.0, False)
_DETAIL = 500
_DELIVERED, _NEUTRAL = DeliveryEnd.DELIVERED.value, DeliveryEnd.NEUTRAL.value
_KEY, _NAME, _AT = 1, 3, 4  # of a campaign's row; when it was mailed
_MINUTE = 60.0

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
# One that is called by its code takes the name that comes later; what a person called it stays.
_CAMPAIGN_AGAIN = (
    " ON CONFLICT (list_id, key) DO UPDATE SET"
    " name = CASE WHEN campaign.key IN ('code:' || campaign.name, 'tag:' || campaign.name)"
    " THEN excluded.name ELSE campaign.name END,"
    " last_at = CASE"
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


class MailedRow(NamedTuple):
    """A recipient, by one delivery that is going to be mailed."""

    account_id: int
    key: str
    at: float
    address: str
    name: str
    fields: str


def mailed_row(item: Accepted, new: NewDelivery) -> MailedRow:
    """The recipient of `new`. What is said to all is said to it, where it is the only one."""
    address, fields = new.recipient.address, new.fields
    if len(item.deliveries) == 1 and item.message.options.fields:
        fields = {**item.message.options.fields, **fields}
    return MailedRow(
        item.message.account_id,
        address_key(address),
        item.message.received_at,
        safe_text(str(address)),
        safe_text(new.name),
        fields_text(fields),
    )


class Mailed:
    """The recipients of accepted messages, gathered and written together."""

    __slots__ = ("_found", "_sql")

    def __init__(self, sql: RecipientSql) -> None:
        self._sql = sql
        self._found: dict[Key, list[Any]] = {}  # last mail, what it said of them, how many

    def add_all(self, rows: Sequence[MailedRow]) -> None:
        """Some that are going to be mailed."""
        for row in rows:
            found = self._found.get(row[:2])
            if found is None:
                self._found[row[:2]] = [row.at, row, 1]
                continue
            found[0] = max(found[0], row.at)
            found[2] += 1
            if row.name or row.fields:
                found[1] = row

    def write(self, transaction: Transaction) -> None:
        """Make them, or bring them up to date."""
        next_id = self._sql.ids.next
        rows = [
            (
                next_id(at),
                *key,
                f"{said.address}\n{said.name}".lower(),
                said.address,
                said.name,
                said.fields,
                at,
                at,
                *(None, None, None, None),
                mails,
                *(0, 0, 0, 0, 0, 0),
            )
            for key, (at, said, mails) in sorted(self._found.items(), key=_by_key)
        ]
        transaction.many(self._sql.mailed, rows)


def _by_key(item: tuple[Key, Any]) -> Key:
    return item[0]


class EndRow(NamedTuple):
    """What the end of a delivery says of its recipient."""

    account_id: int
    key: str
    at: float
    was_delivered: bool
    end: str  # of `DeliveryEnd`
    address: str
    said: str  # by the remote, or of it


def end_row(settlement: Settlement) -> EndRow | None:
    """What a final `settlement` says; None: nothing."""
    about = settlement.delivery.message
    if not has_recipients(about) or settlement.state is DeliveryState.CANCELLED:
        return None
    address, outcome = settlement.delivery.recipient.address, settlement.outcome
    key = address_key(address)
    end = delivery_end(settlement.state, outcome)
    if end is DeliveryEnd.DELIVERED:
        return EndRow(about.account_id, key, settlement.at, True, _DELIVERED, "", "")
    said = safe_text(str(outcome.reply or outcome.text)[:_DETAIL])
    return EndRow(
        about.account_id, key, settlement.at, False, end.value, safe_text(str(address)), said
    )


class _Ends:
    """How the deliveries to one recipient ended, in their order."""

    __slots__ = ("at", "bounced", "delivered", "ends")

    def __init__(self) -> None:
        self.at: float | None = None
        self.delivered = 0
        self.bounced = 0
        self.ends: list[EndRow] = []


class Ended:
    """The recipients of deliveries that are over, gathered and written together."""

    __slots__ = ("_found", "_sql")

    def __init__(self, sql: RecipientSql) -> None:
        self._sql = sql
        self._found: defaultdict[Key, _Ends] = defaultdict(_Ends)

    def add(self, row: EndRow) -> None:
        """A delivery has come to its end."""
        found = self._found[row[:2]]
        if row.was_delivered:
            found.at = row.at
            found.delivered += 1
        else:
            found.bounced += 1
        if row.end != _NEUTRAL:
            found.ends.append(row)

    def write(self, transaction: Transaction) -> list[tuple[EndRow, Suppression]]:
        """Bring the recipients up to date; whom not to mail any more, and why."""
        suppressed: list[tuple[EndRow, Suppression]] = []
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
        suppressed: list[tuple[EndRow, Suppression]],
    ) -> SoftCounts | None:
        """The counters of failures after these ends; None: as before."""
        if not found.ends:
            return None
        counts = SoftCounts()
        if found.ends[0].end != _DELIVERED:
            for row in transaction.rows(self._sql.soft, key):
                counts = SoftCounts(*row)
        for end in found.ends:
            counts, suppression = step(counts, DeliveryEnd(end.end), end.at, detail=end.said)
            if suppression is not None:
                suppressed.append((end, suppression))
        return counts


def campaign_row(message: Message) -> tuple[Any, ...] | None:
    """The campaign that `message` is counted in, as far as a row of `schema.campaign` begins."""
    if not message.campaign:
        return None
    return (
        message.list_id,
        safe_text(message.campaign),
        message.account_id,
        safe_text(message.campaign_name or message.campaign),
        message.received_at,
    )


class CampaignRows:
    """Makes the campaigns that messages are counted in."""

    def __init__(self, dialect: StoreDialect) -> None:
        self._insert = insert_sql(campaign, dialect, _CAMPAIGN_AGAIN)
        # The minute it was last written in, and whether a name has come.
        self._known: dict[tuple[int, str], tuple[float, bool]] = {}

    def write(self, transaction: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
        """Those of `campaign_row`; one that was written in the same minute is left alone.

        But for its first name.
        """
        fresh: dict[tuple[int, str], tuple[Any, ...]] = {}
        known: dict[tuple[int, str], tuple[float, bool]] = {}
        for row in rows:
            key = (row[0], row[_KEY])
            minute, has_name = known.get(key) or self._known.get(key, _NEVER)
            is_later, is_named = minute < row[_AT] // _MINUTE, _has_name(row)
            if not is_later and (has_name or not is_named):
                continue
            if key in fresh and has_name and not is_named:
                row = (*row[:_NAME], fresh[key][_NAME], *row[_AT:])  # noqa: PLW2901 - as it is written
            fresh[key] = row
            known[key] = max(minute, row[_AT] // _MINUTE), has_name or is_named
        if not fresh:
            return
        made = [(*row, row[_AT], None) for _, row in sorted(fresh.items(), key=_by_campaign)]
        transaction.many(self._insert, made)
        transaction.after_commit(lambda: self._know(known))

    def forget(self) -> None:
        """Know none: what was written may be gone."""
        self._known = {}

    def _know(self, known: dict[tuple[int, str], tuple[float, bool]]) -> None:
        if len(self._known) >= _MOST_CAMPAIGNS:
            self._known = {}
        self._known.update(known)


def _has_name(row: tuple[Any, ...]) -> bool:
    """Is the campaign called otherwise than by its code?"""
    return row[_KEY] not in {f"code:{row[_NAME]}", f"tag:{row[_NAME]}"}


def _by_campaign(item: tuple[tuple[int, str], Any]) -> tuple[int, str]:
    return item[0]
