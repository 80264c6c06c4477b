"""What lists and messages want, in the copies that go out: signed after everything else."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import dkim as dkimpy
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.copy_plan import CopyPlan
from smtpplus.message.dkim import generate_key
from smtpplus.message.feedback_id import sender_id
from smtpplus.message.headers import head_length
from smtpplus.message.token import Purpose, Tokens
from smtpplus.message.tracking_urls import read_click, read_open, read_unsubscribe
from smtpplus.message.verp import read_local_part
from smtpplus.net.workers import InlineWorkers
from smtpplus.ports import Extensions
from smtpplus.relay.copies import Copies, Copy, CopyFailedError
from smtpplus.relay.rendering import Rendered, Rendering, RenderingSettings
from smtpplus.values.errors import STORE_ERRORS, StoreCorruptError
from smtpplus.values.message import Accepted, Delivery, NewDelivery
from smtpplus.values.options import MergeSyntax, Options, Utm
from smtpplus.values.submission import (
    DkimKey,
    DkimKeyState,
    MailList,
    ScramVerifier,
    SenderDomain,
    SmtpUser,
    Stream,
)
from tests.relay.fakes import Contents, Queue, a_clock, a_delivery

T = TypeVar("T")
_PEM, _PUBLIC = generate_key()
_KEY = DkimKey(1, "example.com", "sp1", DkimKeyState.ACTIVE, _PEM, _PUBLIC, 0.0)
_OFFERED = Extensions({"8BITMIME": "", "SMTPUTF8": ""})
_TOKENS = Tokens([b"a secret of this installation"])
_NOW = 1_764_000_000.0
_MAIL = (
    b"From: a@example.com\r\nTo: Bea <b@example.net>\r\nCc: c@example.net\r\nSubject: Order\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSee https://shop.example/1\r\n"
    b"--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b'<html><body><p>See <a href="https://shop.example/1?a=1&amp;b=2">it</a></p></body></html>\r\n'
    b"--x--\r\n"
)


def _dns(name: bytes | str, **_options: Any) -> bytes | None:
    return f"v=DKIM1; k=rsa; p={_PUBLIC}".encode()


class _Accounts:
    """One user of one list."""

    def __init__(self, stream: Stream, settings: dict[str, Any], tracking_host: str) -> None:
        verifier = ScramVerifier(b"", 4096, b"", b"")
        self.user = SmtpUser(1, 1, 1, "s00001_01", verifier)
        self.list = MailList(1, 1, "News & more", stream, settings, 0.0)
        self.domain = SenderDomain(1, 1, "example.com", 0.0, 0.0, tracking_host=tracking_host)

    async def signing_key(self, domain: str) -> DkimKey | None:
        return _KEY if domain == "example.com" else None

    async def user_by_id(self, user_id: int) -> SmtpUser | None:
        return self.user

    async def list_by_id(self, list_id: int) -> MailList | None:
        return self.list

    async def sender_domains(self, account_id: int) -> list[SenderDomain]:
        return [self.domain]


class _LateWorkers(InlineWorkers):
    """Looks through a content when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def run(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        if not isinstance(arguments[0], Rendered):
            return super().run(function, *arguments)
        later: Deferred[T] = Deferred()
        self.waiting.append(lambda: later.callback(function(*arguments)))
        return later


class RenderingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.queue = Queue()

    def _copies(
        self,
        content: bytes = _MAIL,
        *,
        stream: Stream = Stream.TRANSACTIONAL,
        settings: dict[str, Any] | None = None,
        returns: str = "",
        host: str = "",
        workers: InlineWorkers | None = None,
    ) -> Copies:
        _, clock = a_clock()
        accounts: Any = _Accounts(stream, settings or {}, host)
        queue: Any = self.queue
        named = RenderingSettings(
            tokens=_TOKENS,
            hostname="mail.example.org",
            sender_id=sender_id("example.org"),
            tracking_base="https://t.example.org",
            return_domain=returns,
        )
        return Copies(
            contents=Contents(content),
            accounts=accounts,
            signing=workers or InlineWorkers(),
            clock=clock,
            relay_domains=(),
            rendering=Rendering(accounts=accounts, queue=queue, clock=clock, settings=named),
        )

    def _delivery(
        self, to: str = "b@example.net", content: bytes = _MAIL, **changes: Any
    ) -> Delivery:
        known: dict[str, Any] = {
            "octets": len(content),
            "head_octets": head_length(content),
            "mechanism": "PLAIN",
            "campaign": "orders",
        }
        return a_delivery(to=to, **(known | changes))

    def _copy(self, copies: Copies, delivery: Delivery) -> tuple[Copy, bytes]:
        copy = self.successResultOf(ensureDeferred(copies.copy_for(delivery, _OFFERED)))

        async def read() -> bytes:
            pieces = []
            while piece := await copy.body.next_chunk():
                pieces.append(piece)
            return b"".join(pieces)

        octets = self.successResultOf(ensureDeferred(read()))
        self.assertEqual(len(octets), copy.body.size)
        self.assertTrue(dkimpy.verify(octets, dnsfunc=_dns), octets[:600])
        return copy, octets

    def test_M1_with_everything_off_the_message_is_what_was_submitted(self) -> None:
        copy, octets = self._copy(self._copies(), self._delivery())
        self.assertTrue(octets.endswith(b"Received: from x\r\n" + _MAIL))
        self.assertEqual(str(copy.sender), "a@example.com")

    def test_FI1_one_feedback_id_the_same_for_a_campaign_and_signed(self) -> None:
        content = b"Feedback-ID: x:y:z:sender\r\n" + _MAIL
        copies = self._copies(content)
        values = set()
        for to in ("b@example.net", "c@example.net", "hidden@example.net"):
            _, octets = self._copy(copies, self._delivery(to, content))
            mail = email.message_from_bytes(octets)
            self.assertEqual(len(mail.get_all("Feedback-ID", [])), 1)
            values.add(mail["Feedback-ID"])
            self.assertIn("Feedback-ID", mail["DKIM-Signature"].replace("\r\n\t ", ""))
        self.assertEqual(values, {f"c-orders:l1:a1:{sender_id('example.org')}"})

    def test_P5_who_is_in_neither_To_nor_Cc_is_alone_in_To(self) -> None:
        copies = self._copies()
        for to, shown in (
            ("b@example.net", "Bea <b@example.net>"),
            ("C@example.net", "Bea <b@example.net>"),
            ("d@example.net", "d@example.net"),
        ):
            _, octets = self._copy(copies, self._delivery(to))
            mail = email.message_from_bytes(octets)
            self.assertEqual(mail.get_all("To"), [shown])
            self.assertEqual(mail["Cc"], "c@example.net")
            self.assertIsNone(mail["Bcc"])

    def test_P5_the_rule_can_be_switched_off_by_the_list(self) -> None:
        copies = self._copies(settings={"bcc_own_to": False})
        _, octets = self._copy(copies, self._delivery("d@example.net"))
        self.assertIn(b"To: Bea <b@example.net>\r\n", octets)

    def test_own_to_of_the_message_leaves_each_alone(self) -> None:
        options = Options(own_to=True)
        _, octets = self._copy(self._copies(), self._delivery(options=options))
        mail = email.message_from_bytes(octets)
        self.assertEqual((mail["To"], mail["Cc"]), ("b@example.net", None))

    def test_M3_P4_everything_on_and_the_signature_still_verifies(self) -> None:
        copies = self._copies(
            stream=Stream.SUBSCRIBED,
            settings={
                "footer": True,
                "footer_html": "<p>Hello [name], <a href='[unsubscribe]'>stop</a></p>",
                "footer_text": "Hello [name]: [unsubscribe]",
                "track_opens": True,
                "track_clicks": True,
            },
            returns="bounce.example.com",
        )
        delivery = self._delivery()
        delivery = Delivery(
            delivery.id, delivery.message, delivery.recipient, 0, 0.0, name="Bea Öztürk"
        )
        copy, octets = self._copy(copies, delivery)
        mail: Any = email.message_from_bytes(octets, policy=email.policy.default)
        text = mail.get_body(("plain",)).get_content()
        html = mail.get_body(("html",)).get_content()
        self.assertIn("See https://shop.example/1", text)
        self.assertIn("Hello Bea Öztürk: https://t.example.org/u/", text)
        self.assertIn("Hello Bea Öztürk", html)
        token, segment = html.split("https://t.example.org/t/c/")[1].split('"')[0].split("/")
        click = read_click(_TOKENS, token, segment, 1000.0)
        self.assertEqual(click.target, "https://shop.example/1?a=1&b=2")
        self.assertEqual(click.token.facts.delivery_id, delivery.id)
        opened = html.split("https://t.example.org/t/o/")[1].split('"')[0]
        self.assertEqual(read_open(_TOKENS, opened, 1000.0).facts.message_id, 1)
        url, mailto = mail["List-Unsubscribe"].replace("<", "").replace(">", "").split(", ")
        self.assertEqual(mail["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click")
        self.assertEqual(read_unsubscribe(_TOKENS, url.rpartition("/")[2], 1000.0).facts.list_id, 1)
        self.assertTrue(mailto.startswith("mailto:u-"))
        self.assertEqual(mail["CFBL-Address"], "fbl@bounce.example.com; report=arf")
        assert copy.sender is not None
        self.assertEqual(copy.sender.domain, "bounce.example.com")
        found = read_local_part(copy.sender.local)
        assert found is not None
        facts = _TOKENS.read(Purpose.RETURN_PATH, found[1], 1000.0).facts
        self.assertEqual((facts.message_id, facts.delivery_id), (1, delivery.id))

    def test_messages_that_want_the_same_in_their_copies_share_a_plan(self) -> None:
        rendering = self._copies()._rendering
        assert rendering is not None
        head = _MAIL[: head_length(_MAIL)]

        def plan(**said: Any) -> CopyPlan:
            message = self._delivery(options=Options(**said)).message
            found = self.successResultOf(ensureDeferred(rendering.of(message, head, ())))
            assert found is not None
            return found.plan

        usual = plan()
        for same in ({"campaign_code": "a"}, {"campaign_code": "b", "priority": 1, "tags": ("x",)}):
            self.assertIs(plan(**same), usual, same)
        for other in (
            {"track_opens": True},
            {"footer": True, "footer_html": "<p>Another</p>"},
            {"fields": {"name": "Bea"}},
            {"fields": {"name": "Anna"}},
            {"utm": Utm(source="mail")},
            {"merge": (MergeSyntax.BRACKETS,)},
        ):
            self.assertIsNot(plan(**other), usual, other)
            self.assertIs(plan(**other), plan(**other), other)
        first, second = plan(fields={"name": "Bea"}), plan(fields={"name": "Anna"})
        self.assertEqual((first.fields["name"], second.fields["name"]), ("Bea", "Anna"))

    def test_R_plans_with_many_merge_values_are_not_kept(self) -> None:
        rendering = self._copies()._rendering
        assert rendering is not None
        head = _MAIL[: head_length(_MAIL)]
        for number in range(3):
            options = Options(fields={f"f{number}": "x" * 20_000})
            message = self._delivery(options=options).message
            found = self.successResultOf(ensureDeferred(rendering.of(message, head, ())))
            assert found is not None
            self.assertIsNone(found.plan.parts)  # what is found by a plan would keep it
        self.assertEqual(rendering._plans, {})

    def test_R5_who_would_get_a_huge_copy_gets_none_and_the_sender_is_told(self) -> None:
        content = b"From: a@example.com\r\nSubject: Hi\r\n\r\n" + b"[a]" * 50 + b"\r\n"
        value = {"a": "x" * 100_000}
        merge = (MergeSyntax.BRACKETS,)
        for of_message, of_recipient in ((value, {}), ({}, value)):
            options = Options(merge=merge, fields=of_message)
            delivery = self._delivery(content=content, options=options)
            delivery = replace(delivery, fields=of_recipient)
            failure = self.failureResultOf(
                ensureDeferred(self._copies(content).copy_for(delivery, _OFFERED)), CopyFailedError
            )
            self.assertEqual(str(failure.value.outcome.status), "5.3.4")

    def test_an_answer_in_a_thread_of_a_list_of_ours_gets_no_footer_again(self) -> None:
        for list_id, expected in (
            (b'"news" <l2.mail.example.org>', 0),
            (b"<l2.t.example.org>", 1),
            (b"<l2.mail.example.org.evil.example>", 1),
        ):
            content = (
                b"In-Reply-To: <1@example.net>\r\nList-Id: " + list_id + b"\r\nFrom: a@example.com"
                b"\r\nTo: b@example.net\r\n\r\nHello\r\n"
            )
            settings = {"footer": True, "footer_text": "Shop Ltd"}
            for more in ({}, {"track_opens": True}):
                copy, octets = self._copy(
                    self._copies(content, settings=settings | more),
                    self._delivery(content=content),
                )
                self.assertEqual(octets.count(b"Shop Ltd"), expected, list_id)
                self.assertEqual(len(copy.notes), 1 - expected)
                self.assertTrue(all("it answers a mail" in note for note in copy.notes))
            copy, _ = self._copy(self._copies(content), self._delivery(content=content))
            self.assertEqual(copy.notes, ())  # nothing was wanted

    def test_P4_an_answer_to_a_mail_of_the_list_gets_no_footer_again(self) -> None:
        settings = {"footer": True, "footer_text": "Shop Ltd", "track_opens": True}
        self.queue.sent = {(1, "b@example.net", "<first@example.com>")}
        for fields, expected in (
            (b"In-Reply-To: <first@example.com>", 0),
            (b"References: <first@example.com>\r\n <her@example.net>", 0),
            (b"In-Reply-To: <her@example.net>\r\nReferences: <first@example.com><x@y>", 0),
            (b"In-Reply-To: <her@example.net>", 1),
            (b"In-Reply-To: first@example.com", 1),
            (b"References: <%b@example.com>" % (b"a" * 2_000), 1),
            (b"X-References: <first@example.com>", 1),
        ):
            content = fields + b"\r\nFrom: a@example.com\r\nTo: B <B@example.net>\r\n\r\nHello\r\n"
            copies = self._copies(content, settings=settings)
            copy, octets = self._copy(copies, self._delivery(content=content))
            self.assertEqual(octets.count(b"Shop Ltd"), expected, fields)
            self.assertEqual(len(copy.notes), 1 - expected)
        asked = len(self.queue.asked_for_sent)
        for mail, wanted in ((_MAIL, settings), (content, {"track_opens": True})):
            self._copy(self._copies(mail, settings=wanted), self._delivery(content=mail))
        self.assertEqual(len(self.queue.asked_for_sent), asked)  # nothing is read without need

    def test_P4_a_store_that_is_away_holds_no_answer_up_it_gets_its_footer(self) -> None:
        settings = {"footer": True, "footer_text": "Shop Ltd"}
        content = (
            b"In-Reply-To: <first@example.com>\r\nFrom: a@example.com\r\nCc: 1@example.net (One)\r\n"
            b"To: Team: B <B@example.net>, b@example.net, c@example.net;, d@example.net\r\n\r\nHello\r\n"
        )
        for failure in (None, *(kind("away") for kind in (*STORE_ERRORS, StoreCorruptError))):
            self.queue.failure = failure
            copies = self._copies(content, settings=settings)
            _, octets = self._copy(copies, self._delivery(content=content))
            self.assertEqual(octets.count(b"Shop Ltd"), 1, failure)
            (*_, asked) = self.queue.asked_for_sent
            shown = ["1@example.net", "b@example.net", "c@example.net"]
            self.assertEqual([one.key for one in asked], shown)

    def test_UN1_a_tag_in_a_body_works_whatever_the_list_wants(self) -> None:
        """Transactional, `unsubscribe` and `footer` off; with and without anything else."""
        content = _MAIL.replace(b"See https", b"Out: <%unsubscribe_url%> See https")
        content = content.replace(b"</p>", b" [unsubscribe]</p>")
        for settings in ({}, {"track_opens": True}, {"track_clicks": True}):
            copies = self._copies(content, settings=settings)
            for to in ("b@example.net", "hidden@example.net"):
                delivery = self._delivery(to, content)
                copy, octets = self._copy(copies, delivery)
                self.assertNotIn(b"[unsubscribe]", octets)
                self.assertNotIn(b"\r\nList-Unsubscribe", octets.partition(b"Feedback-ID: ")[2])
                self.assertEqual(copy.notes, ())
                for begins in (b"Out: ", b'href="'):
                    found = octets.partition(begins + b"https://t.example.org/u/")[2][:200]
                    token = found.replace(b"=\r\n", b"").split()[0].split(b'"')[0].decode()
                    facts = read_unsubscribe(_TOKENS, token, 1000.0).facts
                    self.assertEqual(facts.delivery_id, delivery.id)

    def test_UN1_a_tag_in_a_large_content_works(self) -> None:
        content = _MAIL.replace(b"See https", b"Out: [unsubscribe] See https")
        content = content.replace(b"--x--", b"--x\r\n\r\n" + b"x" * 70_000 + b"\r\n--x--")
        _, octets = self._copy(self._copies(content), self._delivery(content=content, in_file=True))
        self.assertIn(b"Out: https://t.example.org/u/", octets)

    def test_where_nothing_is_put_in_and_no_tag_is_no_part_is_looked_through(self) -> None:
        content = _MAIL.replace(b"See https", b"[Order] See https")
        copies = self._copies(content)
        first, _ = self._copy(copies, self._delivery("b@example.net", content))
        (held,) = copies._held._held.values()
        assert held.rendered is not None
        self.assertTrue(held.rendered.is_plain)
        self.assertIsNone(held.prepared)
        self.assertEqual(first.notes, ())

    def test_tracked_links_lead_to_the_sender_domains_own_host(self) -> None:
        copies = self._copies(settings={"track_clicks": True}, host="links.example.com")
        _, octets = self._copy(copies, self._delivery())
        self.assertIn(b"https://links.example.com/t/c/", octets)

    def test_the_lists_utm_parameters_are_added_to_links(self) -> None:
        """Without any tracking; those that a message names are instead of all of them."""
        settings = {"utm_source": "shop", "utm_medium": "e mail", "utm_domains": ["shop.example"]}
        for options, added in (
            (Options(), b"&amp;utm_source=shop&amp;utm_medium=e+mail"),
            (Options(utm=Utm(campaign="x")), b"&amp;utm_campaign=x"),
            (Options(utm=Utm()), b""),
        ):
            copies = self._copies(settings=settings)
            _, octets = self._copy(copies, self._delivery(options=options))
            self.assertIn(b'href="https://shop.example/1?a=1&amp;b=2' + added + b'"', octets)

    def test_UN4_the_senders_own_list_unsubscribe_is_kept_or_replaced(self) -> None:
        content = b"List-Unsubscribe: <https://own.example/u>\r\n" + _MAIL
        for own, here in (
            ("keep", b"https://own.example/u"),
            ("replace", b"https://t.example.org"),
        ):
            settings = {"unsubscribe": True, "own_unsubscribe": own}
            copies = self._copies(content, settings=settings)
            _, octets = self._copy(copies, self._delivery(content=content))
            self.assertEqual(octets.count(b"List-Unsubscribe: "), 1)
            self.assertIn(b"List-Unsubscribe: <" + here, octets)

    def test_a_report_of_ours_is_left_as_it_was_made(self) -> None:
        copies = self._copies(
            settings={"footer": True, "footer_text": "x"}, returns="b.example.com"
        )
        copy, octets = self._copy(copies, self._delivery("d@example.net", mechanism=""))
        self.assertTrue(octets.endswith(b"Received: from x\r\n" + _MAIL))
        self.assertNotIn(b"Feedback-ID: ", octets)
        self.assertEqual(str(copy.sender), "a@example.com")

    def test_P4_what_is_left_alone_is_noted(self) -> None:
        content = (
            b"From: a@example.com\r\nTo: b@example.net\r\nMIME-Version: 1.0\r\n"
            b'Content-Type: multipart/signed; boundary=x; protocol="application/pgp-signature"; '
            b"micalg=pgp-sha256\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nHi\r\n"
            b"--x\r\nContent-Type: application/pgp-signature\r\n\r\nabc\r\n--x--\r\n"
        )
        copies = self._copies(content, settings={"footer": True, "footer_text": "Bye"})
        copy, octets = self._copy(copies, self._delivery(content=content))
        self.assertTrue(octets.endswith(content))
        self.assertIn("signed", copy.notes[0])

    def test_R5_a_large_content_in_its_file_gets_its_footer_piece_by_piece(self) -> None:
        attachment = b"QUJD" * 19 + b"\r\n"
        content = (
            b"From: a@example.com\r\nTo: b@example.net\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
            b"--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"
            b"--x\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + attachment
            * 4_000
            + b"--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nHi\r\n"
            b"--x--\r\n"
        )
        copies = self._copies(content, settings={"footer": True, "footer_text": "Bye [email]"})
        for to in ("b@example.net", "c@example.net"):
            _, octets = self._copy(copies, self._delivery(to, content, in_file=True))
            self.assertEqual(octets.count(attachment), 4_000)
            self.assertIn(b"Hello\r\n\r\nBye " + to.encode(), octets)
            self.assertTrue(octets.endswith(b"\r\n\r\nHi\r\n--x--\r\n"))

    def test_500_recipients_who_are_not_shown_each_see_themselves(self) -> None:
        copies = self._copies()
        deliveries = [self._delivery(f"r{number}@example.net") for number in range(500)]
        first = deliveries[0].message
        news = tuple(NewDelivery(one.id, one.recipient) for one in deliveries)
        copies.remember(Accepted(first, news, _MAIL, leased=True, due_at=0.0))
        for number, delivery in enumerate(deliveries[:20]):
            _, octets = self._copy(copies, delivery)
            plain = _MAIL.replace(b"To: Bea <b@example.net>", b"To: r%d@example.net" % number)
            self.assertTrue(octets.endswith(plain))

    def test_P2_who_brings_names_that_others_lack_has_them_whoever_is_ready_last(self) -> None:
        content = _MAIL.replace(b"See https", b"-a- -b- https") + b"x" * 60_000 + b"\r\n"
        workers = _LateWorkers()
        copies = self._copies(content, workers=workers)
        options = Options(merge=(MergeSyntax.DASHES,))

        def delivery(**fields: str) -> Delivery:
            return replace(self._delivery(content=content, options=options), fields=fields)

        first = ensureDeferred(copies.copy_for(delivery(**{"-a-": "1"}), _OFFERED))
        second = ensureDeferred(copies.copy_for(delivery(**{"-a-": "2", "-b-": "3"}), _OFFERED))
        workers.waiting.pop()()
        workers.waiting.pop()()
        self.successResultOf(first)
        self.successResultOf(second)
        _, octets = self._copy(copies, delivery(**{"-a-": "4", "-b-": "5"}))
        self.assertIn(b"\r\n4 5 https", octets)

    def test_R5_a_large_content_is_not_read_for_its_head_alone(self) -> None:
        content = _MAIL + b"x" * 70 + b"\r\n"
        copies = self._copies(content)
        copies._whole_file = None  # type: ignore[assignment,method-assign]
        _, octets = self._copy(copies, self._delivery("hidden@example.net", content, in_file=True))
        self.assertTrue(
            octets.endswith(content.replace(b"To: Bea <b@example.net>", b"To: hidden@example.net"))
        )
