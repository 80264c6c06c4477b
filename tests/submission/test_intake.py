"""A message from the client to the store, through real sockets: SU, M1, S, D."""

from __future__ import annotations

import contextlib
import re
import smtplib
import time

from smtpplus.message.headers import head_length
from smtpplus.message.submitted import examine
from smtpplus.values.errors import (
    RefusedError,
    StoreBrokenError,
    StoreFullError,
    StoreUnavailableError,
    UsageError,
)
from smtpplus.values.ids import show_id
from tests.corpora import messages
from tests.submission.rig import SECRET, SubmissionTestCase, a_mail, unverified


class IntakeTests(SubmissionTestCase):
    async def test_M1_what_is_stored_is_what_was_submitted(self) -> None:
        await self.start()
        for octets in (0, 10_000, 131_000, 140_000, 1_000_000):
            mail = a_mail(octets=octets, head="Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n")
            number = await self.in_thread(self.send, mail)
            delivery = (await self.queued())[-1]
            self.assertEqual(await self.content(delivery), mail)
            self.assertEqual(delivery.message.octets, len(mail))
            self.assertEqual(delivery.message.in_file, octets > 131_072)
            self.assertEqual(len(number), 13)
            head = mail[: delivery.message.head_octets]
            self.assertTrue(head.endswith(b"\r\n\r\n"))

    async def test_M1_real_messages(self) -> None:
        """Whatever of the corpora is taken is stored octet for octet."""
        mails = {}
        for name, octets in messages("mime", "arf"):
            # No CR or LF alone, no NUL: those the conversation replaces (SM2, S2).
            mail = re.sub(rb"\r\n|\r|\n", b"\r\n", octets.replace(b"\0", b" "))
            mail = mail if mail.endswith(b"\r\n") else mail + b"\r\n"
            # A third of the corpus are parts of messages, without From.
            mails[name] = mail if _from_domain(mail) else b"From: a@example.com\r\n" + mail
        await self.start()
        await self._own({_from_domain(mail) for mail in mails.values()} - {"example.com", ""})

        def send_all() -> dict[str, str]:
            taken = {}
            with self.client() as client:
                for name, mail in mails.items():
                    with contextlib.suppress(smtplib.SMTPResponseException):
                        taken[self.submit(client, mail, ["b@example.net"])] = name
            return taken

        taken = await self.in_thread(send_all)
        self.assertGreater(len(taken), len(mails) * 0.85)
        for delivery in await self.queued():
            name = taken[show_id(delivery.message.id)]
            self.assertEqual(await self.content(delivery), mails[name], name)

    async def _own(self, domains: set[str]) -> None:
        now = self.clock.now()
        for domain in domains:
            with contextlib.suppress(UsageError):
                await self.store.accounts.add_domain("acme", domain, now, now)

    async def test_SU2_date_and_message_id_are_supplied(self) -> None:
        await self.start()
        number = await self.in_thread(self.send, a_mail(head="Date: never\r\n"))
        (delivery,) = await self.queued()
        sent = await self.sent(delivery)
        self.assertEqual(
            re.findall(rb"(?m)^Message-ID: (.*)\r", sent), [f"<{number}@example.com>".encode()]
        )
        self.assertEqual(delivery.message.message_id, f"<{number}@example.com>")
        self.assertEqual(len(re.findall(rb"(?m)^Date: ", sent)), 1)
        self.assertNotIn(b"never", sent)

    async def test_SU2_valid_ones_are_untouched(self) -> None:
        await self.start()
        head = "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <x@y.example>\r\n"
        await self.in_thread(self.send, a_mail(head=head))
        (delivery,) = await self.queued()
        self.assertEqual(delivery.message.message_id, "<x@y.example>")
        self.assertEqual(
            delivery.message.prepend.count(b"\r\n\t"), delivery.message.prepend.count(b"\r\n") - 1
        )
        self.assertTrue((await self.sent(delivery)).endswith(a_mail(head=head)))

    async def test_SU3_one_received_field(self) -> None:
        await self.start()
        number = await self.in_thread(self.send, a_mail())
        (delivery,) = await self.queued()
        received = delivery.message.prepend.partition(b"\r\nDate")[0].decode()
        for words in (
            "from client.test ([127.0.0.1])",
            f"by mx.test with ESMTPSA id {number}",
            "TLSv1.3",
            "for <b@example.net>",
        ):
            self.assertIn(words, received)
        self.assertEqual(delivery.message.mechanism, "PLAIN")
        self.assertEqual(delivery.message.hello, "client.test")

    async def test_SU3_the_client_is_hidden_where_asked(self) -> None:
        await self.start(show_client=False)
        await self.in_thread(self.send, a_mail())
        (delivery,) = await self.queued()
        self.assertNotIn(b"127.0.0.1", delivery.message.prepend)

    async def test_SU1_implicit_tls(self) -> None:
        await self.start()

        def send() -> str:
            port = self.port_tls
            with smtplib.SMTP_SSL("127.0.0.1", port, context=unverified()) as client:
                client.login("alice", SECRET)
                return self.submit(client, a_mail(), ["b@example.net"])

        await self.in_thread(send)
        self.assertEqual(len(await self.queued()), 1)

    async def test_SU1_nothing_before_tls(self) -> None:
        await self.start()

        def talk() -> tuple[bool, int, int]:
            with self.client(signed_in=False, starttls=False) as client:
                client.ehlo()
                return (
                    client.has_extn("auth"),
                    client.docmd("AUTH", "PLAIN AGFsaWNlAG9wZW4=")[0],
                    client.mail("a@example.com")[0],
                )

        offered, auth, mail = await self.in_thread(talk)
        self.assertFalse(offered)
        self.assertIn(auth, {502, 503, 530, 538})
        self.assertEqual(mail, 530)

    async def test_SU4_from_is_one_address(self) -> None:
        await self.start()
        for head in (
            b"Subject: none\r\n\r\nx\r\n",
            b"From: a@example.com\r\nFrom: a@example.com\r\n\r\nx\r\n",
            b"From: a@example.com, b@example.com\r\n\r\nx\r\n",
            b"From: Us: a@example.com;\r\n\r\nx\r\n",
        ):
            refusal = await self.refused(self.send, head)
            self.assertEqual(refusal[:9], "550 5.6.0", head)
        self.assertEqual(await self.queued(), [])

    async def test_bcc_is_left_out(self) -> None:
        await self.start()
        await self.in_thread(self.send, a_mail(head="Bcc: secret@example.net\r\n"))
        (delivery,) = await self.queued()
        self.assertNotIn(b"secret", await self.sent(delivery))
        self.assertIn(b"secret", await self.content(delivery))

    async def test_U8_a_name_in_bcc_alone_does_not_need_SMTPUTF8(self) -> None:
        await self.start()

        def send(head: str) -> None:
            with self.client() as client:
                client.mail("a@example.com", ["SMTPUTF8"])
                client.rcpt("b@example.net")
                client.data(a_mail(head=head))

        for head, needed in (
            ("Bcc: J\u00f6rg <b@example.net>\r\n", False),
            ("Cc: J\u00f6rg <b@example.net>\r\n", True),
        ):
            await self.in_thread(send, head)
            self.assertIs(self.taken.message.utf8_head, needed)

    async def test_S13_sizes(self) -> None:
        await self.start(max_message_bytes=200_000)
        with_size = "552 5.3.4"

        def declare() -> None:
            with self.client() as client:
                code, text = client.docmd("MAIL", "FROM:<a@example.com> SIZE=200001")
                raise smtplib.SMTPResponseException(code, text)

        self.assertEqual((await self.refused(declare))[:9], with_size)
        refusal = await self.refused(self.send, a_mail(octets=400_000))
        self.assertEqual(refusal[:9], with_size)
        await self.in_thread(self.send, a_mail(octets=150_000))
        self.assertEqual(len(await self.queued()), 1)
        self.assertEqual(len(self.files()), 1)

    async def test_S14_recipients(self) -> None:
        await self.start(max_recipients=10)

        def talk() -> list[int]:
            with self.client() as client:
                client.mail("a@example.com")
                codes = [client.rcpt(f"b{number}@example.net")[0] for number in range(10)]
                codes += [client.rcpt("b3@EXAMPLE.net")[0], client.rcpt("b11@example.net")[0]]
                return [*codes, client.data(a_mail())[0]]

        self.assertEqual(await self.in_thread(talk), [250] * 11 + [452, 250])
        found = await self.queued()
        self.assertEqual(len(found), 10)
        self.assertEqual(len({delivery.message.id for delivery in found}), 1)

    async def test_recipients_are_fully_qualified(self) -> None:
        await self.start()
        refusal = await self.refused(self.send, a_mail(), ["b@intranet"])
        self.assertEqual(refusal[:9], "550 5.1.2")

    async def test_S18_loops_end(self) -> None:
        await self.start()
        head = "Received: from x by y; Mon, 23 Nov 2026 10:00:00 +0000\r\n" * 50
        refusal = await self.refused(self.send, a_mail(head=head))
        self.assertEqual(refusal[:9], "554 5.4.6")
        self.assertEqual(await self.queued(), [])

    async def test_a_head_that_is_too_large(self) -> None:
        await self.start()
        head = "".join(f"X-{number}: {'x' * 900}\r\n" for number in range(200))
        refusal = await self.refused(self.send, a_mail(head=head, octets=200_000))
        self.assertEqual(refusal[:9], "552 5.6.0")
        self.assertEqual(self.files(), [])

    async def test_D7_no_disk_no_mail(self) -> None:
        await self.start(max_message_bytes=1_000_000)
        self.free_octets = 1_499_999
        refusal = await self.refused(self.send, a_mail())
        self.assertEqual(refusal[:9], "452 4.3.1")
        self.free_octets = 1_500_000
        self.service._parts.space._asked_at -= 2
        await self.in_thread(self.send, a_mail())

    async def test_T9_truncated_content_is_not_queued(self) -> None:
        await self.start()

        def cut(octets: int) -> None:
            client = self.client()
            client.mail("a@example.com")
            client.rcpt("b@example.net")
            client.putcmd("data")
            client.getreply()
            client.send(a_mail(octets=400_000)[:octets])
            assert client.sock is not None
            client.sock.close()

        for octets in (0, 10, 1_000, 130_000, 300_000, 400_000):
            await self.in_thread(cut, octets)
        while any(self.service.listeners.connections.values()) or self.spawn.running:
            await self.clock.sleep(0.01)
        self.assertEqual(await self.queued(), [])
        self.assertEqual(self.files(), [])

    async def test_failures_of_the_store_are_told_and_leave_nothing(self) -> None:
        await self.start()
        self.dispatch.room = 10
        await self.store.accounts.set_user("alice", {"limit_hour": 1})
        real = self.store.queue.accept
        intake = self.service._parts.intake
        for error, code in (
            (StoreFullError("full"), "452 4.3.1"),
            (StoreUnavailableError("locked"), "451 4.3.0"),
            (StoreBrokenError("EIO"), "451 4.3.0"),
            (ZeroDivisionError("a fault"), "451 4.3.0"),
        ):
            intake._queue = FailingQueue(error)  # type: ignore[assignment]
            for octets in (100, 300_000):
                refusal = await self.refused(self.send, a_mail(octets=octets))
                self.assertEqual(refusal[:9], code)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        # After an unforeseen fault of the commit nobody knows whether a row names the file.
        self.assertEqual((len(self.files()), self.dispatch.reserved), (1, 0))
        intake._queue = self.store.queue
        self.assertEqual(self.store.queue.accept, real)
        await self.in_thread(self.send, a_mail())  # the one place of this hour is still there
        self.assertEqual(self.dispatch.reserved, 0)
        self.assertEqual(len(self.dispatch.dispatched), 1)

    async def test_deliveries_are_leased_where_the_relay_has_room(self) -> None:
        await self.start()
        self.dispatch.room = 2
        await self.in_thread(self.send, a_mail(), ["b@example.net", "c@example.net"])
        await self.in_thread(self.send, a_mail(), ["b@example.net", "c@example.net", "d@x.example"])
        (accepted,) = self.dispatch.dispatched
        self.assertTrue(accepted.leased)
        self.assertEqual(len(await self.queued()), 3)
        self.assertEqual(self.dispatch.woken, 1)

    async def test_the_message_lives_five_days(self) -> None:
        await self.start()
        await self.in_thread(self.send, a_mail())
        (delivery,) = await self.queued()
        message = delivery.message
        self.assertEqual(message.expires_at - message.received_at, 5 * 86_400)
        self.assertLess(abs(message.received_at - time.time()), 60)


def _from_domain(mail: bytes) -> str:
    length = head_length(mail)
    try:
        return examine(mail[:length], smtputf8=False).from_mailbox.address.ascii_domain
    except RefusedError:
        return ""


class FailingQueue:
    """An `IQueue` whose disk fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def accept(self, accepted: object) -> None:
        raise self._error
