"""Large contents and clients that go away: R5, D, BD1."""

from __future__ import annotations

import tracemalloc

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from smtpplus.values.errors import StoreFullError
from smtpplus.values.message import Accepted
from tests.net.wire import Wire, dial
from tests.submission.rig import SubmissionTestCase, a_mail

MIB = 1024 * 1024


class StreamingTests(SubmissionTestCase):
    async def _open(self, **settings: object) -> Wire:
        await self.start(**settings)
        await self.store.accounts.set_user("alice", {"networks": ("127.0.0.0/8",)})
        return await self._connect()

    async def _connect(self) -> Wire:
        wire = await dial(reactor, self.port)
        await wire.until(b"220 ")
        wire.say(b"EHLO client.test\r\n")
        await wire.until(b"\r\n250 ")
        return wire

    async def _begin(self, wire: Wire) -> None:
        wire.say(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
        await wire.until(b"354 ")

    async def _pour(self, wire: Wire, content: bytes) -> None:
        """Say it in pieces, as the server takes them: the client's buffer is not measured."""
        for start in range(0, len(content), 64 * 1024):
            wire.say(content[start : start + 64 * 1024])
            while wire.transport.dataBuffer or wire.transport._tempDataBuffer:  # type: ignore[union-attr]
                await self.clock.sleep(0)

    async def test_R_all_contents_together_have_a_bound(self) -> None:
        """What is held spills to files where it can; where it cannot, MAIL is refused."""
        first = await self._open(content_memory_octets=2 * MIB)
        wires = [first] + [await self._connect() for _ in range(39)]
        content = a_mail(octets=120 * 1024)
        for wire in wires:
            await self._begin(wire)
            await self._pour(wire, content)
        while len(list(self.folder.rglob("*.part"))) < 22:  # (40 x 120 KiB - 2 MiB) / 120 KiB
            await self.clock.sleep(0.01)
        for wire in wires:
            wire.say(b".\r\n")
            self.assertIn(b"250 2.0.0 queued as", await wire.until(b"\r\n"))
        deliveries = await self.queued()
        self.assertEqual([await self.content(one) for one in deliveries], [content] * 40)

    async def test_R_small_contents_beyond_the_bound_are_put_off(self) -> None:
        first = await self._open(content_memory_octets=60 * 1024)
        wires = [first] + [await self._connect() for _ in range(3)]
        for wire in wires:
            await self._begin(wire)
            await self._pour(wire, a_mail(octets=15 * 1024))
        late = await self._connect()
        late.say(b"MAIL FROM:<a@example.com>\r\n")
        self.assertIn(b"452 4.3.1", await late.until(b"\r\n"))
        wires[0].say(b".\r\n")
        self.assertIn(b"250 2.0.0 queued as", await wires[0].until(b"\r\n"))
        wires[1].transport.abortConnection()  # type: ignore[union-attr]
        while sum(self.service.listeners.connections.values()) > 4:
            await self.clock.sleep(0.01)
        await self._begin(late)

    async def test_R5_twenty_mebibytes_take_two_of_memory(self) -> None:
        wire = await self._open()
        content = a_mail(octets=20 * MIB)
        await self._begin(wire)
        tracemalloc.start(1)
        try:
            before, _ = tracemalloc.get_traced_memory()
            await self._pour(wire, content)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        wire.say(b".\r\n")
        self.assertIn(b"250 2.0.0 queued as", await wire.until(b"\r\n"))
        self.assertLess(peak - before, 2 * MIB)
        (delivery,) = await self.queued()
        self.assertEqual(await self.content(delivery), content)
        wire.say(b"QUIT\r\n")
        await wire.gone

    async def test_BD1_chunks_are_one_content(self) -> None:
        wire = await self._open()
        content = a_mail(octets=300_000)
        wire.say(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n")
        await wire.until(b"2.1.5")
        wire.say(b"BDAT 7\r\n" + content[:7])
        await wire.until(b"250 2.")
        rest = content[7:]
        wire.say(b"BDAT %d LAST\r\n" % len(rest) + rest)
        self.assertIn(b"queued as", await wire.until(b"queued"))
        (delivery,) = await self.queued()
        self.assertEqual(await self.content(delivery), content)
        wire.say(b"QUIT\r\n")
        await wire.gone

    async def test_D1_a_client_that_leaves_during_the_commit(self) -> None:
        """The message is committed, and nothing of it is left over."""
        wire = await self._open()
        gate: Deferred[None] = Deferred()
        entered: Deferred[None] = Deferred()
        intake = self.service._parts.intake
        real = self.store.queue

        class SlowQueue:
            async def accept(self, accepted: Accepted) -> None:
                entered.callback(None)
                await gate
                await real.accept(accepted)

        intake._queue = SlowQueue()  # type: ignore[assignment]
        self.dispatch.room = 1
        await self._begin(wire)
        wire.say(a_mail(octets=300_000) + b".\r\n")
        await entered
        wire.transport.abortConnection()  # type: ignore[union-attr]
        await wire.gone
        await self.clock.sleep(0.05)
        gate.callback(None)
        while self.spawn.running or any(self.service.listeners.connections.values()):
            await self.clock.sleep(0.005)
        self.assertEqual(len(self.dispatch.dispatched), 1)
        self.assertEqual((self.dispatch.reserved, len(self.files())), (0, 1))
        self.assertTrue(await self.store.contents.read(self.dispatch.dispatched[0].message))

    async def test_D6_a_disk_that_fills_up_meanwhile(self) -> None:
        wire = await self._open()
        contents = self.service._parts.intake._contents
        real = contents.begin

        async def begin(message_id: int) -> object:
            writer = await real(message_id)
            return FullWriter(writer)

        self.service._parts.intake._contents = FullContents(begin)  # type: ignore[assignment]
        await self._begin(wire)
        wire.say(a_mail(octets=2 * MIB) + b".\r\n")
        self.assertIn(b"452 4.3.1", await wire.until(b"\r\n"))
        self.assertEqual(self.files(), [])
        self.service._parts.intake._contents = contents
        await self._begin(wire)  # the connection is in step
        wire.say(a_mail(octets=2 * MIB) + b".\r\n")
        self.assertIn(b"250 2.0.0", await wire.until(b"\r\n"))
        wire.say(b"QUIT\r\n")
        await wire.gone

    async def test_D12_a_stop_lets_a_message_end(self) -> None:
        wire = await self._open()
        await self._begin(wire)
        stopped = self.service.stopService()
        await self.clock.sleep(0.02)
        self.assertFalse(stopped.called)
        wire.say(a_mail() + b".\r\n")
        said = await wire.until(b"421 ")
        self.assertIn(b"250 2.0.0 queued as", said)
        await wire.gone
        await stopped
        self.assertEqual(len(await self.queued()), 1)


class FullContents:
    def __init__(self, begin: object) -> None:
        self.begin = begin


class FullWriter:
    """Takes one piece, then the disk is full."""

    def __init__(self, writer: object) -> None:
        self._writer = writer
        self._left = 1

    async def write(self, data: bytes) -> None:
        if not self._left:
            raise StoreFullError("No space left on device.")
        self._left -= 1
        await self._writer.write(data)  # type: ignore[attr-defined]

    async def discard(self) -> None:
        await self._writer.discard()  # type: ignore[attr-defined]
