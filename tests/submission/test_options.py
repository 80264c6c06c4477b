"""What a message asks for and what becomes of it: campaign, times, suppression, duplicates.

P6, P7, P10, and the recall window, through real sockets.
"""

from __future__ import annotations

import smtplib
import time
from email.utils import formatdate
from typing import Any

from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.values.message import EventType
from smtpplus.values.queue import QueueChange, Selection
from tests.submission.rig import SubmissionTestCase, a_mail
from tests.submission.test_controls import smtpapi

BOB = "b@example.net"


class CampaignTests(SubmissionTestCase):
    async def _campaign(
        self, head: str = "", subject: str = "Ticket 123 solved"
    ) -> tuple[str, str]:
        mail = a_mail(head=head).replace(b"Subject: Hi", f"Subject: {subject}".encode())
        await self.in_thread(self.send, mail)
        return self.taken.message.campaign, self.taken.message.campaign_name

    async def test_P6_every_policy_by_a_word_to_the_list(self) -> None:
        await self.start()
        day = time.gmtime(self.clock.now())
        month = time.strftime("%Y-%m", day)
        self.assertEqual(await self._campaign(), (f"month:{month}", month))
        for policy, key in (
            ("year", f"year:{day.tm_year}"),
            ("day", f"day:{time.strftime('%Y-%m-%d', day)}"),
            ("subject", "subject:Ticket 123 solved"),
            ("sender", "sender:a@example.com"),
            ("user", "user:alice"),
            ("campaign", "campaign:none"),
        ):
            await self.set_list("aggregation", policy)
            self.assertEqual((await self._campaign())[0], key)
        await self.set_list("aggregation", "dynamic-subject")
        first = await self._campaign()
        self.assertEqual(await self._campaign(subject="Ticket 456 solved"), first)
        self.assertNotEqual(await self._campaign(subject="Ticket 456 opened"), first)

    async def test_P6_the_recipients_name_is_no_part_of_a_subjects_pattern(self) -> None:
        await self.start()
        await self.set_list("aggregation", "dynamic-subject")
        found = set()
        for name in ("Aurelia", "Bartholomew"):
            head = f"Cc: {name} <{BOB}>\r\n"
            found.add(await self._campaign(head, f"{name}, your parcel is here"))
        self.assertEqual(len(found), 1)

    async def test_P6_a_code_beats_the_policy_and_the_users_code_is_the_default(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"campaign": "usual"})
        self.assertEqual(await self._campaign(), ("code:usual", "usual"))
        for head, found in (
            (smtpapi({"CampaignCode": "1001", "CampaignName": "Orders"}), ("code:1001", "Orders")),
            (smtpapi({"category": ["news", "july"]}), ("tag:news", "news")),
            ("X-PM-Tag: welcome\r\n", ("tag:welcome", "welcome")),
        ):
            self.assertEqual(await self._campaign(head), found)


