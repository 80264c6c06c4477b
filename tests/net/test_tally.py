"""Connections counted over several processes (R2)."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.tally import OwnTally, SharedTally


class TallyTests(SynchronousTestCase):
    """One process, and several."""

    def test_R2_one_process_counts_exactly(self) -> None:
        tally = OwnTally()
        tally.change("a", 1)
        tally.change("a", 1)
        tally.change("b", 1)
        tally.change("a", -1)
        self.assertEqual((tally.count("a"), tally.count("b"), tally.count("c")), (1, 1, 0))

    def test_R2_each_process_sees_what_all_count(self) -> None:
        first = SharedTally(3)
        second, third = (SharedTally(3, number, os.dup(first.descriptor)) for number in (1, 2))
        first.change("587 192.0.2.1", 1)
        second.change("587 192.0.2.1", 1)
        third.change("587 192.0.2.1", 1)
        second.change("587 192.0.2.1", -1)
        self.assertEqual([one.count("587 192.0.2.1") for one in (first, second, third)], [2, 2, 2])
        self.assertEqual(first.count("465 192.0.2.1"), 0)

    def test_what_a_process_counted_that_died_is_forgotten_by_its_successor(self) -> None:
        first = SharedTally(2)
        SharedTally(2, 1, os.dup(first.descriptor)).change("a", 1)
        first.change("a", 1)
        self.assertEqual(first.count("a"), 2)
        SharedTally(2, 1, os.dup(first.descriptor))
        self.assertEqual(first.count("a"), 1)

    def test_a_count_does_not_run_over(self) -> None:
        tally = SharedTally(1)
        tally.change("a", -1)
        self.assertEqual(tally.count("a"), 0)
        tally.change("a", 70_000)
        self.assertEqual(tally.count("a"), 65_535)
