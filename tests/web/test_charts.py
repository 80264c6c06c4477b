"""The chart's numbers: heights are amounts, nothing is hidden, axes are round."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.web.charts import Frame, Series, draw, scale

_FRAME = Frame(width=1000, height=240, left=40, right=10, top=20, bottom=20)


class ScaleTests(SynchronousTestCase):
    def test_the_axis_holds_the_most_in_three_to_six_lines_of_round_steps(self) -> None:
        table = {0: (4, 1), 4: (4, 1), 5: (5, 1), 7: (8, 2), 11: (15, 5), 99: (100, 20)}
        for most, wanted in table.items():
            self.assertEqual(scale(most), wanted, most)
        for most in range(1, 3000, 7):
            top, step = scale(most)
            self.assertGreaterEqual(top, most)
            self.assertLess(top - most, max(step, 4))
            self.assertEqual(top % step, 0)
            self.assertIn(str(step).rstrip("0"), {"1", "2", "5"})
            self.assertLessEqual(top // step, 5)


class DrawTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.columns = (
            Series("delivered", "Delivered", (10, 0, 100)),
            Series("bounced", "Bounced", (5, 0, 0)),
        )
        self.line = Series("accepted", "Accepted", (15, 0, 50))
        self.chart = draw(self.columns, self.line, ("a", "b", "c"), ("a", "", "c"), _FRAME)

    def test_heights_are_proportional_and_stacked_from_zero(self) -> None:
        delivered, bounced, large = self.chart.bars
        self.assertEqual((delivered.height, bounced.height, large.height), (20.0, 10.0, 200.0))
        self.assertEqual(delivered.y + delivered.height, self.chart.base)
        self.assertEqual(bounced.y + bounced.height, delivered.y)

    def test_the_line_has_the_columns_scale_and_steps_from_slot_to_slot(self) -> None:
        self.assertEqual(self.chart.levels, (190.0, 220.0, 120.0))
        self.assertTrue(self.chart.steps.startswith("M40 190H"))
        self.assertEqual(self.chart.steps.count("V"), 2)

    def test_a_single_one_among_a_million_is_visible(self) -> None:
        columns = (Series("bounced", "Bounced", (1, 1_000_000)),)
        line = Series("accepted", "Accepted", (0, 0))
        bars = draw(columns, line, ("a", "b"), ("", ""), _FRAME).bars
        self.assertEqual(bars[0].height, 1.0)

    def test_every_number_is_in_a_slots_title(self) -> None:
        titles = [slot.title for slot in self.chart.slots]
        self.assertEqual(titles[0], "a: 15 accepted, 10 delivered, 5 bounced")
        self.assertEqual(len(titles), 3)

    def test_labels_are_thinned_to_what_fits(self) -> None:
        values = tuple(range(30))
        series = Series("x", "X", values)
        labels = [str(value) for value in values]
        frame = Frame(width=300, height=200, most_ticks=4)
        ticks = draw((series,), series, labels, labels, frame).x_ticks
        self.assertLessEqual(len(ticks), 4)
        self.assertEqual(ticks[0].label, "0")

    def test_everything_stays_inside_the_frame(self) -> None:
        for bar in self.chart.bars:
            self.assertGreaterEqual(bar.x, _FRAME.left)
            self.assertLessEqual(bar.x + bar.width, _FRAME.width - _FRAME.right)
            self.assertGreaterEqual(bar.y, _FRAME.top)

    def test_series_of_different_length_are_refused(self) -> None:
        with self.assertRaises(ValueError):
            draw(self.columns, self.line, ("a",), ("a",), _FRAME)
