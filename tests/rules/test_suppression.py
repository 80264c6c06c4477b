"""Suppressions: who is mailed in spite of what, and what RCPT is told (S14, P7, P8)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.soft_bounces import DeliveryEnd, SoftCounts, SoftLimits, step
from smtpplus.rules.suppression import (
    Reason,
    Scope,
    Suppression,
    decide,
    refusal,
)
from smtpplus.values.address import Address
from smtpplus.values.submission import Stream

NOW = 1_794_300_000.0  # 2026-11-10
DAY = 86_400.0
ADA = Address.parse("ada@example.com")
A, L = Scope.ACCOUNT, Scope.LIST
HARD, COMPLAINT, MANUAL = Reason.HARD_BOUNCE, Reason.COMPLAINT, Reason.MANUAL
SOFT, GONE, OPERATOR = Reason.REPEATED_SOFT_BOUNCE, Reason.UNSUBSCRIBE, Reason.BYPASS
T, S = Stream.TRANSACTIONAL, Stream.SUBSCRIBED


def made(scope: Scope, reason: Reason, list_id: int | None = None, **more: float) -> Suppression:
    return Suppression(scope, reason, NOW - DAY, list_id=list_id, **more)  # type: ignore[arg-type]


TABLE = (
    # on record; list, stream, bypass; the reason that decides
    ((), 1, T, False, None),
    ((made(A, HARD),), 1, T, False, HARD),
    ((made(A, HARD),), 1, T, True, HARD),
    ((made(A, COMPLAINT),), 1, S, True, COMPLAINT),
    ((made(A, HARD), made(A, OPERATOR)), 1, T, False, None),
    ((made(A, COMPLAINT), made(A, OPERATOR)), 1, S, False, None),
    ((made(A, MANUAL), made(L, GONE, 1), made(A, OPERATOR)), 1, S, False, None),
    ((made(A, HARD), made(L, OPERATOR, 1)), 1, T, False, None),
    ((made(A, HARD), made(L, OPERATOR, 1)), 2, T, False, HARD),
    ((made(A, HARD), made(A, OPERATOR, lifted_at=NOW - 1)), 1, T, False, HARD),
    ((made(A, HARD), made(A, OPERATOR, expires_at=NOW)), 1, T, True, HARD),
    ((made(A, HARD), made(A, OPERATOR, expires_at=NOW + 1)), 1, T, False, None),
    ((made(A, OPERATOR),), 1, T, False, None),
    # What the recipient says after it holds; that it bounces again does not.
    ((made(A, OPERATOR), Suppression(L, GONE, NOW, list_id=1)), 1, T, False, GONE),
    ((made(A, OPERATOR), Suppression(A, COMPLAINT, NOW)), 1, T, False, COMPLAINT),
    ((made(A, OPERATOR), Suppression(A, HARD, NOW)), 1, T, False, None),
    (
        (made(A, OPERATOR), Suppression(A, COMPLAINT, NOW), Suppression(A, OPERATOR, NOW)),
        1,
        T,
        False,
        None,
    ),
    ((made(L, COMPLAINT, 1),), 1, T, True, COMPLAINT),
    ((made(L, COMPLAINT, 1),), 2, T, False, None),
    ((made(A, SOFT),), 1, T, False, SOFT),
    ((made(A, SOFT),), 1, T, True, None),
    ((made(A, MANUAL),), 1, T, False, MANUAL),
    ((made(A, MANUAL),), 1, S, True, MANUAL),
    ((made(L, MANUAL, 1),), 1, S, True, None),
    ((made(L, GONE, 1),), 1, S, False, GONE),
    ((made(L, GONE, 1),), 1, T, False, GONE),
    ((made(L, GONE, 1),), 2, S, False, None),
    ((made(L, GONE, 1),), 1, S, True, None),
    ((made(A, GONE),), 1, S, False, GONE),
    ((made(A, GONE),), 1, T, False, None),
    ((made(L, GONE, 1), made(A, HARD)), 1, T, False, HARD),
    ((made(A, GONE), made(A, COMPLAINT), made(A, SOFT)), 1, T, False, COMPLAINT),
    ((made(A, GONE), made(A, COMPLAINT), made(A, SOFT)), 1, T, True, COMPLAINT),
    ((made(A, HARD, lifted_at=NOW - 1),), 1, T, False, None),
    ((made(A, HARD, lifted_at=NOW - 1), made(A, HARD)), 1, T, False, HARD),
    ((made(A, SOFT, expires_at=NOW),), 1, T, False, None),
    ((made(A, SOFT, expires_at=NOW + 1),), 1, T, False, SOFT),
    ((made(L, HARD, 1), made(A, MANUAL)), 1, T, False, HARD),
)


class DecideTests(SynchronousTestCase):
    def test_P7_P8_who_is_mailed(self) -> None:
        for record, list_id, stream, bypass, expected in TABLE:
            for order in (record, tuple(reversed(record))):
                found = decide(ADA, order, list_id=list_id, stream=stream, now=NOW, bypass=bypass)
                got = found.by.reason if found else None
                self.assertEqual(got, expected, (record, list_id, stream, bypass))

    def test_S14_refused_with_the_reason(self) -> None:
        record = Suppression(A, HARD, NOW - DAY, detail="550 5.1.1\r\n No such user")
        found = decide(ADA, [record], list_id=1, stream=T, now=NOW)
        reply = refusal(found, "refuse")
        assert reply is not None
        self.assertEqual(
            str(reply),
            "550 5.7.1 <ada@example.com> is suppressed for all lists of the account since"
            " 2026-11-09: hard bounce (550 5.1.1 No such user)",
        )

    def test_S14_accepted_and_recorded_by_setting(self) -> None:
        found = decide(ADA, [made(L, GONE, 1)], list_id=1, stream=T, now=NOW)
        assert found is not None
        self.assertIsNone(refusal(found, "accept"))
        self.assertIsNone(refusal(None, "refuse"))
        self.assertIn("this list since 2026-11-09: unsubscribe", found.text)

    def test_the_end_is_told(self) -> None:
        found = decide(ADA, [made(A, SOFT, expires_at=NOW + DAY)], list_id=1, stream=T, now=NOW)
        assert found is not None
        self.assertTrue(found.text.endswith(", until 2026-11-11"), found.text)

    def test_a_remotes_long_words_fit_a_reply(self) -> None:
        record = Suppression(A, HARD, NOW, detail="x\u202e" * 5000)
        found = decide(ADA, [record], list_id=1, stream=T, now=NOW)
        assert found is not None
        self.assertLess(len(found.reply.encode()), 512)


ENDS = {"d": DeliveryEnd.DELIVERED, "h": DeliveryEnd.HARD, "s": DeliveryEnd.SOFT,
        "f": DeliveryEnd.FULL, "n": DeliveryEnd.NEUTRAL}  # fmt: skip
RUNS = (
    # ends of deliveries; counts after; reason and days where the last one suppresses
    ("", (0, 0), None, None),
    ("s" * 9, (9, 0), None, None),
    ("s" * 10, (0, 0), SOFT, 90),
    ("s" * 9 + "d" + "s" * 9, (9, 0), None, None),
    ("sn" * 9 + "s", (0, 0), SOFT, 90),  # what says nothing of the address neither adds nor breaks
    ("n" * 100, (0, 0), None, None),
    ("f" * 30, (0, 30), None, None),
    ("f" * 31, (0, 0), SOFT, 30),
    ("f" * 30 + "d" + "f", (0, 1), None, None),
    ("sf" * 9, (9, 9), None, None),
    ("sf" * 9 + "s", (0, 0), SOFT, 90),
    ("h", (0, 0), HARD, None),
    ("sssh", (0, 0), HARD, None),
    ("s" * 11, (1, 0), None, None),  # after a suppression the patience is new
)


class StepTests(SynchronousTestCase):
    def test_P7_ten_in_a_row_or_more_than_thirty_full(self) -> None:
        for ends, expected, reason, days in RUNS:
            counts, suppression = SoftCounts(), None
            for end in ends:
                counts, suppression = step(counts, ENDS[end], NOW, detail="452 4.2.2 full")
            self.assertEqual((counts.consecutive, counts.full), expected, ends)
            self.assertEqual(suppression.reason if suppression else None, reason, ends)
            if suppression is not None:
                self.assertIs(suppression.scope, Scope.ACCOUNT)
                self.assertEqual(suppression.expires_at, NOW + days * DAY if days else None, ends)
                self.assertIn("452 4.2.2 full", suppression.detail)

    def test_limits_are_the_installations(self) -> None:
        limits = SoftLimits(consecutive=1, soft_days=0)
        _, suppression = step(SoftCounts(), DeliveryEnd.SOFT, NOW, limits=limits)
        assert suppression is not None
        self.assertIsNone(suppression.expires_at)
        self.assertEqual(suppression.detail, "failed 1 times in a row")

    @given(st.lists(st.sampled_from(DeliveryEnd), max_size=200))
    def test_counts_are_bounded(self, ends: list[DeliveryEnd]) -> None:
        counts = SoftCounts()
        for end in ends:
            counts, _ = step(counts, end, NOW)
            self.assertTrue(0 <= counts.consecutive < 10)
            self.assertTrue(0 <= counts.full <= 30)
