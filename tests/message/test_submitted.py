"""What a submitted head says, what is left out of it, and what is refused."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.headers import cut_spans, head_length
from smtpplus.message.submitted import SubmittedHead, examine
from smtpplus.values.errors import RefusedError
from tests.corpora import messages

FROM = b"From: Shop <shop@example.com>\r\n"
DATE = b"Date: Tue, 10 Nov 2026 08:00:00 +0100\r\n"
ID = b"Message-ID: <1.2@example.com>\r\n"


def judged(head: bytes) -> SubmittedHead | str:
    """The head read, or the beginning of the reply."""
    try:
        return examine(head, smtputf8=False)
    except RefusedError as error:
        return f"{error.reply.code} {error.reply.enhanced}"


class TakenTest(SynchronousTestCase):
    def taken(self, head: bytes) -> SubmittedHead:
        result = judged(head)
        assert isinstance(result, SubmittedHead), result
        return result

    def left(self, head: bytes) -> bytes:
        return cut_spans(head, self.taken(head).cuts)

    def test_SU2_valid_date_and_message_id_stay_untouched(self) -> None:
        head = FROM + DATE + ID + b"Subject: =?utf-8?q?gr=C3=BCn?=\r\nTo: a@b.com\r\n\r\n"
        result = self.taken(head)
        self.assertEqual(result.cuts, ())
        self.assertEqual(result.message_id, "<1.2@example.com>")
        self.assertTrue(result.has_valid_date)
        self.assertEqual(result.subject, "grün")
        self.assertEqual(result.header_from, "Shop <shop@example.com>")
        self.assertEqual(str(result.from_mailbox.address), "shop@example.com")

    def test_SU2_invalid_ones_are_left_out(self) -> None:
        for bad in [
            b"Date: yesterday\r\n",
            b"Date: Tue, 31 Feb 2026 08:00:00 +0100\r\n",
            b"Date:\r\n",
            b"Message-ID: 17\r\n",
            b"Message-ID: <a b@c>\r\n",
            b"Message-ID: <a@b> <c@d>\r\n",
            b"Message-ID: <" + b"a" * 600 + b"@b>\r\n",
        ]:
            self.assertEqual(self.left(FROM + bad + b"\r\n"), FROM + b"\r\n", bad)

    def test_SU2_obsolete_but_valid_dates_stay(self) -> None:
        for good in [
            b"Date: 1 Nov 26 8:00 GMT\r\n",
            b"Date: Tue, 10 Nov 2026 08:00:60 EST\r\n",
            b"Date: Tue,10 Nov 2026\r\n 08:00:00 +0100 (CET)\r\n",
        ]:
            self.assertEqual(self.left(FROM + good + b"\r\n"), FROM + good + b"\r\n", good)

    def test_bcc_is_left_out(self) -> None:
        head = (
            b"Bcc: a@b.com,\r\n c@d.com\r\n" + FROM + b"BCC : e@f.com\r\n"
            b"Resent-Bcc: g@h.com\r\nX-Bcc: stays\r\n\r\n"
        )
        self.assertEqual(self.left(head), FROM + b"X-Bcc: stays\r\n\r\n")

    def test_S12_repairs(self) -> None:
        for head in [
            b"From shop@example.com Tue Nov 10 08:00:00 2026\r\n" + FROM + b"\r\n",
            b"\xef\xbb\xbf" + FROM + b"\r\n",
        ]:
            self.assertEqual(self.left(head), FROM + b"\r\n")
        twice = b"MIME-Version: 1.0\r\n" * 2
        self.assertEqual(self.left(FROM + twice + b"\r\n"), FROM + twice[:19] + b"\r\n")

    def test_without_empty_line_all_is_head(self) -> None:
        self.assertEqual(self.left(FROM), FROM)

    def test_eight_bit_fields_are_taken_without_smtputf8(self) -> None:
        result = self.taken("From: J\u00f6rg <a@b.com>\r\nSubject: gr\u00fcn\r\n\r\n".encode())
        self.assertEqual((result.subject, result.has_eight_bit), ("grün", True))
        self.assertEqual(result.from_mailbox.display_name, "Jörg")

    def test_names_in_a_legacy_charset_are_taken(self) -> None:
        result = self.taken(b"From: Anna\x92s Caf\xe9 <a@b.com>\r\n\r\n")
        self.assertEqual(result.from_mailbox.display_name, "Anna\u2019s Café")

    def test_S11_shown_values_are_bounded_and_on_one_line(self) -> None:
        result = self.taken(FROM + b"Subject: " + b"=?utf-8?q?a=0d=0ab?= " * 500 + b"\r\n\r\n")
        self.assertLessEqual(len(result.subject), 500)
        self.assertEqual(len(result.subject.splitlines()), 1)

    def test_auto_submitted(self) -> None:
        result = self.taken(FROM + b"Auto-Submitted: Auto-Replied; x=y\r\n\r\n")
        self.assertEqual(result.auto_submitted, "auto-replied")


class RefusedTest(SynchronousTestCase):
    def test_SU4_from(self) -> None:
        for field in [
            b"",
            b"From:\r\n",
            FROM + FROM,
            FROM + b"FROM : other@example.com\r\n",
            b"From: a@b.com, c@d.com\r\n",
            b"From: Group: a@b.com;\r\n",
            b"From: a@b.com\r\n ,c@d.com\r\n",
            b"From: nobody\r\n",
            b"From: <>\r\n",
            b"From: =?utf-8?q?a=40b=2Ecom?=\r\n",
        ]:
            self.assertEqual(judged(field + DATE + b"\r\n"), "550 5.6.0", field)

    def test_S12_table(self) -> None:
        for head, expected in [
            (b"", "550 5.6.0"),
            (b"\r\n", "550 5.6.0"),
            (b"Hello,\r\nthis is a body.\r\n\r\n", "550 5.6.0"),
            (FROM + b"no field\r\n\r\n", "550 5.6.0"),
            (FROM + b"no field\r\nFrom: other@example.com\r\n\r\n", "550 5.6.0"),
            (FROM + b"Subject: a\r\nSubject: b\r\n\r\n", "550 5.6.0"),
            (FROM + b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n", "550 5.6.0"),
            (FROM + b"X" * 1000 + b": 1\r\n\r\n", "550 5.6.0"),
            (FROM + b"X: \0\r\n\r\n", "550 5.6.0"),
            (FROM + b"A: b\r\n" * 10_001 + b"\r\n", "550 5.6.0"),
            (FROM + b"X: " + b"a" * 140_000 + b"\r\n\r\n", "552 5.6.0"),
            (FROM + b"Sender: a@b.com, c@d.com\r\n\r\n", "550 5.6.0"),
            ("From: jörg@example.com\r\n\r\n".encode(), "550 5.6.7"),
        ]:
            started = time.process_time()
            self.assertEqual(judged(head), expected, head[:80])
            self.assertLess(time.process_time() - started, 1.0)

    def test_S12_large_heads_within_the_limits_are_taken(self) -> None:
        for head in [
            FROM + b"A: b\r\n" * 9_999 + b"\r\n",
            FROM + b"X: " + b"a" * 110_000 + b"\r\n\r\n",
        ]:
            started = time.process_time()
            self.assertIsInstance(judged(head), SubmittedHead)
            self.assertLess(time.process_time() - started, 1.0)

    def test_S18_fifty_hops_are_a_loop(self) -> None:
        hop = b"Received: from a by b; Tue, 10 Nov 2026 08:00:00 +0100\r\n"
        self.assertEqual(judged(hop * 50 + FROM + b"\r\n"), "554 5.4.6")
        self.assertIsInstance(judged(hop * 49 + FROM + b"\r\n"), SubmittedHead)

    def test_the_reply_is_a_sentence(self) -> None:
        with self.assertRaises(RefusedError) as caught:
            examine(FROM + FROM + b"\r\n", smtputf8=False)
        self.assertIn("2 From header fields", caught.exception.reply.text)

    def test_real_messages_are_taken_or_refused(self) -> None:
        taken = 0
        for _, content in messages("mime", "bounces"):
            crlf = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").replace(b"\0", b"")
            taken += isinstance(judged(crlf[: head_length(crlf)]), SubmittedHead)
        self.assertGreater(taken, 300)

    @given(
        st.lists(
            st.sampled_from(
                [b"From", b"Bcc: x", b":", b"\r\n", b" ", b"a@b.c", b",", b"\xff", b"Date:", b"<"]
            ),
            max_size=30,
        ).map(b"".join)
    )
    @settings(max_examples=300, deadline=None)
    def test_any_octets_are_taken_or_refused(self, head: bytes) -> None:
        result = judged(head)
        if isinstance(result, SubmittedHead):
            self.assertNotIn(b"\nbcc", cut_spans(head, result.cuts).lower())
