"""The contract of recipients, suppressions, responses and campaigns over SQLite."""

from __future__ import annotations

from tests.contracts import erasure_contract, recipients_contract


class SqliteTests(recipients_contract.RecipientsContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        await self.use(await self.started())


class BlockingTests(recipients_contract.RecipientsContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        await self.use(self.open_blocking())


class SqliteErasureTests(erasure_contract.ErasureContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        await self.use(await self.started())
