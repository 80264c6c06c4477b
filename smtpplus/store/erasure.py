"""Forgetting an address (GDPR article 17).

Guarantees: recipient, fields, subscriptions, what was opened and clicked from where: gone. In
messages, deliveries, attempts and events the address is replaced by one that nobody can read, in
what a message says of itself (metadata, fields), too. Of a message to the address alone subject and
options go, of one to several the address and the whole name in its subject, of one to others whose
subject says it the address (erased_mentions.py); campaigns and links that
tell of the person lose their names (see erased_campaigns.py), what was learnt from subjects its
examples. Counts stay as they were, events too, without what they tell of a person (D16). What still
waits for the address is cancelled first. Suppressions stay, under a keyed hash; an operator's
bypass of them goes. Pieces of `_PIECE` deliveries, each a transaction; what a crash left is done by
doing it again. Does not look into contents that wait for others, nor into what is said of another
recipient.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, literal, select, update

from smtpplus.rules.suppression import Reason
from smtpplus.store.campaign_moves import CampaignMoves
from smtpplus.store.commits import Transaction
from smtpplus.store.erased_campaigns import Links, hide_links, telling
from smtpplus.store.erased_mentions import hide_mentions, mentions
from smtpplus.store.erased_words import GONE, ErasedWords
from smtpplus.store.messages import chunks
from smtpplus.store.queue_changes import QueueChanges
from smtpplus.store.rows import attempt_facts, attempt_from, json_text
from smtpplus.store.schema import (
    account,
    attempt,
    delivery,
    event,
    message,
    recipient,
    sandbox_mail,
    subscription,
    suppression,
)
from smtpplus.store.subject_sql import forget_examples
from smtpplus.store.suppression_sql import ERASED, erased_key
from smtpplus.store.topics import ACCOUNTS, SUPPRESSIONS
from smtpplus.store.transactions import Transactions
from smtpplus.values.ids import IdSource
from smtpplus.values.message import DeliveryState, EventType
from smtpplus.values.queue import QueueChange, Selection

__all__ = ["Erasure", "accounts_of"]

_PIECE = 200
_DOMAIN = "erased.invalid"  # RFC 6761 §6.4
_WAITING = (DeliveryState.QUEUED.value, DeliveryState.HELD.value)
_MOST_SPELLINGS = 1_000
_OF_ENVELOPE = ("sender", "sender_key", "header_from", "header_message_id", "envid")
_ANSWERS = {EventType.OPENED.value, EventType.CLICKED.value}


class Erasure:
    """Forgets addresses; `secret` makes what is left of them, `ids` are the writer's.

    `note` hears what suppressed addresses are known by from now on.
    """

    def __init__(
        self,
        transactions: Transactions,
        changes: QueueChanges,
        moves: CampaignMoves,
        ids: IdSource,
        secret: bytes,
        note: Callable[[Collection[tuple[int, str]]], None],
    ) -> None:
        self._transactions = transactions
        self._changes = changes
        self._moves = moves
        self._ids = ids
        self._secret = secret
        self._note = note

    async def erase(self, account_id: int | None, key: str, now: float, by: str) -> int:
        """See `IRecipients.erase`."""
        known = await self._transactions.read(lambda found: accounts_of(found, account_id, key))
        for one in known:
            await self._forget(one, key, now, by)
        return len(known)

    async def _forget(self, account_id: int, key: str, now: float, by: str) -> None:
        await self._cancel(account_id, key, now, by)
        hidden = erased_key(self._secret, account_id, key)
        shown = f"{hidden.removeprefix(ERASED)}@{_DOMAIN}"
        words = await self._transactions.read(lambda found: _words(found, account_id, key, shown))
        await self._hide_links(account_id, key, words)
        while await self._transactions.write(
            lambda tx: _piece(tx, account_id, key, hidden, shown, words)
        ):
            pass
        named = await self._mentions(account_id, words)
        told = await self._transactions.read(
            lambda found: telling(found, account_id, hidden, named, words)
        )
        for one in told:
            await self._moves.move(one, words, now)
        for some in chunks(named):
            await self._transactions.write(lambda tx, some=some: hide_mentions(tx, some, words))  # type: ignore[misc]
        await self._transactions.write(lambda tx: self._end(tx, account_id, key, hidden, now))
        await self._transactions.write(lambda tx: _empty_sandbox(tx, words))
        self._note([(account_id, hidden)])

    async def _hide_links(self, account_id: int, key: str, words: ErasedWords) -> None:
        """Before events forget what was clicked: only all clicks tell which links are theirs."""
        clicks: Links = Counter()
        after: int | None = 0
        while after is not None:
            found, after = await self._transactions.read(
                lambda connection, after=after: _clicks(connection, account_id, key, after)  # type: ignore[misc]
            )
            clicks.update(found)
        links = list(clicks.items())
        for start in range(0, len(links), _PIECE):
            some: Links = Counter(dict(links[start : start + _PIECE]))
            await self._transactions.write(lambda tx, some=some: hide_links(tx, some, words))  # type: ignore[misc]

    async def _mentions(self, account_id: int, words: ErasedWords) -> list[int]:
        found: list[int] = []
        before: int | None = None
        while True:
            ids, before = await self._transactions.read(
                lambda connection, before=before: mentions(connection, account_id, words, before)  # type: ignore[misc]
            )
            found += ids
            if before is None:
                return found

    async def _cancel(self, account_id: int, key: str, now: float, by: str) -> None:
        """What waits for the address is not sent any more."""
        query = select(delivery.c.id).where(
            delivery.c.address_key == key,
            delivery.c.account_id == account_id,
            delivery.c.state.in_(_WAITING),
        )
        query = query.limit(_PIECE)
        while ids := await self._transactions.read(
            lambda connection: tuple(connection.scalars(query))
        ):
            await self._changes.change(QueueChange.CANCEL, Selection(ids=ids), now, by)

    def _end(
        self, transaction: Transaction, account_id: int, key: str, hidden: str, now: float
    ) -> None:
        """The recipient goes, its suppressions stay: in new rows, which other processes notice."""
        of_address = and_(suppression.c.account_id == account_id, suppression.c.address_key == key)
        found = delete(suppression).where(of_address).returning(suppression)
        rows = [dict(row._mapping) for row in transaction.execute(found).all()]  # noqa: SLF001 - its API
        rows = [row for row in rows if row["reason"] != Reason.BYPASS.value]
        for row in rows:
            row |= {"id": self._ids.next(now), "address_key": hidden, "address": "", "detail": ""}
        if rows:
            transaction.execute(insert(suppression), rows)
            transaction.tell(SUPPRESSIONS)
        transaction.execute(
            delete(subscription).where(
                subscription.c.address_key == key, subscription.c.account_id == account_id
            )
        )
        going = delete(recipient).where(
            recipient.c.account_id == account_id, recipient.c.address_key == key
        )
        transaction.execute(going)
        if forget_examples(transaction, account_id):
            transaction.tell(ACCOUNTS)


def _empty_sandbox(transaction: Transaction, words: ErasedWords) -> None:
    """A trial has the mailboxes, too."""
    to = func.lower(sandbox_mail.c.recipient)
    transaction.execute(delete(sandbox_mail).where(to.in_(words.plain)))


def accounts_of(connection: Connection, account_id: int | None, key: str) -> list[int]:
    """Those that know the address, mailed or not; of `account_id` alone where one is named.

    Of an account that has a recipient row no delivery is looked at: there may be a million.
    """
    ids = select(account.c.id) if account_id is None else select(literal(account_id))
    accounts = set(connection.scalars(ids))
    # The accounts are few, and lead the index of addresses.
    mailed = select(recipient.c.account_id).where(
        recipient.c.account_id.in_(accounts), recipient.c.address_key == key
    )
    found = set(connection.scalars(mailed))
    for table in (suppression, subscription, delivery):
        if left := accounts - found:
            of_table = table.c.account_id
            query = select(of_table).where(table.c.address_key == key, of_table.in_(left))
            query = query.limit(1) if len(left) == 1 else query.distinct()
            found.update(connection.scalars(query))
    return sorted(found)


def _words(connection: Connection, account_id: int, key: str, shown: str) -> ErasedWords:
    """What the person is called, however that is spelt."""
    query = (
        select(delivery.c.address, delivery.c.name)
        .where(delivery.c.address_key == key, delivery.c.account_id == account_id)
        .distinct()
        .limit(_MOST_SPELLINGS)
    )
    found = [tuple(row) for row in connection.execute(query)]
    own = select(recipient.c.address, recipient.c.name).where(
        recipient.c.account_id == account_id, recipient.c.address_key == key
    )
    found += [tuple(row) for row in connection.execute(own)]
    addresses, names = {address for address, _ in found}, {name for _, name in found if name}
    return ErasedWords({key, *addresses}, names, shown)


def _piece(
    transaction: Transaction,
    account_id: int,
    key: str,
    hidden: str,
    shown: str,
    words: ErasedWords,
) -> int:
    """Make some deliveries, and what is told of them, unreadable; how many."""
    query = (
        select(delivery)
        .where(delivery.c.address_key == key, delivery.c.account_id == account_id)
        .limit(_PIECE)
    )
    rows = transaction.execute(query).all()
    if not rows:
        return 0
    _hide_attempts(transaction, rows, words)
    hide_links(transaction, _hide_events(transaction, rows, words), words)
    _hide_messages(transaction, rows, words, shown)
    for row in rows:
        values = {
            "address": shown,
            "address_key": hidden,
            "domain": _DOMAIN,
            "name": None,
            "fields": None,
            "orcpt": None,
            "withheld": None if row.withheld is None else words.text(row.withheld),
            "last_outcome": None if row.last_outcome is None else words.text(row.last_outcome),
        }
        transaction.execute(update(delivery).where(delivery.c.id == row.id).values(**values))
    return len(rows)


def _hide_attempts(transaction: Transaction, rows: Sequence[Row[Any]], words: ErasedWords) -> None:
    query = select(attempt.c.id, attempt.c.facts).where(
        attempt.c.message_id.in_([row.message_id for row in rows]),
        attempt.c.delivery_id.in_([row.id for row in rows]),
    )
    for found in transaction.execute(query).all():
        tried, outcome = attempt_from(bytes(found.facts))
        told = json_text((tried, outcome))
        hidden = words.text(told)
        if hidden != told:
            facts = attempt_facts(*attempt_from(hidden.encode()))
            changing = update(attempt).where(attempt.c.id == found.id)
            transaction.execute(changing.values(facts=facts))


def _clicks(
    connection: Connection, account_id: int, key: str, after: int
) -> tuple[Links, int | None]:
    """What the address clicked in some messages above `after`; where to go on, None: that is all.

    A click that was counted alone has no target.
    """
    sent = select(delivery.c.message_id).where(
        delivery.c.address_key == key,
        delivery.c.account_id == account_id,
        delivery.c.message_id > after,
    )
    some = sent.distinct().order_by(delivery.c.message_id).limit(_PIECE)
    ids = list(connection.scalars(some))
    query = (
        select(event.c.detail, message.c.list_id, message.c.campaign)
        .join(message, message.c.id == event.c.message_id)
        .join(delivery, delivery.c.id == event.c.delivery_id)
        .where(event.c.message_id.in_(ids), event.c.type == EventType.CLICKED.value)
        .where(delivery.c.address_key == key)
    )
    clicks: Links = Counter()
    for row in connection.execute(query):
        if target := json.loads(row.detail).get("target"):
            clicks[row.list_id, row.campaign, target] += 1
    return clicks, ids[-1] if ids else None


def _hide_events(transaction: Transaction, rows: Sequence[Row[Any]], words: ErasedWords) -> Links:
    """What was clicked by whom is counted alone; how often, by link."""
    clicks: Links = Counter()
    query = (
        select(event.c.id, event.c.type, event.c.detail, message.c.list_id, message.c.campaign)
        .join(message, message.c.id == event.c.message_id)
        .where(
            event.c.message_id.in_([row.message_id for row in rows]),
            event.c.delivery_id.in_([row.id for row in rows]),
            event.c.detail != "",
        )
    )
    for found in transaction.execute(query).all():
        detail = words.text(found.detail)
        if found.type in _ANSWERS:
            said = json.loads(found.detail)
            if "target" in said:
                clicks[found.list_id, found.campaign, said["target"]] += 1
            by = said.get("by")
            detail = json_text({"by": by}) if by else ""
        if detail != found.detail:
            changing = update(event).where(event.c.id == found.id)
            transaction.execute(changing.values(detail=detail))
    return clicks


def _hide_messages(
    transaction: Transaction, rows: Sequence[Row[Any]], words: ErasedWords, shown: str
) -> None:
    own = Counter(row.message_id for row in rows)
    query = select(
        message.c.id,
        message.c.recipients,
        message.c.subject,
        message.c.search,
        message.c.prepend,
        message.c.campaign_name,
        message.c.options,
        *(message.c[name] for name in _OF_ENVELOPE),
    ).where(message.c.id.in_(own))
    for found in transaction.execute(query).all():
        values: dict[str, Any] = {
            "subject": words.words(found.subject),
            "search": words.words(found.search),
            "prepend": words.octets(bytes(found.prepend)),
        }
        if found.campaign_name is not None:
            values["campaign_name"] = words.words(found.campaign_name)
        if found.options is not None:
            values["options"] = words.text(found.options)
        if found.recipients <= own[found.id]:  # then what it says is said to this one
            said = found._mapping  # noqa: SLF001 - its API
            values |= {
                name: None if said[name] is None else words.text(said[name])
                for name in _OF_ENVELOPE
            }
            shows = (GONE, values["header_from"], values["sender"] or "", shown)
            values |= {"subject": GONE, "options": None, "search": "\n".join(shows).lower()}
        transaction.execute(update(message).where(message.c.id == found.id).values(**values))