class ScheduleTests(SubmissionTestCase):
    async def _send(self, head: str, to: tuple[str, ...] = (BOB,)) -> float:
        """Send; when."""
        await self.in_thread(self.send, a_mail(head=head), to)
        return self.taken.message.received_at

    async def test_P10_later_past_and_now(self) -> None:
        await self.start()
        self.dispatch.room = 10
        now = self.clock.now()
        later = int(now) + 3600
        for head in (
            f"X-SMTPPlus-Send-At: {later}\r\n",
            f"X-MC-SendAt: {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(later))}\r\n",
            f"X-Mailgun-Deliver-By: {formatdate(later)}\r\n",
            smtpapi({"Schedule": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(later))}),
            smtpapi({"send_at": later}),
        ):
            await self._send(head)
            self.assertEqual((self.taken.due_at, self.taken.leased), (float(later), False))
            self.assertEqual(self.taken.message.expires_at, later + 5 * 86_400.0)
        self.assertEqual((self.dispatch.dispatched, self.dispatch.reserved), ([], 0))
        self.assertEqual(self.dispatch.woken, 5)
        for head in (smtpapi({"Schedule": "2021-09-14T17:58+02:00"}), ""):
            at = await self._send(head)
            self.assertEqual((self.taken.due_at, self.taken.leased), (at, True))
        self.assertEqual(len(self.dispatch.dispatched), 2)

    async def test_P10_each_recipient_at_its_own_time(self) -> None:
        await self.start()
        self.dispatch.room = 10
        later = int(self.clock.now()) + 7200
        at = await self._send(
            smtpapi({"to": ["a@example.org", BOB], "send_each_at": [later, later - 86_400]})
        )
        due = [
            self.taken.due_at if one.due_at is None else one.due_at for one in self.taken.deliveries
        ]
        self.assertEqual(due, [float(later), at])
        self.assertEqual(self.taken.at_once, self.taken.deliveries[1:])
        self.assertEqual((self.taken.leased, self.dispatch.reserved), (True, 0))
        self.assertEqual(self.taken.message.expires_at, later + 5 * 86_400.0)

    async def test_P10_too_far_ahead_is_refused_with_what_to_do(self) -> None:
        await self.start()
        far = int(self.clock.now()) + 31 * 86_400
        for said in ({"send_at": far}, {"to": [BOB], "send_each_at": [far]}):
            refusal = await self.refused(self.send, a_mail(head=smtpapi(said)))
            self.assertEqual(refusal[:9], "550 5.6.0")
            self.assertIn("more than 30 days ahead: submit the message later", refusal)
        self.assertEqual(await self.queued(), [])

    async def test_when_it_is_given_up(self) -> None:
        await self.start()
        now = int(self.clock.now())
        at = await self._send("X-SMTPPlus-Expires-After: 2h\r\n")
        self.assertEqual(self.taken.message.expires_at, at + 7200)
        head = f"X-SMTPPlus-Expires-After: 2h\r\nX-SMTPPlus-Send-At: {now + 600}\r\n"
        await self._send(head)
        self.assertEqual(self.taken.message.expires_at, now + 7800)
        await self._send(f"X-SMTPPlus-Expires-At: {now + 900}\r\n")
        self.assertEqual(self.taken.message.expires_at, now + 900)
        at = await self._send("X-SMTPPlus-Expires-After: 960h\r\n")
        self.assertEqual(self.taken.message.expires_at, at + 5 * 86_400)  # the installation's
        refusal = await self.refused(
            self.send, a_mail(head=f"X-SMTPPlus-Expires-At: {now - 9}\r\n")
        )
        self.assertEqual(refusal[:9], "550 5.6.0")
        self.assertIn("before it is sent", refusal)

    async def test_the_recall_window_holds_everything_back(self) -> None:
        await self.start()
        self.dispatch.room = 10
        await self.store.accounts.set_user("alice", {"recall": 30.0})
        later = int(self.clock.now()) + 3600
        at = await self._send("")
        self.assertEqual((self.taken.due_at, self.taken.leased), (at + 30.0, False))
        at = await self._send(smtpapi({"Schedule": "2021-09-14T17:58+02:00"}))
        self.assertEqual(self.taken.due_at, at + 30.0)
        await self._send(smtpapi({"send_at": later}))
        self.assertEqual(self.taken.due_at, float(later))
        self.assertEqual(self.dispatch.dispatched, [])
        self.assertEqual(list(await self.store.queue.claim(at + 29.0, 10, ())), [])
        taken_back = Selection(ids=(self.recorded.taken[0].message.id,))
        changed = await self.store.queue.change(QueueChange.CANCEL, taken_back, at, "alice")
        self.assertEqual(changed, 1)
        (left,) = await self.store.queue.claim(at + 31.0, 10, ())
        self.assertEqual(left.message.id, self.recorded.taken[1].message.id)


