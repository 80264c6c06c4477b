"""ISandbox over the database."""

from __future__ import annotations

import dataclasses

from smtpplus.ports import SandboxMail
from smtpplus.store.sandbox import SqlSandbox
from tests.store.samples import NOW, StoreCase


class SandboxTests(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.open_blocking()
        self.sandbox = self.store.sandbox

    def _mail(self, subject: str = "Hello", content: bytes = b"x\x00\xff\r\n") -> SandboxMail:
        mail_id = self.store.ids.next(NOW)
        return SandboxMail(
            mail_id, NOW, "a@example.com", "Bob@example.net", subject, "A <a@example.com>",
            len(content), "TLSv1.3", content,
        )  # fmt: skip

    async def test_a_mail_comes_back_octet_for_octet(self) -> None:
        mail = self._mail()
        await self.sandbox.keep(mail)
        self.assertEqual(await self.sandbox.mail(mail.id), mail)
        self.assertIsNone(await self.sandbox.mail(1))

    async def test_tables_leave_the_content_out_newest_first(self) -> None:
        mails = [self._mail(f"Order {number}") for number in range(4)]
        for mail in mails:
            await self.sandbox.keep(mail)
        shown = [dataclasses.replace(mail, content=None) for mail in reversed(mails)]
        self.assertEqual(await self.sandbox.mails("", None, 10), shown)
        self.assertEqual(await self.sandbox.mails("", mails[2].id, 1), [shown[2]])
        self.assertEqual(await self.sandbox.mails("bob ORDER 2", None, 10), [shown[1]])
        self.assertEqual(await self.sandbox.mails("100%", None, 10), [])

    async def test_the_oldest_go_first(self) -> None:
        few = SqlSandbox(self.store._transactions, most_mails=3, most_octets=100)
        small = [self._mail(content=b"x") for _ in range(5)]
        for mail in small:
            await few.keep(mail)
        kept = [mail.id for mail in await few.mails("", None, 10)]
        self.assertEqual(kept, [mail.id for mail in reversed(small[2:])])
        large = self._mail(content=b"x" * 500)
        await few.keep(large)
        self.assertEqual([mail.id for mail in await few.mails("", None, 10)], [large.id])
