"""Every contract of the store once more, over PostgreSQL."""

from __future__ import annotations

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
