"""The settle transaction: the outcomes of many deliveries at once.

Guarantees: a final delivery never changes again; a settlement that is repeated changes
nothing, and its reports with it; a message's content goes with its last delivery: the row in the
same transaction, the file after the commit. Runs in the writer's thread; may run twice. What is
told of an attempt is put into words before the transaction begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, bindparam, delete, null, select, update

from smtpplus.rules.providers import provider_of
from smtpplus.store.accepts import Accepts
from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import IdsSql, StoreDialect, insert_sql, update_sql
from smtpplus.store.facts import Facts, FactSql, detail_text
from smtpplus.store.recipient_counts import Ended, Key, RecipientSql
from smtpplus.store.rows import attempt_facts, json_text, safe_text
from smtpplus.store.schema import attempt, content, delivery, message
from smtpplus.store.suppression_sql import suppress
from smtpplus.values.message import Accepted, DeliveryState, EventType, Settlement
from smtpplus.values.outcome import Result, Stage

__all__ = ["SettleRows", "Settled", "Settlements"]

_TEXT_IN_EVENT = 500
_EVENTS = {
    DeliveryState.QUEUED: EventType.DEFERRED,
    DeliveryState.HELD: EventType.HELD,
    DeliveryState.DELIVERED: EventType.DELIVERED,
    DeliveryState.BOUNCED: EventType.BOUNCED,
    DeliveryState.EXPIRED: EventType.EXPIRED,
    DeliveryState.CANCELLED: EventType.CANCELLED,
}
_STATES = {state.value: state for state in DeliveryState}
_WORDS = {state: state.value for state in DeliveryState}  # as Enum's own ``value``, sooner
_STAGES = {stage: stage.value for stage in Stage}
_RESULTS = {result: result.value for result in Result}
_QUEUED, _HELD = DeliveryState.QUEUED, DeliveryState.HELD
_FINAL = frozenset(state for state in DeliveryState if state.is_final)

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
_IDS: BindParameter[list[int]] = bindparam("ids", expanding=True)
_STANDING = select(
    delivery.c.id,
    delivery.c.state,
    delivery.c.attempts,
    delivery.c.delay_reported,
    delivery.c.due_at,
    delivery.c.lease_node,
    delivery.c.provider,
).where(delivery.c.id.in_(_IDS))
# Locked in the order of their ids, so that two nodes never wait for each other in a circle.
_STANDING = _STANDING.order_by(delivery.c.id).with_for_update()
_LEFT = select(message.c.id, message.c.remaining, message.c.in_file).where(message.c.id.in_(_IDS))
_NO_CONTENT = delete(content).where(content.c.message_id.in_(_IDS))
_REMAINING = (
    update(message)
    .where(message.c.id == bindparam("n_id"))
    .values(remaining=message.c.remaining - bindparam("n_ended"))
)


@dataclass(frozen=True, slots=True)
class Settled:
    """One call of settle: outcomes, and the reports (DSNs) about them.

    Once it is written: `queued`, the reports that were, and `suppressed`, whom it stops being
    mailed.
    """

    settlements: tuple[Settlement, ...]
    reports: tuple[Accepted, ...] = ()
    queued: set[int] = field(default_factory=set)
    suppressed: set[Key] = field(default_factory=set)


class _One(NamedTuple):
    """A settlement, and what of its rows does not depend on where its delivery stands."""

    settlement: Settlement
    attempt: tuple[Any, ...] | None
    outcome: str
    detail: str
    provider: str | None


class SettleRows(NamedTuple):
    """What one call of settle may write."""

    settled: Settled
    ones: list[_One]


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

    def rows(self, item: Settled) -> SettleRows:
        """What `write` takes."""
        ones = [
            _One(
                settlement,
                None if settlement.attempt is None else self._attempt_row(settlement),
                json_text(settlement.outcome),
                _detail(settlement),
                _provider(settlement),
            )
            for settlement in item.settlements
        ]
        return SettleRows(item, ones)

    def write(self, transaction: Transaction, items: Sequence[SettleRows]) -> None:
        """Write all settlements of all `items`, and the reports that belong to them."""
        ids = {one.settlement.delivery.id for item in items for one in item.ones}
        standing = {
            row[0]: _Standing(_STATES[row[1]], row[2], bool(row[3]), row[4], row[5], row[6])
            for row in transaction.of_ids(self._standing, ids)
        }
        gathered = _Gathered(Facts(self._facts), Ended(self._recipients), standing)
        reports: list[Accepted] = []
        for item in items:
            changed = {
                one.settlement.delivery.message.id
                for one in item.ones
                if self._gather(one, gathered)
            }
            wanted = [one for one in item.settled.reports if one.reports_on in changed]
            item.settled.queued.clear()  # this may be the second run
            item.settled.queued.update(one.message.id for one in wanted)
            reports += wanted
        transaction.many(self._deliveries, gathered.deliveries)
        transaction.many(self._attempts, gathered.attempts)
        gathered.facts.write(transaction)
        self._end_messages(transaction, gathered.ended)
        self._end_recipients(transaction, gathered.recipients, [item.settled for item in items])
        if reports:
            # Their events come after those that they report.
            self._accepts.write(transaction, [self._accepts.rows(one) for one in reports])

    def _end_recipients(
        self, transaction: Transaction, recipients: Ended, items: Sequence[Settled]
    ) -> None:
        """Count at the recipients; whom not to mail any more is suppressed at once (P7)."""
        stopped: set[Key] = set()
        for key, settlement, suppression in recipients.write(transaction):
            address = str(settlement.delivery.recipient.address)
            ids, at = self._facts.ids, settlement.at
            suppress(transaction, ids, *key, address, suppression, "", at)
            stopped.add(key)
        for item in items:
            item.suppressed.clear()
            item.suppressed.update(stopped)

    def _gather(self, one: _One, gathered: _Gathered) -> bool:
        """Add what one settlement writes; False: it changes no delivery."""
        settlement = one.settlement
        before = gathered.standing.get(settlement.delivery.id)
        if before is None or not _applies(settlement, before, self._node):
            if before is not None and _is_too_late(settlement, before):
                _keep_attempt(one, before, gathered)
            return False
        after = _after(one, before)
        gathered.standing[settlement.delivery.id] = after
        gathered.deliveries.append(_delivery_row(one, after))
        if one.attempt is not None:
            gathered.attempts.append(one.attempt)
        gathered.facts.add(
            _EVENTS[settlement.state],
            settlement.at,
            settlement.delivery.message,
            delivery_id=settlement.delivery.id,
            detail=one.detail,
            provider=after.provider or "",
        )
        if settlement.state in _FINAL:
            gathered.recipients.add(settlement)
            gathered.ended[settlement.delivery.message.id] += 1
        return True

    def _attempt_row(self, settlement: Settlement) -> tuple[Any, ...]:
        tried = settlement.attempt
        assert tried is not None
        return (
            self._facts.ids.next(settlement.at),
            settlement.delivery.id,
            settlement.delivery.message.id,
            tried.started_at,
            _RESULTS[settlement.outcome.result],
            safe_text(tried.host),
            attempt_facts(tried, settlement.outcome),
        )

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


def _keep_attempt(one: _One, before: _Standing, gathered: _Gathered) -> None:
    """The attempt that was under way when its delivery was cancelled: kept, not counted."""
    after = before._replace(attempts=before.attempts + 1)
    gathered.standing[one.settlement.delivery.id] = after
    gathered.deliveries.append(_delivery_row(one, after))
    assert one.attempt is not None
    gathered.attempts.append(one.attempt)


class _Standing(NamedTuple):
    """Where a delivery stands while settlements are applied one after the other."""

    state: DeliveryState
    attempts: int
    delay_reported: bool
    due_at: float
    lease: int | None  # the node that has it
    provider: str | None


class _Gathered:
    """What one transaction is going to write."""

    def __init__(self, facts: Facts, recipients: Ended, standing: dict[int, _Standing]) -> None:
        self.facts = facts
        self.recipients = recipients
        self.standing = standing
        self.deliveries: list[tuple[Any, ...]] = []
        self.attempts: list[tuple[Any, ...]] = []
        self.ended: Counter[int] = Counter()


def _applies(settlement: Settlement, before: _Standing, node: int) -> bool:
    """A final state always counts, once; a deferral only if it is not older than the row.

    An attempt by a node whose lease went to another meanwhile does not: that one is about to
    say what became of the delivery.
    """
    if before.state in _FINAL:
        return False
    is_anothers = before.lease is not None and before.lease != node
    if is_anothers and settlement.attempt is not None:
        return False
    if settlement.state in _FINAL:
        return True
    if before.attempts > settlement.delivery.attempts:
        return False
    return not (before.state is DeliveryState.HELD and settlement.state is DeliveryState.HELD)


def _is_too_late(settlement: Settlement, before: _Standing) -> bool:
    """Did its delivery get cancelled while this attempt was under way?"""
    is_cancelled = before.state is DeliveryState.CANCELLED
    is_new = before.attempts <= settlement.delivery.attempts
    return is_cancelled and is_new and settlement.attempt is not None


def _after(one: _One, before: _Standing) -> _Standing:
    settlement = one.settlement
    tried = settlement.attempt is not None or settlement.state is _QUEUED
    due_at = before.due_at if settlement.due_at is None else settlement.due_at
    was_held = before.state is _HELD and settlement.state is _QUEUED
    return _Standing(
        before.state if was_held else settlement.state,  # held meanwhile: it stays so
        before.attempts + tried,
        before.delay_reported or settlement.delay_reported,
        due_at,
        None,
        one.provider or before.provider,
    )


def _provider(settlement: Settlement) -> str | None:
    """Whose servers the attempt spoke to."""
    tried = settlement.attempt
    if tried is None or not tried.host:
        return None
    return provider_of(tried.host, settlement.delivery.domain)


def _delivery_row(one: _One, after: _Standing) -> tuple[Any, ...]:
    settlement = one.settlement
    return (
        _WORDS[after.state],
        after.due_at,
        after.attempts,
        after.delay_reported,
        settlement.at if after.state in _FINAL else None,
        one.outcome,
        after.provider,
        settlement.delivery.id,
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
    if settlement.due_at is not None and settlement.state is _QUEUED:
        detail["due_at"] = settlement.due_at
    if outcome.uncertain:
        detail["uncertain"] = True
    return detail_text(detail)
