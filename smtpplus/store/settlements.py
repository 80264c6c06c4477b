"""The settle transaction: the outcomes of many deliveries at once.

Guarantees: a final delivery never changes again; a settlement that is repeated changes
nothing, and its reports with it; a message's content goes with its last delivery: the row in the
same transaction, the file after the commit. Rows are made before the transaction begins, by whoever
settles, as those of accepts.py are. Writing may run twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, null, select, update

from smtpplus.rules.providers import provider_of
from smtpplus.store.accepts import AcceptRows, Accepts
from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import IDS, IdsSql, StoreDialect, insert_sql, update_sql
from smtpplus.store.facts import Counted, Facts, FactSql, detail_text
from smtpplus.store.once import forget_names
from smtpplus.store.recipient_counts import Ended, EndRow, Key, RecipientSql, end_row
from smtpplus.store.rows import attempt_facts, json_text, safe_text
from smtpplus.store.schema import attempt, content, delivery, message
from smtpplus.store.suppression_sql import ERASED, suppress
from smtpplus.values.message import Accepted, DeliveryState, EventType, Settlement
from smtpplus.values.outcome import Attempt, Result, Stage

__all__ = ["SettleRows", "Settled", "Settlements", "Settling"]

_TEXT_IN_EVENT = 500
_OF_ROW = ""  # the campaign: see `_STANDING`
_EVENTS = {
    DeliveryState.QUEUED.value: EventType.DEFERRED,
    DeliveryState.HELD.value: EventType.HELD,
    DeliveryState.DELIVERED.value: EventType.DELIVERED,
    DeliveryState.BOUNCED.value: EventType.BOUNCED,
    DeliveryState.EXPIRED.value: EventType.EXPIRED,
    DeliveryState.CANCELLED.value: EventType.CANCELLED,
}
_WORDS = {state: state.value for state in DeliveryState}  # as Enum's own ``value``, sooner
_STAGES = {stage: stage.value for stage in Stage}
_RESULTS = {result: result.value for result in Result}
_QUEUED, _HELD = DeliveryState.QUEUED.value, DeliveryState.HELD.value
_CANCELLED = DeliveryState.CANCELLED.value
_FINAL = frozenset(state.value for state in DeliveryState if state.is_final)

_DELIVERY_NAMES = [
    "n_state",
    "n_due",
    "n_attempts",
    "n_delay",
    "n_settled",
    "n_outcome",
    "n_provider",
    "n_id",
]
_DELIVERY = (
    update(delivery)
    .where(delivery.c.id == bindparam("n_id"))
    .ordered_values(
        (delivery.c.state, bindparam("n_state")),
        (delivery.c.due_at, bindparam("n_due")),
        (delivery.c.attempts, bindparam("n_attempts")),
        (delivery.c.delay_reported, bindparam("n_delay")),
        (delivery.c.settled_at, bindparam("n_settled")),
        (delivery.c.last_outcome, bindparam("n_outcome")),
        (delivery.c.provider, bindparam("n_provider")),
        (delivery.c.lease_node, null()),
        (delivery.c.lease_until, null()),
    )
)
# The campaign is the row's: an erasure may have renamed it since the message was read.
_STANDING = (
    select(
        delivery.c.id,
        delivery.c.state,
        delivery.c.attempts,
        delivery.c.delay_reported,
        delivery.c.due_at,
        delivery.c.lease_node,
        delivery.c.provider,
        message.c.campaign,
    )
    .join(message, message.c.id == delivery.c.message_id)
    .where(delivery.c.id.in_(IDS))
)
# Locked in the order of their ids, so that two nodes never wait for each other in a circle.
_STANDING = _STANDING.order_by(delivery.c.id).with_for_update(of=delivery)
_LEFT = select(message.c.id, message.c.remaining, message.c.in_file).where(message.c.id.in_(IDS))
_NO_CONTENT = delete(content).where(content.c.message_id.in_(IDS))
_REMAINING = (
    update(message)
    .where(message.c.id == bindparam("n_id"))
    .values(remaining=message.c.remaining - bindparam("n_ended"))
)


class Settling(msgspec.Struct, array_like=True, frozen=True):
    """A settlement, and what of its rows does not depend on where its delivery stands."""

    delivery: int
    about: Counted
    state: str  # of `DeliveryState`
    at: float
    due_at: float | None
    attempts: int  # of the delivery, as the settlement knew it
    delay_reported: bool
    attempt: tuple[Any, ...] | None  # its row, but for its id
    outcome: str
    detail: str
    provider: str | None
    end: EndRow | None

    @property
    def is_final(self) -> bool:
        """Is nothing to come any more?"""
        return self.state in _FINAL


class SettleRows(msgspec.Struct, array_like=True, frozen=True):
    """What one call of settle by `node` may write: outcomes, and the reports (DSNs) about them."""

    node: int
    settlements: list[Settling]
    reports: list[AcceptRows]


class Settled(msgspec.Struct, array_like=True, frozen=True):
    """What became of it: the reports that were queued, and whom it stops being mailed."""

    queued: list[int]
    suppressed: list[Key]


class Settlements:
    """Writes outcomes; `remove_large` is called where a large content is to go."""

    def __init__(
        self,
        dialect: StoreDialect,
        facts: FactSql,
        recipients: RecipientSql,
        accepts: Accepts,
        remove_large: Callable[[Transaction, int], None],
    ) -> None:
        self._node = facts.node
        self._facts = facts
        self._recipients = recipients
        self._accepts = accepts
        self._remove_large = remove_large
        self._attempts = insert_sql(attempt, dialect)
        self._deliveries = update_sql(_DELIVERY, _DELIVERY_NAMES, dialect)
        self._standing = IdsSql(_STANDING, dialect)
        self._left = IdsSql(_LEFT, dialect)
        self._no_content = IdsSql(_NO_CONTENT, dialect)
        self._remaining = update_sql(_REMAINING, ["n_ended", "n_id"], dialect)

    def rows(
        self, settlements: Sequence[Settlement], reports: Sequence[Accepted] = ()
    ) -> SettleRows:
        """What `write` takes. Always in the same thread."""
        return SettleRows(
            self._node,
            [_settling(one) for one in settlements],
            [self._accepts.rows(one) for one in reports],
        )

    def write(self, transaction: Transaction, items: Sequence[SettleRows]) -> list[Settled]:
        """Write all settlements of all `items`, and the reports that belong to them."""
        ids = {one.delivery for item in items for one in item.settlements}
        standing = {
            row[0]: _Standing(row[1], row[2], bool(row[3]), *row[4:])
            for row in transaction.of_ids(self._standing, ids)
        }
        gathered = _Gathered(transaction, Ended(self._recipients), standing)
        reports: list[AcceptRows] = []
        queued: list[list[int]] = []
        for item in items:
            changed = {
                one.about.id for one in item.settlements if _gather(one, item.node, gathered)
            }
            wanted = [one for one in item.reports if one.reports_on in changed]
            queued.append([one.id for one in wanted])
            reports += wanted
        transaction.many(self._deliveries, gathered.deliveries)
        next_id = self._facts.ids.next
        tried = [(next_id(at), *row) for at, row in gathered.attempts]
        transaction.many(self._attempts, tried)
        gathered.facts.write(transaction, self._facts)
        self._end_messages(transaction, gathered.ended)
        forget_names(transaction, gathered.cancelled)
        suppressed = self._end_recipients(transaction, gathered.recipients)
        if reports:
            self._accepts.write_reports(transaction, reports)
        return [Settled(ids, suppressed) for ids in queued]

    def write_again(self, transaction: Transaction, items: Sequence[SettleRows]) -> list[Settled]:
        """As `write`, of what may have been written already: reports that are there were queued."""
        reports = [one.id for item in items for one in item.reports]
        known = self._accepts.known(transaction, reports)
        settled = self.write(transaction, items)
        for one, item in zip(settled, items, strict=True):
            one.queued.extend(report.id for report in item.reports if report.id in known)
        return settled

    def _end_recipients(self, transaction: Transaction, recipients: Ended) -> list[Key]:
        """Count at the recipients; whom not to mail any more is suppressed at once (P7)."""
        stopped: dict[Key, None] = {}
        for row, suppression in recipients.write(transaction):
            account_id, key, address = row.account_id, row.key, row.address
            suppress(
                transaction, self._facts.ids, account_id, key, address, suppression, "", row.at
            )
            stopped[account_id, key] = None
        return list(stopped)

    def _end_messages(self, transaction: Transaction, ended: Counter[int]) -> None:
        if not ended:
            return
        in_order = sorted(ended.items())
        transaction.many(self._remaining, [(n, message_id) for message_id, n in in_order])
        rows = []
        for message_id, remaining, in_file in transaction.of_ids(self._left, ended):
            if remaining <= 0 and in_file:
                self._remove_large(transaction, message_id)
            elif remaining <= 0:
                rows.append(message_id)
        transaction.of_ids(self._no_content, rows)


def _settling(settlement: Settlement) -> Settling:
    delivery = settlement.delivery
    about = delivery.message
    return Settling(
        delivery.id,
        Counted(about.id, about.account_id, about.list_id, about.user_id, _OF_ROW),
        _WORDS[settlement.state],
        settlement.at,
        settlement.due_at,
        delivery.attempts,
        settlement.delay_reported,
        None if settlement.attempt is None else _attempt_row(settlement, settlement.attempt),
        json_text(settlement.outcome),
        _detail(settlement),
        _provider(settlement),
        end_row(settlement) if settlement.state.is_final else None,
    )


def _attempt_row(settlement: Settlement, tried: Attempt) -> tuple[Any, ...]:
    """The row of `schema.attempt`, but for its id."""
    return (
        settlement.delivery.id,
        settlement.delivery.message.id,
        tried.started_at,
        _RESULTS[settlement.outcome.result],
        safe_text(tried.host),
        attempt_facts(tried, settlement.outcome),
    )


def _gather(one: Settling, node: int, gathered: _Gathered) -> bool:
    """Add what one settlement of `node` writes; False: it changes no delivery."""
    before = gathered.standing.get(one.delivery)
    if before is None or not _applies(one, before, node):
        if (
            before is not None
            and _is_too_late(one, before)
            and not gathered.is_erased(one.delivery)
        ):
            _keep_attempt(one, before, gathered)
        return False
    after = _after(one, before)
    gathered.standing[one.delivery] = after
    gathered.deliveries.append(_delivery_row(one, after))
    if one.attempt is not None:
        gathered.attempts.append((one.at, one.attempt))
    gathered.facts.add(
        _EVENTS[one.state],
        one.at,
        one.about._replace(campaign=after.campaign),
        delivery_id=one.delivery,
        detail=one.detail,
        provider=after.provider or "",
    )
    if one.is_final:
        gathered.ended[one.about.id] += 1
        if one.state == _CANCELLED:
            gathered.cancelled[one.about.id] = one.about.user_id
        if one.end is not None:
            gathered.recipients.add(one.end)
    return True


def _keep_attempt(one: Settling, before: _Standing, gathered: _Gathered) -> None:
    """The attempt that was under way when its delivery was cancelled: kept, not counted."""
    after = before._replace(attempts=before.attempts + 1)
    gathered.standing[one.delivery] = after
    gathered.deliveries.append(_delivery_row(one, after))
    assert one.attempt is not None
    gathered.attempts.append((one.at, one.attempt))


class _Standing(NamedTuple):
    """Where a delivery stands while settlements are applied one after the other."""

    state: str
    attempts: int
    delay_reported: bool
    due_at: float
    lease: int | None  # the node that has it
    provider: str | None
    campaign: str


class _Gathered:
    """What one transaction is going to write."""

    def __init__(
        self, transaction: Transaction, recipients: Ended, standing: dict[int, _Standing]
    ) -> None:
        self._transaction = transaction
        self.facts = Facts()
        self.recipients = recipients
        self.standing = standing
        self.deliveries: list[tuple[Any, ...]] = []
        self.attempts: list[tuple[float, tuple[Any, ...]]] = []  # when it was settled, its row
        self.ended: Counter[int] = Counter()
        self.cancelled: dict[int, int] = {}  # messages with such deliveries: whose they are

    def is_erased(self, delivery_id: int) -> bool:
        """Was its address forgotten? Then nothing is kept that was said of it."""
        query = select(delivery.c.address_key).where(delivery.c.id == delivery_id)
        key = self._transaction.execute(query).scalar()
        return key is None or str(key).startswith(ERASED)


def _applies(one: Settling, before: _Standing, node: int) -> bool:
    """A final state always counts, once; a deferral only if it is not older than the row.

    An attempt by a node whose lease went to another meanwhile does not: that one is about to
    say what became of the delivery.
    """
    if before.state in _FINAL:
        return False
    is_anothers = before.lease is not None and before.lease != node
    if is_anothers and one.attempt is not None:
        return False
    if one.is_final:
        return True
    if before.attempts > one.attempts:
        return False
    return not (before.state == _HELD and one.state == _HELD)


def _is_too_late(one: Settling, before: _Standing) -> bool:
    """Did its delivery get cancelled while this attempt was under way?"""
    is_new = before.attempts <= one.attempts
    return before.state == _CANCELLED and is_new and one.attempt is not None


def _after(one: Settling, before: _Standing) -> _Standing:
    tried = one.attempt is not None or one.state == _QUEUED
    was_held = before.state == _HELD and one.state == _QUEUED
    return _Standing(
        before.state if was_held else one.state,  # held meanwhile: it stays so
        before.attempts + tried,
        before.delay_reported or one.delay_reported,
        before.due_at if one.due_at is None else one.due_at,
        None,
        one.provider or before.provider,
        before.campaign,
    )


def _provider(settlement: Settlement) -> str | None:
    """Whose servers the attempt spoke to."""
    tried = settlement.attempt
    if tried is None or not tried.host:
        return None
    return provider_of(tried.host, settlement.delivery.domain)


def _delivery_row(one: Settling, after: _Standing) -> tuple[Any, ...]:
    return (
        after.state,
        after.due_at,
        after.attempts,
        after.delay_reported,
        one.at if after.state in _FINAL else None,
        one.outcome,
        after.provider,
        one.delivery,
    )


def _detail(settlement: Settlement) -> str:
    """What its event says."""
    outcome = settlement.outcome
    detail: dict[str, Any] = {
        "stage": _STAGES[outcome.stage],
        "status": str(outcome.status),
        "text": str(outcome.reply or outcome.text)[:_TEXT_IN_EVENT],
    }
    if settlement.attempt is not None and settlement.attempt.host:
        detail["host"] = settlement.attempt.host
    if settlement.due_at is not None and settlement.state is DeliveryState.QUEUED:
        detail["due_at"] = settlement.due_at
    if outcome.uncertain:
        detail["uncertain"] = True
    return detail_text(detail)
