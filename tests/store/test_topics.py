"""What several processes on one file tell each other of, and how they take turns."""

from __future__ import annotations

import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.process_lock import WriteTurn, keep_turns
from smtpplus.store.topics import ACCOUNTS, DUE, QUEUE, TOPICS, told_again, told_between


class TopicsTests(SynchronousTestCase):
    """Counts in one number."""

    def test_what_was_told_of_is_seen(self) -> None:
        counts = told_again(0, {ACCOUNTS, QUEUE})
        self.assertEqual(set(told_between(0, counts)), {ACCOUNTS, QUEUE})
        self.assertEqual(set(told_between(counts, told_again(counts, {DUE}))), {DUE})
        self.assertEqual(set(told_between(counts, counts)), set())

    def test_a_count_begins_anew_and_touches_no_other(self) -> None:
        counts = told_again(0, {QUEUE})
        for _ in range(500):
            after = told_again(counts, {DUE})
            self.assertEqual(set(told_between(counts, after)), {DUE})
            counts = after
        self.assertLess(told_again(counts, TOPICS), 1 << 31)  # what user_version can hold


class WriteTurnTests(SynchronousTestCase):
    """Two writers."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.order: list[str] = []

    def _other(self) -> threading.Thread:
        def write() -> None:
            with WriteTurn(self.folder):
                self.order.append("other")

        thread = threading.Thread(target=write)
        thread.start()
        return thread

    def test_the_second_waits_for_the_first_also_when_that_enters_again(self) -> None:
        keep_turns(self.folder, wanted=True)
        turn = WriteTurn(self.folder)
        with turn:
            other = self._other()
            with turn:
                other.join(0.05)
                turn.close()  # not while it is ours
            other.join(0.05)
            self.order.append("first")
        other.join(10)
        self.assertEqual(self.order, ["first", "other"])
        turn.close()
        with turn:
            pass

    def test_beside_a_service_of_one_process_nobody_waits(self) -> None:
        keep_turns(self.folder, wanted=True)
        keep_turns(self.folder, wanted=False)
        with WriteTurn(self.folder):
            self._other().join(10)
        self.assertEqual(self.order, ["other"])
