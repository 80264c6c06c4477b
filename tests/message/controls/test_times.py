from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.controls.error import ControlsError
from smtpplus.message.controls.times import a_span, a_time

MOMENT = 1794294000.0  # 2026-11-10T07:00:00Z
READ = [
    "2026-11-10T08:00:00+01:00",
    "2026-11-10T08:00+01:00",
    "2026-11-10T08:00:00.000+0100",
    "2026-11-10T07:00:00Z",
    "2026-11-10 07:00:00+00:00",
    "20261110T070000Z",
    "Tue, 10 Nov 2026 08:00:00 +0100",
    "10 Nov 2026 07:00:00 GMT",
    "Tue, 10 Nov 2026 07:00:00 0000",
    " 1794294000 ",
    "1794294000.0",
    1794294000,
    1794294000.0,
]
REFUSED = [
    "2026-11-10T08:00:00",
    "2026-11-10",
    "08:00",
    "tomorrow",
    "1794294000000",
    1794294000000,
    -1,
    "-5",
    float("inf"),
    10**400,
    True,
    False,
    [],
    {},
    "2026-11-31T08:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "١٧٩٤٢٩٤٠٠٠",
    "9" * 5000,
]


class TimeTests(SynchronousTestCase):
    def test_read(self) -> None:
        for value in READ:
            self.assertEqual(a_time("k", value), MOMENT, value)

    def test_nothing(self) -> None:
        self.assertIsNone(a_time("k", None))
        self.assertIsNone(a_time("k", ""))

    def test_refused_with_the_forms_that_are_taken(self) -> None:
        for value in REFUSED:
            error = self.assertRaises(ControlsError, a_time, "X-Y key", value)
            self.assertIn("X-Y key: expected a time such as 2026-11-10T08:00", str(error.reply))

    def test_without_an_offset_only_where_it_is_utc(self) -> None:
        self.assertEqual(a_time("k", "2026-11-10 07:00:00", utc=True), MOMENT)
        self.assertEqual(a_time("k", "2026-11-10T08:00:00+01:00", utc=True), MOMENT)

    def test_spans(self) -> None:
        for text, seconds in [("1h30m", 5400.0), ("24h", 86400.0), ("1440m", 86400.0), ("", None)]:
            self.assertEqual(a_span("k", text), seconds)
        for text in ["90", "1d", "-1h", "1m1h"]:
            self.assertRaises(ControlsError, a_span, "k", text)
