"""Opens, clicks and unsubscribes, on a database: `IResponses`.

Guarantees: as the port says. What several ask to be recorded at the same time shares one
transaction, one statement a table. Runs in the writer's thread; may run twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, update
from zope.interface import implementer

from smtpplus.ports import IResponses
from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import IDS, IdsSql, StoreDialect, insert_sql, update_sql
from smtpplus.store.facts import ONCE, PERSON, Counted, Facts, FactSql, detail_text, hour_of
from smtpplus.store.messages import chunks
from smtpplus.store.recipient_counts import Key
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import delivery, link, mail_list, message, recipient
from smtpplus.store.subscription_sql import end_subscription, renew_subscription
from smtpplus.store.suppression_sql import ERASED, lift, suppress
from smtpplus.store.suppressions import SqlSuppressions
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import NotFoundError
from smtpplus.values.message import DeliveryState, EventType
from smtpplus.values.response import Response, ResponseKind

__all__ = ["SqlResponses"]

_MOST_TARGET = 1_000
_NO_MESSAGE = 0  # what is only counted belongs to nobody
_KINDS = {
    ResponseKind.OPENED: EventType.OPENED,
    ResponseKind.CLICKED: EventType.CLICKED,
    ResponseKind.UNSUBSCRIBED: EventType.UNSUBSCRIBED,
    ResponseKind.RESUBSCRIBED: EventType.RESUBSCRIBED,
}
_BY_RECIPIENT = "recipient"  # who has lifted a suppression by its own undo

_SENT = (
    select(
        delivery.c.id,
        delivery.c.message_id,
        message.c.account_id,
        message.c.list_id,
        message.c.user_id,
        message.c.campaign,
        delivery.c.address_key,
        delivery.c.address,
        delivery.c.provider,
        delivery.c.opened_at,
        delivery.c.clicked_at,
    )
    .join(message, message.c.id == delivery.c.message_id)
    .where(delivery.c.id.in_(IDS), delivery.c.withheld.is_(None))  # never sent: nobody opened it
    .order_by(delivery.c.id)
    .with_for_update(of=delivery)
)
_FIRST_NAMES = ["n_opened", "n_clicked", "n_id"]
_FIRST = (
    update(delivery)
    .where(delivery.c.id == bindparam("n_id"))
    .ordered_values(
        (delivery.c.opened_at, func.coalesce(delivery.c.opened_at, bindparam("n_opened"))),
        (delivery.c.clicked_at, func.coalesce(delivery.c.clicked_at, bindparam("n_clicked"))),
    )
)
_COUNT_NAMES = ["n_opens", "n_open_at", "n_clicks", "n_click_at", "n_account", "n_key"]
_COUNT = (
    update(recipient)
    .where(recipient.c.account_id == bindparam("n_account"))
    .where(recipient.c.address_key == bindparam("n_key"))
    .ordered_values(
        (recipient.c.opens, recipient.c.opens + bindparam("n_opens")),
        (
            recipient.c.last_open_at,
            func.coalesce(bindparam("n_open_at"), recipient.c.last_open_at),
        ),
        (recipient.c.clicks, recipient.c.clicks + bindparam("n_clicks")),
        (
            recipient.c.last_click_at,
            func.coalesce(bindparam("n_click_at"), recipient.c.last_click_at),
        ),
    )
)
_LINK_AGAIN = (
    " ON CONFLICT (list_id, campaign, target, node) DO UPDATE SET"
    " persons = link.persons + excluded.persons, others = link.others + excluded.others"
)


@dataclass(slots=True)
class _Sent:
    """The delivery that is answered."""

    id: int
    message_id: int
    account_id: int
    list_id: int
    user_id: int
    campaign: str
    address_key: str
    address: str
    provider: str | None
    opened_at: float | None
    clicked_at: float | None

    def is_meant(self, response: Response) -> bool:
        """Does the response's token name this delivery?"""
        return (self.message_id, self.account_id) == (response.message_id, response.account_id)

    def counted(self, list_id: int | None = None) -> Counted:
        """What it is counted as; in another list it belongs to no campaign."""
        of_list = self.list_id if list_id is None else list_id
        campaign = self.campaign if of_list == self.list_id else ""
        return Counted(self.message_id, self.account_id, of_list, self.user_id, campaign)


