"""Processes that accept without end and say which ids are safe: for the tests that kill them.

Argument: a data directory. For each line with a seed on standard input a process is forked; it
writes its id, and ``id sha256`` for each message acknowledged. When it is dead, ``ended``.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from pathlib import Path

from twisted.internet.defer import ensureDeferred

from smtpplus.net.clock import ReactorClock
from smtpplus.store.store import Store, open_store
from smtpplus.values.message import DeliveryState
from tests.store.samples import SECRET, accepted, delivery_of, settlement

CALLERS = 10


async def _accept(store: Store, dice: random.Random) -> None:
    while True:
        octets = dice.randbytes(dice.choice([100, 5_000, 20_000, 300_000]))
        content = octets if len(octets) <= 131_072 else None
        item = accepted(store.ids, at=time.time(), content=content, octets=len(octets), leased=True)
        if content is None:
            writer = await store.contents.begin(item.message.id)
            await writer.write(octets)
            await writer.finish()
        await store.queue.accept(item)
        digest = hashlib.sha256(octets).hexdigest()
        os.write(1, f"{item.message.id} {digest}\n".encode())
        if dice.random() < 0.3:
            deferred = settlement(delivery_of(item), DeliveryState.QUEUED, due_at=time.time())
            await store.queue.settle([deferred])


async def _main(folder: Path, seed: int) -> None:
    from twisted.internet import reactor

    store = open_store(
        f"sqlite:///{folder}/store.sqlite",
        folder,
        reactor=reactor,  # type: ignore[arg-type]
        clock=ReactorClock(reactor),
        node_name="killed",
        secret=SECRET,
    )
    await store.start()
    await store.queue.recover(time.time())
    for caller in range(CALLERS):
        ensureDeferred(_accept(store, random.Random(seed * CALLERS + caller)))


def _run(folder: Path, seed: int) -> None:
    from twisted.internet import reactor

    os.write(1, f"{os.getpid()}\n".encode())
    reactor.callWhenRunning(lambda: ensureDeferred(_main(folder, seed)))
    reactor.run()


if __name__ == "__main__":
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            _run(Path(sys.argv[1]), int(line))
        os.waitpid(process, 0)
        os.write(1, b"ended\n")
