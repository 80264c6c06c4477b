"""Times, sizes and shares in words."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.web.words import ago, count, due, iso, moment, percent, size, took

_AT = 1_795_442_733.0


class WordsTests(SynchronousTestCase):
    def test_times_past_and_to_come(self) -> None:
        table = {
            0: "just now",
            12: "12 s ago",
            150: "2 min ago",
            3600: "1 h ago",
            47 * 3600: "47 h ago",
            3 * 86400: "3 days ago",
            40 * 86400: "14 Oct 2026",
            -90: "in 1 min",
        }
        for seconds, wanted in table.items():
            self.assertEqual(ago(_AT - seconds, _AT), wanted)
        self.assertEqual(due(_AT + 720, _AT), "in 12 min")
        self.assertEqual(due(_AT - 5, _AT), "now")

    def test_moments_are_utc_and_never_fail(self) -> None:
        self.assertEqual(moment(_AT), "23 Nov 2026, 14:05:33 UTC")
        self.assertEqual(iso(_AT), "2026-11-23T14:05:33Z")
        for at in (-1e30, 0, 1e30):
            self.assertTrue(moment(at))

    def test_all_and_nothing_are_said_only_where_it_is_so(self) -> None:
        self.assertEqual(percent(0, 0), "\N{EN DASH}")
        self.assertEqual(percent(999_999, 1_000_000), "99.9 %")
        self.assertEqual(percent(1, 1_000_000), "0.1 %")
        self.assertEqual(percent(5, 5), "100 %")
        self.assertEqual(percent(0, 5), "0 %")
        self.assertEqual(
            (count(1_234), count(None), percent(None, 5)), ("1,234", *"\N{EN DASH}" * 2)
        )

    def test_sizes_and_spans(self) -> None:
        self.assertEqual(
            [size(n) for n in (0, 1023, 1024, 5 << 20)], ["0 B", "1023 B", "1.0 KiB", "5.0 MiB"]
        )
        self.assertEqual([took(n) for n in (38, 2400, 180_000)], ["38 ms", "2.4 s", "3 min"])