@dataclass(slots=True)
class _Counts:
    """What persons did, at one recipient or one link."""

    opens: int = 0
    opened_at: float | None = None
    clicks: int = 0
    clicked_at: float | None = None
    others: int = 0


class _Gathered:
    """What one transaction is going to write."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.first: dict[int, _Sent] = {}
        self.recipients: defaultdict[Key, _Counts] = defaultdict(_Counts)
        self.links: defaultdict[tuple[int, str, str], _Counts] = defaultdict(_Counts)


@implementer(IResponses)
class SqlResponses:
    """Responses to what a store's queue has delivered."""

    def __init__(
        self,
        transactions: Transactions,
        dialect: StoreDialect,
        facts: FactSql,
        suppressions: SqlSuppressions,
    ) -> None:
        self._transactions = transactions
        self._facts = facts
        self._suppressions = suppressions
        self._sent = IdsSql(_SENT, dialect)
        self._first = update_sql(_FIRST, _FIRST_NAMES, dialect)
        self._counts = update_sql(_COUNT, _COUNT_NAMES, dialect)
        self._links = insert_sql(link, dialect, _LINK_AGAIN)

    # ------------------------------------------------ opens and clicks

    def record(self, responses: Sequence[Response]) -> Awaitable[None]:
        """See `IResponses.record`."""
        strange = {one.kind for one in responses} - {ResponseKind.OPENED, ResponseKind.CLICKED}
        if strange:
            raise ValueError(f"{', '.join(sorted(strange))}: only opens and clicks are recorded")
        return self._transactions.join(self._write, tuple(responses))

    def _write(self, transaction: Transaction, items: Sequence[tuple[Response, ...]]) -> list[None]:
        responses = [one for item in items for one in item]
        sent = self._look_up(transaction, {one.delivery_id for one in responses})
        gathered = _Gathered(Facts())
        for one in responses:
            about = sent.get(one.delivery_id)
            if about is not None and about.is_meant(one):
                _gather(one, about, gathered)
        firsts = [(one.opened_at, one.clicked_at, one.id) for one in gathered.first.values()]
        transaction.many(self._first, firsts)
        gathered.facts.write(transaction, self._facts)
        rows = [
            (one.opens, one.opened_at, one.clicks, one.clicked_at, *key)
            for key, one in sorted(gathered.recipients.items(), key=lambda item: item[0])
        ]
        transaction.many(self._counts, rows)
        links = [
            (*key, self._facts.node, one.clicks, one.others) for key, one in gathered.links.items()
        ]
        transaction.many(self._links, links)
        return [None] * len(items)

    def _look_up(self, transaction: Transaction, ids: Collection[int]) -> dict[int, _Sent]:
        return {row[0]: _Sent(*row) for row in transaction.of_ids(self._sent, ids)}

    # ------------------------------------------------ subscriptions

    async def unsubscribe(self, response: Response) -> bool:
        """See `IResponses.unsubscribe`."""
        left: list[Key] = []

        def work(transaction: Transaction) -> bool:
            about = self._meant(transaction, response)
            key, list_id = about.address_key, response.list_id
            account_id, at = about.account_id, response.at
            if not end_subscription(transaction, account_id, list_id, key, at, response.reason):
                return False
            wanted = Suppression(
                Scope.LIST, Reason.UNSUBSCRIBE, at, list_id=list_id, detail=response.reason
            )
            address = "" if key.startswith(ERASED) else about.address
            suppress(transaction, self._facts.ids, account_id, key, address, wanted, "", at)
            self._tell(transaction, response, about)
            left[:] = [(account_id, key)]
            return True

        done = await self._transactions.write(work)
        self._suppressions.note(left)
        return done

    async def resubscribe(self, response: Response) -> bool:
        """See `IResponses.resubscribe`."""

        def work(transaction: Transaction) -> bool:
            about = self._meant(transaction, response)
            key, list_id = about.address_key, response.list_id
            if not renew_subscription(transaction, list_id, key, response.at):
                return False
            lift(
                transaction,
                about.account_id,
                [key],
                list_id,
                Reason.UNSUBSCRIBE,
                response.at,
                _BY_RECIPIENT,
            )
            self._tell(transaction, response, about)
            return True

        return await self._transactions.write(work)

    def _meant(self, transaction: Transaction, response: Response) -> _Sent:
        about = self._look_up(transaction, [response.delivery_id]).get(response.delivery_id)
        if about is None or not about.is_meant(response):
            raise NotFoundError("The mail that this link came with is not known here any more.")
        of_account = select(mail_list.c.id).where(
            mail_list.c.id == response.list_id, mail_list.c.account_id == about.account_id
        )
        if transaction.execute(of_account).first() is None:
            raise NotFoundError("There is no such list any more.")
        return about

    def _tell(self, transaction: Transaction, response: Response, about: _Sent) -> None:
        facts = Facts()
        facts.add(
            _KINDS[response.kind],
            response.at,
            about.counted(response.list_id),
            delivery_id=about.id,
            detail=_detail(response),
            provider=about.provider or "",
        )
        facts.write(transaction, self._facts)

    # ------------------------------------------------ what a token's delivery is

    async def delivery(self, message_id: int, delivery_id: int) -> tuple[str, str, float] | None:
        """See `IResponses.delivery`."""
        query = (
            select(
                delivery.c.address,
                mail_list.c.name,
                delivery.c.state,
                delivery.c.settled_at,
                delivery.c.address_key,
            )
            .join(message, message.c.id == delivery.c.message_id)
            .join(mail_list, mail_list.c.id == message.c.list_id)
            .where(delivery.c.id == delivery_id, delivery.c.message_id == message_id)
        )

        def work(connection: Connection) -> tuple[str, str, float] | None:
            row = connection.execute(query).first()
            if row is None or row.address_key.startswith(ERASED):
                return None
            is_delivered = row.state == DeliveryState.DELIVERED.value
            return row.address, row.name, float(row.settled_at) if is_delivered else 0.0

        return await self._transactions.read(work)

    async def delivered_at(self, delivery_ids: Collection[int]) -> Mapping[int, float]:
        """See `IResponses.delivered_at`."""
        query = select(delivery.c.id, delivery.c.settled_at).where(
            delivery.c.state == DeliveryState.DELIVERED.value
        )

        def work(connection: Connection) -> dict[int, float]:
            found: dict[int, float] = {}
            for some in chunks(delivery_ids):
                rows = connection.execute(query.where(delivery.c.id.in_(some)))
                found |= {row.id: float(row.settled_at) for row in rows}
            return found

        return await self._transactions.read(work)


