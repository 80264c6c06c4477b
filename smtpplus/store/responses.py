"""Opens, clicks and unsubscribes, on a database: `IResponses`.

Guarantees: as the port says. What several ask to be recorded at the same time shares one
transaction, one statement a table; what was recorded as a person's and is corrected has some of
its own. Runs in the writer's thread; may run twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence

from sqlalchemy import Connection, bindparam, func, select, update
from zope.interface import implementer

from smtpplus.ports import IResponses
from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import IDS, IdsSql, StoreDialect, insert_sql, update_sql
from smtpplus.store.facts import Facts, FactSql
from smtpplus.store.messages import chunks
from smtpplus.store.recipient_counts import Key
from smtpplus.store.response_facts import KINDS, Answered, ResponseFacts, response_detail
from smtpplus.store.schema import delivery, link, mail_list, message, recipient
from smtpplus.store.subscription_sql import end_subscription, renew_subscription
from smtpplus.store.suppression_sql import ERASED, lift, suppress
from smtpplus.store.suppressions import SqlSuppressions
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import NotFoundError
from smtpplus.values.message import DeliveryState
from smtpplus.values.response import Response, ResponseKind

__all__ = ["LINK_AGAIN", "SqlResponses"]

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
LINK_AGAIN = (
    " ON CONFLICT (list_id, campaign, target, node) DO UPDATE SET"
    " persons = link.persons + excluded.persons, others = link.others + excluded.others"
)


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
        self._links = insert_sql(link, dialect, LINK_AGAIN)

    # ------------------------------------------------ opens and clicks

    def record(
        self, responses: Sequence[Response], mistaken: Sequence[Response] = ()
    ) -> Awaitable[None]:
        """See `IResponses.record`."""
        kinds = {one.kind for one in (*responses, *mistaken)}
        strange = kinds - {ResponseKind.OPENED, ResponseKind.CLICKED}
        if strange:
            raise ValueError(f"{', '.join(sorted(strange))}: only opens and clicks are recorded")
        return self._transactions.join(self._write, (tuple(responses), tuple(mistaken)))

    def _write(
        self,
        transaction: Transaction,
        items: Sequence[tuple[tuple[Response, ...], tuple[Response, ...]]],
    ) -> list[None]:
        responses = [one for item in items for one in item[0]]
        mistaken = [one for item in items for one in item[1]]
        sent = self._look_up(transaction, {one.delivery_id for one in (*responses, *mistaken)})
        gathered = ResponseFacts()
        for one in mistaken:
            about = sent.get(one.delivery_id)
            if about is not None and about.is_meant(one):
                gathered.correct(transaction, about.as_kept(one), about)
        for one in responses:
            about = sent.get(one.delivery_id)
            if about is not None and about.is_meant(one):
                gathered.add(about.as_kept(one), about)
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

    def _look_up(self, transaction: Transaction, ids: Collection[int]) -> dict[int, Answered]:
        return {row[0]: Answered(*row) for row in transaction.of_ids(self._sent, ids)}

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

    def _meant(self, transaction: Transaction, response: Response) -> Answered:
        about = self._look_up(transaction, [response.delivery_id]).get(response.delivery_id)
        if about is None or not about.is_meant(response):
            raise NotFoundError("The mail that this link came with is not known here any more.")
        of_account = select(mail_list.c.id).where(
            mail_list.c.id == response.list_id, mail_list.c.account_id == about.account_id
        )
        if transaction.execute(of_account).first() is None:
            raise NotFoundError("There is no such list any more.")
        return about

    def _tell(self, transaction: Transaction, response: Response, about: Answered) -> None:
        facts = Facts()
        facts.add(
            KINDS[response.kind],
            response.at,
            about.counted(response.list_id),
            delivery_id=about.id,
            detail=response_detail(about.as_kept(response)),
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
