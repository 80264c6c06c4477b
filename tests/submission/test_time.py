"""What the envelope says of time and urgency (P10, P13)."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence

from smtpplus.values.envelope import ByMode, DeliverBy
from smtpplus.values.message import Delivery
from tests.submission.rig import SubmissionTestCase, a_mail

_HEADERS = "X-SMTPPlus-Priority: 4\r\n"


class TimeTests(SubmissionTestCase):
    def _send(self, options: Sequence[str], mail: bytes) -> None:
        with self.client() as client:
            for call in (
                lambda: client.mail("a@example.com", options),
                lambda: client.rcpt("b@example.net"),
                lambda: client.data(mail),
            ):
                code, text = call()
                if code != 250:
                    raise smtplib.SMTPResponseException(code, text)

    async def _queued_after(self, *options: str, mail: bytes = b"") -> Delivery:
        await self.in_thread(self._send, options, mail or a_mail())
        (delivery,) = await self.queued()
        return delivery

    async def test_a_client_sees_what_is_offered(self) -> None:
        await self.start()

        def offered() -> dict[str, str]:
            with self.client(signed_in=False) as client:
                return dict(client.esmtp_features)

        features = await self.in_thread(offered)
        self.assertTrue(features["futurerelease"].startswith("2592000 20"))
        self.assertEqual(features["deliverby"].strip(), "10")
        self.assertIn("mt-priority", features)

    async def test_P10_a_message_is_held_as_its_envelope_says(self) -> None:
        await self.start()
        self.dispatch.room = 10
        held = await self._queued_after("HOLDFOR=600")
        message = held.message
        self.assertAlmostEqual(held.due_at - message.received_at, 600, places=3)
        self.assertAlmostEqual(message.expires_at - held.due_at, 5 * 86_400, places=3)
        self.assertEqual(message.options.send_at, held.due_at)
        self.assertEqual((self.dispatch.dispatched, self.dispatch.woken_at), ([], [held.due_at]))

    async def test_P10_a_time_in_the_past_is_now(self) -> None:
        await self.start()
        held = await self._queued_after("HOLDUNTIL=2001-01-01T00:00:00Z")
        self.assertEqual(held.due_at, held.message.received_at)
        self.assertEqual(self.dispatch.woken_at, [0.0])

    async def test_what_BY_says_is_kept_and_bounds_its_life(self) -> None:
        await self.start()
        message = (await self._queued_after("BY=600;R")).message
        self.assertAlmostEqual(message.expires_at - message.received_at, 600, places=3)
        self.assertEqual(message.envelope.deliver_by, DeliverBy(600, ByMode.RETURN))

    async def test_BY_with_N_does_not_bound_it(self) -> None:
        await self.start()
        message = (await self._queued_after("BY=-5;NT")).message
        self.assertAlmostEqual(message.expires_at - message.received_at, 5 * 86_400, places=3)
        self.assertEqual(message.envelope.deliver_by, DeliverBy(-5, ByMode.NOTIFY, trace=True))

    async def test_P13_urgency_by_the_envelope(self) -> None:
        await self.start()
        message = (await self._queued_after("MT-PRIORITY=9")).message
        self.assertEqual((message.priority, message.envelope.mt_priority), (1, 9))

    async def test_P3_the_messages_own_word_stands_before_the_envelopes(self) -> None:
        await self.start()
        mail = a_mail(head=_HEADERS)
        message = (await self._queued_after("MT-PRIORITY=9", mail=mail)).message
        self.assertEqual((message.priority, message.envelope.mt_priority), (4, 9))

    async def test_P13_a_header_field_MT_Priority_says_nothing(self) -> None:
        await self.start()
        message = (await self._queued_after(mail=a_mail(head="MT-Priority: 9\r\n"))).message
        self.assertEqual((message.priority, message.envelope.mt_priority), (3, None))

    async def test_what_would_expire_before_it_may_leave_is_refused(self) -> None:
        await self.start()
        late = a_mail(head="X-SMTPPlus-Send-At: 4000000000\r\n")
        refusal = await self.refused(self._send, ["BY=60;R"], late)
        self.assertEqual(refusal[:9], "550 5.6.0")
        refusal = await self.refused(self._send, ["BY=60;R", "HOLDFOR=60"], a_mail())
        self.assertEqual(refusal[:9], "501 5.5.4")