def _gather(response: Response, about: _Sent, gathered: _Gathered) -> None:
    """Add what one open or click writes."""
    kind, is_open = _KINDS[response.kind], response.kind is ResponseKind.OPENED
    provider, by = about.provider or "", safe_text(response.by)
    counted = about.counted()
    if response.only_counted:
        at = float(hour_of(response.at))
        gathered.facts.add(
            kind,
            at,
            counted,
            about=_NO_MESSAGE,
            detail=detail_text({"by": response.by}),
            provider=provider,
            by=by,
        )
        return
    gathered.facts.add(
        kind,
        response.at,
        counted,
        delivery_id=about.id,
        detail=_detail(response),
        provider=provider,
        by=by,
    )
    is_person = by == PERSON
    if not is_open:
        target = safe_text(response.target)[:_MOST_TARGET]
        counts = gathered.links[about.list_id, about.campaign, target]
        counts.clicks += is_person
        counts.others += not is_person
    if not is_person:
        return
    if (about.opened_at if is_open else about.clicked_at) is None:
        gathered.facts.count(ONCE[kind], response.at, counted, provider=provider)
        gathered.first[about.id] = about
        if is_open:
            about.opened_at = response.at
        else:
            about.clicked_at = response.at
    at_recipient = gathered.recipients[about.account_id, about.address_key]
    if is_open:
        at_recipient.opens += 1
        at_recipient.opened_at = max(at_recipient.opened_at or 0.0, response.at)
    else:
        at_recipient.clicks += 1
        at_recipient.clicked_at = max(at_recipient.clicked_at or 0.0, response.at)


def _detail(response: Response) -> str:
    """What of it is kept; empty words are left out."""
    found = {
        "by": response.by,
        "target": response.target[:_MOST_TARGET],
        "link": response.link,
        "ip": response.client_ip,
        "agent": response.agent,
        "reason": response.reason,
    }
    if response.kind in {ResponseKind.UNSUBSCRIBED, ResponseKind.RESUBSCRIBED}:
        del found["by"]
    return detail_text({key: value for key, value in found.items() if value})
