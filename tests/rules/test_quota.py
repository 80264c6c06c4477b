"""Messages per hour and per day: A6, exact whatever runs at once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from smtpplus.rules.quota import DAY_SECONDS, HOUR_SECONDS, OverQuota, UserQuota, window_start

NOON = 1_795_608_000.0  # 2026-11-25 12:00 UTC


class QuotaTests(TestCase):
    def test_A6_the_hour_is_exact(self) -> None:
        quota = UserQuota(NOON, used_hour=0, used_day=0)
        results = [quota.reserve(NOON + 1, 100, None) for _ in range(150)]
        self.assertEqual(results.count(None), 100)

    def test_A6_counts_so_far_are_kept(self) -> None:
        quota = UserQuota(NOON, used_hour=98, used_day=500)
        self.assertIsNone(quota.reserve(NOON, 100, 1_000))
        self.assertIsNone(quota.reserve(NOON, 100, 1_000))
        self.assertIsNotNone(quota.reserve(NOON, 100, 1_000))

    def test_A6_the_reply_names_the_time(self) -> None:
        quota = UserQuota(NOON, used_hour=100, used_day=100)
        over = quota.reserve(NOON + 1_234, 100, None)
        assert over is not None
        reply = over.reply("s10001_01")
        self.assertEqual(str(reply)[:9], "451 4.7.1")
        self.assertIn("2026-11-25 13:00 UTC", reply.text)
        self.assertIn("100 messages per hour", reply.text)

    def test_A6_the_day_clears_at_midnight(self) -> None:
        quota = UserQuota(NOON, used_hour=0, used_day=10)
        over = quota.reserve(NOON, 100, 10)
        self.assertEqual(over, OverQuota(10, DAY_SECONDS, NOON + 12 * HOUR_SECONDS))
        self.assertIsNone(quota.reserve(NOON + 12 * HOUR_SECONDS, 100, 10))

    def test_A6_given_back_places_can_be_used(self) -> None:
        quota = UserQuota(NOON, used_hour=0, used_day=0)
        self.assertIsNone(quota.reserve(NOON, 1, 1))
        self.assertIsNotNone(quota.reserve(NOON, 1, 1))
        quota.give_back()
        self.assertIsNone(quota.reserve(NOON, 1, 1))
        quota.accepted(NOON)
        self.assertIsNotNone(quota.reserve(NOON, 1, 1))
        self.assertTrue(quota.is_idle)

    def test_A6_a_place_taken_before_the_hour_counts_after_it(self) -> None:
        quota = UserQuota(NOON, used_hour=0, used_day=0)
        self.assertIsNone(quota.reserve(NOON + 3_599, 1, None))
        self.assertIsNotNone(quota.reserve(NOON + 3_601, 1, None))
        quota.accepted(NOON + 3_602)
        self.assertIsNotNone(quota.reserve(NOON + 3_603, 1, None))

    def test_A6_no_limit_means_none(self) -> None:
        quota = UserQuota(NOON, used_hour=10**9, used_day=10**9)
        self.assertIsNone(quota.reserve(NOON, None, None))

    def test_C1_a_clock_that_goes_back_opens_no_window(self) -> None:
        quota = UserQuota(NOON, used_hour=5, used_day=5)
        self.assertIsNotNone(quota.reserve(NOON - HOUR_SECONDS, 5, None))

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["mail", "accepted", "lost", "tick"]), st.integers(0, 4_000)),
            max_size=200,
        ),
        st.integers(0, 6),
        st.integers(0, 12),
    )
    def test_A6_no_window_ever_holds_more_than_its_limit(
        self, steps: list[tuple[str, int]], limit_hour: int, limit_day: int
    ) -> None:
        now = NOON
        quota = UserQuota(now, used_hour=0, used_day=0)
        reserved = 0
        accepted: list[float] = []
        for step, seconds in steps:
            if step == "tick":
                now += seconds
            elif step == "mail":
                refused = quota.reserve(now, limit_hour, limit_day)
                room = all(
                    sum(window_start(at, size) == window_start(now, size) for at in accepted)
                    + reserved
                    < limit
                    for size, limit in ((HOUR_SECONDS, limit_hour), (DAY_SECONDS, limit_day))
                )
                assert (refused is None) is room  # neither too many nor too few
                reserved += refused is None
            elif reserved:
                reserved -= 1
                if step == "accepted":
                    quota.accepted(now)
                    accepted.append(now)
                else:
                    quota.give_back()
        for size, limit in ((HOUR_SECONDS, limit_hour), (DAY_SECONDS, limit_day)):
            starts = [window_start(at, size) for at in accepted]
            assert all(starts.count(start) <= limit for start in starts)
