"""Limits of messages, and users by their network: A6 and P1."""

from __future__ import annotations

import smtplib
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from smtpplus.values.submission import UserStatus
from tests.submission.rig import SubmissionTestCase, a_mail


class LimitTests(SubmissionTestCase):
    async def test_A6_messages_per_hour_over_parallel_connections(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"limit_hour": 20})

        def send() -> list[str]:
            replies = []
            with self.client() as client:
                for _ in range(5):
                    try:
                        self.submit(client, a_mail(), ["b@example.net"])
                        replies.append("250")
                    except smtplib.SMTPResponseException as error:
                        replies.append(f"{error.smtp_code} {error.smtp_error!r}")
            return replies

        found = await gatherResults(
            [Deferred.fromCoroutine(self.in_thread(send)) for _ in range(8)]
        )
        replies = [reply for some in found for reply in some]
        self.assertEqual(replies.count("250"), 20)
        over = next(reply for reply in replies if reply != "250")
        self.assertRegex(over, r"451 .*4\.7\.1 .*limit of 20 messages per hour.*:00 UTC")
        self.assertEqual(len(await self.queued()), 20)

    async def test_A6_counts_come_from_the_store_after_a_restart(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"limit_day": 3})
        for _ in range(2):
            await self.in_thread(self.send, a_mail())
        self.service._parts.quotas._quotas.clear()
        await self.in_thread(self.send, a_mail())
        self.assertEqual((await self.refused(self.send, a_mail()))[:9], "451 4.7.1")

    async def test_A6_what_is_not_accepted_does_not_count(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"limit_hour": 1})

        def try_and_fail() -> None:
            with self.client() as client:
                for _ in range(3):
                    client.mail("a@example.com")
                    client.rset()
                client.mail("a@example.com")

        await self.in_thread(try_and_fail)
        for mail in (b"no head\r\n", a_mail(sender="x@other.example")):
            self.assertEqual((await self.refused(self.send, mail))[:3], "550")
        await self.in_thread(self.send, a_mail())
        self.assertEqual((await self.refused(self.send, a_mail()))[:9], "451 4.7.1")


class NetworkTests(SubmissionTestCase):
    def _plainly(self, sender: str = "a@example.com") -> str:
        with self.client(signed_in=False, starttls=False) as client:
            return self.submit(client, a_mail(), ["b@example.net"], sender)

    async def test_networks_are_off_by_default(self) -> None:
        await self.start()
        self.assertEqual((await self.refused(self._plainly))[:3], "530")

    async def test_a_network_is_its_users(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"networks": ("127.0.0.0/8",)})
        await self.in_thread(self._plainly)
        refusal = await self.refused(self._plainly, "x@other.example")
        self.assertEqual(refusal[:9], "550 5.7.1")
        (delivery,) = await self.queued()
        self.assertEqual(delivery.message.mechanism, "network")
        self.assertEqual(delivery.message.user_id, self.alice.id)
        self.assertIn(b"with ESMTP id", delivery.message.prepend)

    async def test_a_network_of_a_user_that_is_off_is_nobodys(self) -> None:
        await self.start()
        changes: dict[str, Any] = {"networks": ("127.0.0.0/8",), "status": UserStatus.OFF}
        await self.store.accounts.set_user("alice", changes)
        self.assertEqual((await self.refused(self._plainly))[:3], "530")

    async def test_starttls_keeps_the_network(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"networks": ("127.0.0.1/32",)})

        def send() -> str:
            with self.client(signed_in=False) as client:
                return self.submit(client, a_mail(), ["b@example.net"])

        await self.in_thread(send)
        (delivery,) = await self.queued()
        self.assertIn(b"with ESMTPS id", delivery.message.prepend)
