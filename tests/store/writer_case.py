"""A store that has another process's writer write for it; here both are one process."""

from __future__ import annotations

import os

from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from smtpplus.store.store import Place, Store
from smtpplus.store.write_service import WriteService, open_write_service
from tests.store.samples import StoreCase


class KilledError(Exception):
    """What a test lets happen to a writer."""


class WriterCase(StoreCase):
    """`written` is a store with a writer, `writer`, which `turns` in the reactor unless `is_frozen`.

    `told` is what the writer has said of its trouble, `heard` what was said on `control`.
    """

    writer: WriteService
    turns: LoopingCall
    is_frozen: bool
    told: list[str]
    heard: list[bytes]
    control: int

    async def written(self) -> Store:
        """A running store whose writer is there, both closed at the test's end."""
        store = self.open(place=Place(0, 2))
        await store.start()
        self.addCleanup(store.close)
        self.start_writer()
        return store

    def start_writer(self) -> None:
        """Start a writer, and let those who look for one find it."""
        control, end = os.pipe()
        self.told, self.heard, self.control = [], [], end
        writer = open_write_service(
            self.url, self.data_dir, "one.writer", control, self.told.append, self.heard.append
        )
        self.is_frozen = False
        turns = LoopingCall(self._turn)
        self.addCleanup(os.close, control)
        self.addCleanup(os.close, end)
        self.writer, self.turns = writer, turns
        turns.start(0).addBoth(self._ended, writer)
        self.addCleanup(lambda: turns.stop() if turns.running else None)
        self.timers.advance(0.2)

    def _turn(self) -> None:
        if not self.is_frozen:
            self.writer.turn(0)

    def kill_writer(self) -> None:
        """As a kill would."""
        self.turns.stop()

    def _ended(self, result: object, writer: WriteService) -> None:
        writer.close()
        if isinstance(result, Failure):
            result.trap(KilledError)
