"""Every contract of the store once more, over PostgreSQL."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from tests.contracts import erasure_contract, queue_contract, recipients_contract
from tests.store import test_accounts, test_history, test_people, test_sandbox
from tests.store.postgresql_case import PostgresqlCase


class QueueTests(PostgresqlCase, queue_contract.QueueContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        store = await self.started()
        self.queue, self.contents, self.ids = store.queue, store.contents, store.ids


class BlockingQueueTests(PostgresqlCase, queue_contract.QueueContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        store = self.open_blocking()
        self.queue, self.contents, self.ids = store.queue, store.contents, store.ids


class RecipientsTests(PostgresqlCase, recipients_contract.RecipientsContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        await self.use(await self.started())


class ErasureTests(PostgresqlCase, erasure_contract.ErasureContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        await self.use(await self.started())

    async def test_D16_a_move_ends_after_what_is_being_counted_by_the_old_key(self) -> None:
        import psycopg
        from twisted.internet import reactor

        key, (item,) = await self.shared(1)
        of_key = "counter_campaign WHERE campaign = %s AND metric IN ('accepted', 'delivered')"
        row = (self.account, self.mails, key, "delivered", 0, 1)
        with psycopg.connect(self.url) as other:
            locking = "SELECT id FROM delivery WHERE id = %s FOR UPDATE"
            other.execute(locking, [item.deliveries[0].id])
            erasing = ensureDeferred(self.erase())
            while not (erasing.called or self.server.execute(_WAITING, self.database)[0][0]):
                await deferLater(reactor, 0.01)
            other.execute("INSERT INTO counter_campaign VALUES (%s, %s, %s, %s, %s, %s)", row)
        await erasing
        self.assertEqual((await self.totals())["accepted"], 2)
        with psycopg.connect(self.url) as other:
            self.assertEqual(other.execute(f"SELECT n FROM {of_key}", [key]).fetchall(), [])


_WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
 WHERE NOT granted AND relation = 'delivery'::regclass AND datname = current_database()
"""


class ListTests(PostgresqlCase, test_accounts.ListTests):
    pass


class UserTests(PostgresqlCase, test_accounts.UserTests):
    pass


class DomainTests(PostgresqlCase, test_accounts.DomainTests):
    pass


class MessageTests(PostgresqlCase, test_history.MessageTests):
    pass


class TimelineTests(PostgresqlCase, test_history.TimelineTests):
    pass


class WaitingTests(PostgresqlCase, test_history.QueueTests):
    pass


class CounterTests(PostgresqlCase, test_history.CounterTests):
    pass


class PeopleTests(PostgresqlCase, test_people.PeopleTests):
    pass


class SandboxTests(PostgresqlCase, test_sandbox.SandboxTests):
    pass
