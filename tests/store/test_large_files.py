"""What streams to files is in memory but for a little, however many there are."""

from __future__ import annotations

import tracemalloc

from tests.store.samples import NOW, StoreCase

_MIB = 1024 * 1024


class LargeFilesTests(StoreCase):
    async def test_R_a_hundred_writers_hold_16_mib_together(self) -> None:
        store = await self.started()
        writers = [await store.contents.begin(store.ids.next(NOW)) for _ in range(120)]
        tracemalloc.start(1)
        try:
            before, _ = tracemalloc.get_traced_memory()
            for writer in writers:
                for _ in range(3):
                    await writer.write(bytes(70_000))
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(after - before, 20 * _MIB)  # of 24
        for writer in writers:
            await writer.discard()