class SuppressionTests(SubmissionTestCase):
    async def _suppress(self, address: str, reason: Reason, scope: Scope = Scope.ACCOUNT) -> None:
        list_id = self.alice.list_id if scope is Scope.LIST else None
        one = Suppression(scope, reason, self.clock.now() - 60, list_id)
        await self.suppressions.add(self.alice.account_id, address, one, "a test")

    async def _lift(self, address: str) -> None:
        now = self.clock.now()
        await self.suppressions.lift(self.alice.account_id, address, None, None, now, "a test")

    def _withheld(self) -> list[str]:
        return [one.withheld for one in self.taken.deliveries]

    async def test_P7_accepted_and_recorded(self) -> None:
        await self.start()
        self.dispatch.room = 10
        await self._suppress(BOB, Reason.HARD_BOUNCE)
        await self.in_thread(self.send, a_mail(), ("a@example.org", "B@Example.net"))
        first, second = self._withheld()
        self.assertEqual(first, "")
        self.assertIn("is suppressed for all lists of the account", second)
        self.assertIs(self.taken.deliveries[1].withheld_as, EventType.SUPPRESSED)
        self.assertEqual((self.taken.leased, self.dispatch.reserved), (True, 0))
        await self.in_thread(self.send, a_mail())  # nobody is left
        self.assertEqual((self.taken.leased, len(self._withheld())), (False, 1))

    async def test_P7_refused_at_rcpt_with_the_reason(self) -> None:
        await self.start()
        await self.set_list("suppressed_reply", "refuse")
        await self._suppress(BOB, Reason.COMPLAINT, Scope.LIST)

        def talk() -> list[str]:
            with self.client() as client:
                client.mail("a@example.com")
                replies = [client.rcpt(one) for one in (BOB, "a@example.org")]
                replies.append(client.data(a_mail()))
                return [f"{code} {text.decode()}" for code, text in replies]

        refused, taken, done = await self.in_thread(talk)
        self.assertEqual(refused[:9], "550 5.7.1")
        self.assertIn("this list", refused)
        self.assertIn("complaint", refused)
        self.assertEqual((taken[:3], done[:3]), ("250", "250"))
        self.assertEqual(self._withheld(), [""])
        await self._lift(BOB)  # the next one is taken
        await self.in_thread(self.send, a_mail())

    async def test_P7_a_header_does_not_get_past_it(self) -> None:
        await self.start()
        await self.set_list("suppressed_reply", "refuse")
        await self._suppress("x@example.net", Reason.HARD_BOUNCE)
        await self.in_thread(self.send, a_mail(head=smtpapi({"to": ["x@example.net", BOB]})))
        self.assertEqual([bool(one) for one in self._withheld()], [True, False])

    async def test_P7_a_bypass_passes_what_is_not_final(self) -> None:
        await self.start()
        head = "X-SMTPPlus-Bypass-Suppression: yes\r\n"
        for reason, withheld in (
            (Reason.UNSUBSCRIBE, False),
            (Reason.MANUAL, False),
            (Reason.HARD_BOUNCE, True),
            (Reason.COMPLAINT, True),
        ):
            await self._suppress(BOB, reason, Scope.LIST)
            await self.in_thread(self.send, a_mail())
            self.assertEqual([bool(one) for one in self._withheld()], [True], reason)
            await self.in_thread(self.send, a_mail(head=head))
            self.assertEqual([bool(one) for one in self._withheld()], [withheld], reason)
            await self._lift(BOB)

    async def test_P7_an_operators_bypass_passes_what_is_final(self) -> None:
        await self.start()
        await self.set_list("suppressed_reply", "refuse")
        for reason in (Reason.HARD_BOUNCE, Reason.COMPLAINT):
            await self._suppress(BOB, reason)
            self.assertIn(str(reason), await self.refused(self.send, a_mail()))
            now = self.clock.now()
            bypass = Suppression(Scope.LIST, Reason.BYPASS, now, self.alice.list_id, now + 900)
            await self.store.suppressions.add(self.alice.account_id, BOB, bypass, "op")
            await self.in_thread(self.send, a_mail())
            self.assertEqual(self._withheld(), [""])
            for lifted in (Reason.BYPASS, None):
                of = (self.alice.account_id, BOB, None, lifted)
                await self.store.suppressions.lift(*of, self.clock.now(), "op")

    async def test_nothing_is_read_for_those_who_are_not_suppressed(self) -> None:
        await self.start()
        await self._suppress("x@example.net", Reason.MANUAL)
        for reply in ("accept", "refuse"):
            await self.set_list("suppressed_reply", reply)
            await self.in_thread(self.send, a_mail())
        self.assertEqual(self.suppressions.reads, 0)

    async def test_a_dropped_message_is_accepted_and_not_sent(self) -> None:
        await self.start()
        self.dispatch.room = 10
        for head in ("X-Mailgun-Drop-Message: yes\r\n", "X-SMTPPlus-Drop: yes\r\n"):
            await self.in_thread(self.send, a_mail(head=head))
            self.assertIn("not delivered", self._withheld()[0])
            self.assertIs(self.taken.deliveries[0].withheld_as, EventType.CANCELLED)
            self.assertFalse(self.taken.leased)
        self.assertEqual(self.dispatch.dispatched, [])


