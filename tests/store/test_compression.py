"""Contents in rows are kept compressed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.compression import Compressor, decompressed
from smtpplus.store.schema import content
from smtpplus.values.errors import CorruptContentError
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Message
from tests.corpora import messages
from tests.store.samples import StoreCase, accepted


def message_of(octets: bytes) -> Message:
    return replace(accepted(IdSource(1), content=b"x").message, octets=len(octets))


class CompressionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.row = Compressor().row

    def check(self, octets: bytes) -> bytes:
        row = self.row(octets)
        self.assertEqual(decompressed(message_of(octets), row), octets)
        self.assertLessEqual(len(row), len(octets))
        return row

    def test_every_mail_comes_back_as_it_was_and_is_not_longer(self) -> None:
        before = after = 0
        for _, octets in messages("mime", "bounces"):
            before += len(octets)
            after += len(self.check(octets))
        self.assertLess(after, before * 0.7)

    def test_what_does_not_become_shorter_stands_as_it_is(self) -> None:
        for octets in (b"", b"a", b"a" * 511, random.Random(1).randbytes(5_000)):
            self.assertEqual(self.check(octets), octets)

    def test_a_content_that_is_compressed_itself_comes_back_as_it_was(self) -> None:
        once = self.row(b"From: a@example.com\r\n\r\n" + b"again and again\r\n" * 5_000)
        self.check(once)
        self.check(once * 50)

    def test_D15_what_was_damaged_is_corrupt_and_never_more_than_was_accepted(self) -> None:
        octets = b"From: a@example.com\r\n\r\n" + b"again and again\r\n" * 5_000
        row = self.row(octets)
        size = len(octets).to_bytes(4, "little")
        self.assertEqual(row.count(size), 1)
        endless = row.replace(size, b"\xff\xff\xff\xff")
        more = self.row(octets * 2)
        for damaged in (row[:-1], bytes(len(row)), b"", octets[:-1], more, endless):
            with self.assertRaises(CorruptContentError):
                decompressed(message_of(octets), damaged)


class RowTests(StoreCase):
    async def test_rows_are_shorter_and_those_of_an_older_version_are_read(self) -> None:
        store = await self.started()
        octets = b"From: alice@example.com\r\n\r\n" + b"again and again\r\n" * 500
        new = accepted(store.ids, content=octets)
        await store.queue.accept(new)

        def row_of(connection: Connection) -> Any:
            return connection.exec_driver_sql("SELECT octets FROM content").scalar()

        self.assertLess(len(await store._transactions.outside(row_of)), 500)
        self.assertEqual(await store.contents.read(new.message), octets)
        plain = content.update().values(octets=octets)
        await store._transactions.write(lambda transaction: transaction.execute(plain))
        self.assertEqual(await store.contents.read(new.message), octets)
        self.assertEqual(await store.contents.head(new.message), octets[: new.message.head_octets])
