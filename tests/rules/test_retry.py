"""When a deferred delivery is tried again (QU1, D18)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.retry import RetrySchedule
from smtpplus.values.duration import Duration

_SCHEDULE = RetrySchedule(tuple(Duration.parse(text) for text in ("1m", "5m", "15m", "1h", "4h")))


class RetryTests(SynchronousTestCase):
    @given(st.integers(1, 50), st.floats(0, 1))
    def test_QU1_O8_intervals_grow_and_stay_within_5_percent(
        self, attempts: int, chance: float
    ) -> None:
        wanted = _SCHEDULE.intervals[min(attempts, 5) - 1].seconds
        due = _SCHEDULE.next_due(attempts=attempts, now=1000.0, expires_at=1e9, chance=chance)
        assert due is not None
        self.assertTrue(abs(due - 1000.0 - wanted) <= 0.05 * wanted)

    def test_QU1_jitter_is_present(self) -> None:
        dues = {
            _SCHEDULE.next_due(attempts=1, now=0.0, expires_at=1e9, chance=chance / 10)
            for chance in range(10)
        }
        self.assertEqual(len(dues), 10)

    def test_D18_the_last_attempt_falls_on_the_expiry_and_none_after_it(self) -> None:
        due = _SCHEDULE.next_due(attempts=9, now=1000.0, expires_at=1500.0, chance=0.5)
        self.assertEqual(due, 1500.0)
        self.assertIsNone(
            _SCHEDULE.next_due(attempts=10, now=1500.0, expires_at=1500.0, chance=0.5)
        )