class DuplicateTests(SubmissionTestCase):
    def _submit(self, mail: bytes, *to: str) -> str:
        with self.client() as client:
            client.mail("a@example.com")
            for one in to or (BOB,):
                client.rcpt(one)
            code, text = client.data(mail)
            if code != 250:
                raise smtplib.SMTPResponseException(code, text)
            return text.decode()

    async def _sent(self, *arguments: Any) -> str:
        return await self.in_thread(self._submit, *arguments)

    async def test_the_same_submission_is_taken_once(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"duplicates": 600.0, "limit_hour": 4})
        mail = a_mail(head="Message-ID: <1@example.com>\r\n")
        first = await self._sent(mail)
        identifier = first.rpartition(" ")[2]
        for octets in (0, 300_000):
            again = a_mail(head="Message-ID: <1@example.com>\r\n", octets=octets)
            self.assertEqual(await self._sent(again), f"2.0.0 already queued as {identifier}")
        self.assertEqual((len(await self.queued()), self.files()), (1, []))
        for other in (
            (a_mail(head="Message-ID: <2@example.com>\r\n"),),
            (mail, BOB, "c@example.net"),
            (mail, "c@example.net"),
        ):
            self.assertIn("2.0.0 queued as", await self._sent(*other))

    async def test_what_nobody_was_to_get_is_taken_anew_once_somebody_is(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"duplicates": 600.0})
        now, account = self.clock.now(), self.alice.account_id
        manual = Suppression(Scope.ACCOUNT, Reason.MANUAL, now - 60, None)
        for head in ("Message-ID: <1@example.com>\r\n", "X-Idempotency-Key: order-1042\r\n"):
            mail = a_mail(head=head)
            await self.suppressions.add(account, BOB, manual, "a test")
            for _ in range(2):
                self.assertIn("2.0.0 queued as", await self._sent(mail))
            await self.suppressions.lift(account, BOB, None, None, now, "a test")
            first = await self._sent(mail)
            self.assertIn("2.0.0 queued as", first)
            await self.suppressions.add(account, BOB, manual, "a test")
            again = first.replace("queued", "already queued")
            self.assertEqual(await self._sent(mail), again)
            await self.suppressions.lift(account, BOB, None, None, now, "a test")
        self.assertEqual(len(await self.queued()), 2)

    async def test_a_test_is_taken_once(self) -> None:
        await self.start()
        head = "X-Idempotency-Key: order-1042\r\nX-SMTPPlus-Drop: yes\r\n"
        first = await self._sent(a_mail(head=head))
        again = await self._sent(a_mail(head=head))
        self.assertEqual(again, first.replace("queued", "already queued"))

    async def test_without_a_window_or_a_name_nothing_is_a_duplicate(self) -> None:
        await self.start()
        mail = a_mail(head="Message-ID: <1@example.com>\r\n")
        for _ in range(2):
            self.assertIn("2.0.0 queued as", await self._sent(mail))
        await self.store.accounts.set_user("alice", {"duplicates": 600.0})
        for _ in range(2):
            self.assertIn("2.0.0 queued as", await self._sent(a_mail()))
        self.assertEqual(len(await self.queued()), 4)

    async def test_the_same_key_is_taken_once(self) -> None:
        await self.start()
        head = "X-Idempotency-Key: order-1042\r\n"
        first = await self._sent(a_mail(head=head))
        again = await self._sent(a_mail(head=head, octets=5_000), "c@example.net")
        self.assertEqual(again, first.replace("queued", "already queued"))
        self.assertEqual(self.taken.once_until, self.taken.message.received_at + 86_400.0)
        other = await self._sent(a_mail(head="X-Idempotency-Key: order-1043\r\n"))
        self.assertIn("2.0.0 queued as", other)
        self.assertEqual(len(await self.queued()), 2)
