"""Control headers at the end of DATA: read, left out, refused (P2, P3, R), through real sockets."""

from __future__ import annotations

import json
import threading
import zlib
from typing import Any

from smtpplus.submission.composing import Composer
from smtpplus.submission.content import CONTROL_OCTETS
from smtpplus.values.address import Address
from tests.submission.rig import SubmissionTestCase, a_mail

ADA = "ada@example.org"


def smtpapi(value: Any, *, fold: int = 0) -> str:
    """An X-SMTPAPI field; folded to lines of about `fold`."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(", ", ": "))
    if fold:
        pieces, line = [], ""
        for word in text.split(" "):
            if len(line) + len(word) > fold:
                pieces.append(line)
                line = ""
            line += f" {word}"
        text = "\r\n".join([*pieces, line]).lstrip(" ")
    return f"X-SMTPAPI: {text}\r\n"


class ControlsTests(SubmissionTestCase):
    async def test_P2_mailups_header_is_read_and_left_out(self) -> None:
        await self.start()
        said = {"CampaignCode": "orders", "Footer": True, "Priority": 1, "ViewTracking": None}
        for octets in (0, 100_000, 140_000, 400_000):
            await self.in_thread(self.send, a_mail(head=smtpapi(said, fold=30), octets=octets))
            message = self.taken.message
            self.assertEqual(message.options.campaign_code, "orders")
            self.assertEqual((message.options.footer, message.options.track_opens), (True, None))
            self.assertEqual(message.priority, 1)
            delivery = (await self.queued())[-1]
            kept = await self.content(delivery)
            self.assertEqual(kept, a_mail(octets=octets))
            self.assertEqual(message.octets, len(kept))
            self.assertEqual(message.crc32, zlib.crc32(kept))
            self.assertEqual(message.in_file, octets > 131_072)
            self.assertEqual(kept[: message.head_octets], a_mail()[: message.head_octets])
            self.assertTrue(kept[: message.head_octets].endswith(b"\r\n\r\n"))

    async def test_P2_what_cannot_be_read_is_refused_by_name(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"limit_hour": 1})
        for value, words in (
            ('{"CampaignCode": ', "X-SMTPAPI: not JSON"),
            ({"Priority": 9}, "X-SMTPAPI Priority: expected a number from 1 to 5"),
            ({"Schedule": "tomorrow"}, "X-SMTPAPI Schedule: "),
            ({"filters": {"opentrack": {"settings": {"enable": 2}}}}, "opentrack"),
        ):
            for octets in (0, 300_000):
                mail = a_mail(head=smtpapi(value), octets=octets)
                refusal = await self.refused(self.send, mail)
                self.assertEqual(refusal[:9], "550 5.6.0")
                self.assertIn(words, refusal)
        self.assertEqual((await self.queued(), self.files()), ([], []))
        self.assertEqual(self.service._memory.held, 0)
        await self.in_thread(self.send, a_mail())  # no refusal took the one place there is

    async def test_P2_a_pool_that_is_not_there_is_named_as_ignored(self) -> None:
        await self.start(pools=frozenset({"fast"}))
        for pool, kept, unknown in (("fast", "fast", ()), ("slow", None, ("pool slow",))):
            await self.in_thread(self.send, a_mail(head=f"X-MC-IpPool: {pool}\r\n"))
            options = (await self.queued())[-1].message.options
            self.assertEqual((options.pool, options.unknown), (kept, unknown))

    async def test_P2_a_client_let_in_by_its_network_may_say_them(self) -> None:
        await self.start()
        await self.store.accounts.set_user("alice", {"networks": ("127.0.0.0/8",)})

        def send() -> None:
            with self.client(signed_in=False, starttls=False) as client:
                self.submit(client, a_mail(head="X-MC-Tags: invoice\r\n"), ["b@example.net"])

        await self.in_thread(send)
        self.assertEqual(self.taken.message.options.tags, ("invoice",))
        (delivery,) = await self.queued()
        self.assertEqual(await self.content(delivery), a_mail())

    async def test_P3_the_message_before_the_user_before_the_list(self) -> None:
        await self.start()
        await self.in_thread(self.send, a_mail())
        self.assertEqual(self.taken.message.priority, 3)
        await self.store.accounts.set_user("alice", {"priority": 4})
        await self.in_thread(self.send, a_mail())
        self.assertEqual(self.taken.message.priority, 4)
        await self.in_thread(self.send, a_mail(head="X-SMTPPlus-Priority: 2\r\n"))
        self.assertEqual(self.taken.message.priority, 2)

    async def test_what_means_nothing_here_is_kept_by_name(self) -> None:
        await self.start()
        head = smtpapi({"Footer": True, "Flavour": 1}) + "X-MC-Trak: opens\r\n"
        await self.in_thread(self.send, a_mail(head=head))
        self.assertEqual(self.taken.message.options.unknown, ("X-SMTPAPI Flavour", "X-MC-Trak"))

    async def test_R_ten_thousand_recipients(self) -> None:
        """Some 700 KB of header; what is kept is the small message alone."""
        await self.start()
        count = 10_000
        said = {
            "to": [f"User {n} <user{n}@example{n % 50}.net>" for n in range(count)],
            "sub": {"-name-": [f"Name {n}" for n in range(count)], "-n-": list(range(count))},
        }
        for fold in (0, 900):
            mail = a_mail(head=smtpapi(said, fold=fold))
            self.assertGreater(len(mail), 550_000)
            await self.in_thread(self.send, mail)
            taken = self.taken
            self.assertEqual(len(taken.deliveries), count)
            self.assertEqual(taken.content, a_mail())
            one = taken.deliveries[4711]
            self.assertEqual(str(one.recipient.address), "user4711@example11.net")
            self.assertEqual((one.name, one.fields["-name-"]), ("User 4711", "Name 4711"))
            self.assertEqual(taken.message.options.recipients, ())
            self.assertTrue(taken.message.options.own_to)
            self.assertEqual(len(taken.message.envelope.recipients), count)
        self.assertEqual(self.service._memory.held, 0)

    async def test_R_a_long_head_is_read_beside_the_reactor(self) -> None:
        await self.start()
        look, in_reactor = Composer.look, []

        def watched(*arguments: Any) -> Any:
            in_reactor.append(threading.current_thread() is reactor_thread)
            return look(*arguments)

        reactor_thread = threading.current_thread()
        self.patch(Composer, "look", watched)
        for count in (10, 3_000):
            said = {"to": [f"user{n}@example.net" for n in range(count)]}
            await self.in_thread(self.send, a_mail(head=smtpapi(said, fold=900)))
        self.assertEqual(in_reactor, [True, False])

    async def test_R_long_controls_before_a_large_body(self) -> None:
        await self.start()
        said = {"to": [f"user{n}@example.net" for n in range(9_000)]}
        await self.in_thread(self.send, a_mail(head=smtpapi(said, fold=900), octets=500_000))
        taken = self.taken
        self.assertEqual((len(taken.deliveries), taken.content), (9_000, None))
        octets = await self.store.contents.read(taken.message)
        self.assertEqual(octets, a_mail(octets=500_000))
        self.assertEqual(self.service._memory.held, 0)

    async def test_R_a_head_has_its_bounds(self) -> None:
        await self.start()
        others = "".join(f"X-{n}: {'x' * 900}\r\n" for n in range(160))
        control = smtpapi({"CampaignCode": "x"})
        too_long = f"X-SMTPAPI: {'[1, ' * (CONTROL_OCTETS // 2)}\r\n"
        many = "X-MC-Tags: a\r\n" + "X-MC-A:\r\n" * 10_001
        for head, start, words in (
            (others, "552 5.6.0", "128 KiB"),
            (control + others, "552 5.6.0", "128 KiB"),
            (too_long, "552 5.6.0", "5 MiB"),
            (many, "550 5.6.0", "10,000 header fields"),
        ):
            for octets in (0, 200_000):
                refusal = await self.refused(self.send, a_mail(head=head, octets=octets))
                self.assertEqual(refusal[:9], start)
                self.assertIn(words, refusal)
        self.assertEqual((await self.queued(), self.files()), ([], []))
        self.assertEqual(self.service._memory.held, 0)

    async def test_R_long_controls_are_put_off_while_memory_is_short(self) -> None:
        await self.start(content_memory_octets=100_000)
        said = {"to": [f"user{n}@example.net" for n in range(9_000)]}
        refusal = await self.refused(self.send, a_mail(head=smtpapi(said)))
        self.assertEqual(refusal[:9], "452 4.3.1")
        self.assertEqual(self.service._memory.held, 0)


class RecipientTests(SubmissionTestCase):
    async def _send(
        self, said: Any, to: tuple[str, ...] = ("b@example.net",), head: str = ""
    ) -> None:
        await self.in_thread(self.send, a_mail(head=smtpapi(said) + head), to)

    def _addresses(self) -> list[str]:
        return [str(one.recipient.address) for one in self.taken.deliveries]

    async def test_P2_recipients_instead_of_the_envelope(self) -> None:
        await self.start()
        await self._send({"to": [f"Ada <{ADA}>", "b@example.net", ADA]})
        self.assertEqual(self._addresses(), [ADA, "b@example.net", ADA])
        self.assertEqual(self.taken.deliveries[0].name, "Ada")
        envelope = self.taken.message.envelope
        self.assertEqual(
            [one.address for one in envelope.recipients],
            [Address.parse(one) for one in self._addresses()],
        )
        self.assertNotIn(b"for <b@example.net>", self.taken.message.prepend)

    async def test_what_the_recipient_is_known_by_in_every_dialect(self) -> None:
        await self.start()
        for place, head in enumerate(
            (
                smtpapi({"DynamicFields": [{"N": "city", "V": "Rome"}]}),
                'X-SMTPPlus-Fields: {"city": "Rome"}\r\n',
                'X-MC-MergeVars: {"city": "Rome"}\r\n',
                smtpapi({"sub": {"city": ["Rome"]}}),
            )
        ):
            address = f"r{place}@example.net"
            await self.in_thread(self.send, a_mail(head=head), (address,))
            (found,) = await self.store.recipients.recipient(None, address)
            self.assertEqual(dict(found.fields), {"city": "Rome"}, head)

    async def test_fields_for_the_envelopes_recipients(self) -> None:
        await self.start()
        variables = json.dumps({"b@EXAMPLE.net": {"first": "Bob"}, "x@example.net": {"first": "X"}})
        head = f"X-Mailgun-Recipient-Variables: {variables}\r\n"
        await self.in_thread(self.send, a_mail(head=head), (ADA, "b@example.net"))
        self.assertEqual(self._addresses(), [ADA, "b@example.net"])
        fields = [dict(one.fields) for one in self.taken.deliveries]
        self.assertEqual(fields, [{}, {"first": "Bob"}])
        self.assertTrue(self.taken.message.options.merge)

    async def test_P2_a_refused_or_repeated_recipient_leaves_its_values_to_nobody(self) -> None:
        await self.start()
        mail = a_mail(head=smtpapi({"sub": {"-n-": ["A", "B", "C", "D"]}}))

        def send(*to: str) -> None:
            with self.client() as client:
                client.mail("a@example.com")
                self.replies = [client.rcpt(one)[0] for one in to]
                self.assertEqual(client.data(mail)[0], 250)

        for to, replies, expected in (
            (("b@intranet", ADA), [550, 250], [(ADA, "B")]),
            (("<a a@b.example>", ADA), [501, 250], [(ADA, "B")]),
            (
                (ADA, "Ada@example.ORG", "b@intranet", "d@example.net"),
                [250, 250, 550, 250],
                [(ADA, "A"), ("d@example.net", "D")],
            ),
        ):
            await self.in_thread(send, *to)
            self.assertEqual(self.replies, replies)
            found = [
                (str(one.recipient.address), one.fields["-n-"]) for one in self.taken.deliveries
            ]
            self.assertEqual(found, expected)
            self.assertEqual(self.taken.message.options.fields, {})
        await self.in_thread(send, ADA, "b@intranet")  # its own place is the only one
        self.assertEqual(self.taken.message.options.fields, {"-n-": "A"})

    async def test_one_more_recipient_gets_one_copy(self) -> None:
        await self.start()
        for bcc, expected in ((ADA, ["b@example.net", ADA]), ("B@example.net", ["b@example.net"])):
            await self.in_thread(self.send, a_mail(head=f"X-MC-BccAddress: {bcc}\r\n"))
            self.assertEqual(self._addresses(), expected)

    async def test_A1_a_header_gets_nobody_past_what_rcpt_refuses(self) -> None:
        await self.start(max_header_recipients=3)
        for said, start in (
            ({"to": ["b@intranet"]}, "550 5.1.2"),
            ({"to": [f"b{n}@example.net" for n in range(4)]}, "550 5.5.3"),
            ({"to": ["bób@example.net"]}, "553 5.6.7"),
            ({"to": ["nobody"]}, "550 5.6.0"),
        ):
            refusal = await self.refused(self.send, a_mail(head=smtpapi(said)))
            self.assertEqual(refusal[:9], start)
        self.assertEqual(await self.queued(), [])

    async def test_names_come_from_to_and_cc(self) -> None:
        await self.start()
        mail = (
            b'From: a@example.com\r\nTo: "Lovelace, Ada" <ADA@example.org>,\r\n'
            b" Bob <b@example.net>\r\nCc: =?utf-8?q?Zo=C3=AB?= <zoe@example.net>\r\n\r\nx\r\n"
        )
        to = (ADA, "b@example.net", "zoe@example.net", "secret@example.net")
        await self.in_thread(self.send, mail, to)
        names = [one.name for one in self.taken.deliveries]
        self.assertEqual(names, ["Lovelace, Ada", "Bob", "Zoë", ""])
