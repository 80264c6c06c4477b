"""What several processes on one file tell each other of, and how they take turns."""

from __future__ import annotations

import os
import resource
import threading

from sqlalchemy import Connection
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.commits import Committer, Request
from smtpplus.store.process_lock import WriteTurn, keep_turns
from smtpplus.store.topics import ACCOUNTS, DUE, QUEUE, TOPICS, told_again, told_between
from smtpplus.values.errors import StoreUnavailableError
from tests.folders import folder_of


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
        self.folder = folder_of(self)
        self.folder.mkdir()
        self.order: list[str] = []

    def _other(self) -> threading.Thread:
        def write() -> None:
            turn = WriteTurn(self.folder)
            turn.take()
            self.order.append("other")
            turn.end()

        thread = threading.Thread(target=write)
        thread.start()
        return thread

    def test_the_second_waits_for_the_first_also_when_that_enters_again(self) -> None:
        keep_turns(self.folder, wanted=True)
        turn = WriteTurn(self.folder)
        turn.take()
        other = self._other()
        turn.take()
        other.join(0.05)
        turn.close()  # not while it is ours
        turn.end()
        other.join(0.05)
        self.order.append("first")
        turn.end()
        other.join(10)
        self.assertEqual(self.order, ["first", "other"])
        turn.close()
        turn.take()
        turn.end()

    def test_D8_a_turn_that_cannot_be_taken_costs_the_requests_and_not_the_writer(self) -> None:
        keep_turns(self.folder, wanted=True)
        turn = WriteTurn(self.folder)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        committer = Committer(_never, None, lambda: 0.0, turn=turn)  # type: ignore[arg-type]
        request = Request(lambda _: None)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_descriptors_in_use(), limits[1]))
        try:
            committer.run([request])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        self.assertIsInstance(request.error, StoreUnavailableError)

    def test_D15_whoever_knows_of_damage_tells_all_who_take_turns(self) -> None:
        turn, other = WriteTurn(self.folder), WriteTurn(self.folder)
        turn.tell(True)  # there are none
        self.assertEqual(list(self.folder.iterdir()), [])
        keep_turns(self.folder, wanted=True)
        other.take()
        for damaged in (True, False, True):
            turn.tell(damaged)
            self.assertEqual(other.is_of_damaged, damaged)
        keep_turns(self.folder, wanted=True)  # a new start knows of nothing
        self.assertFalse(other.is_of_damaged)
        other.end()
        other.close()

    def test_beside_a_service_of_one_process_nobody_waits(self) -> None:
        keep_turns(self.folder, wanted=True)
        keep_turns(self.folder, wanted=False)
        turn = WriteTurn(self.folder)
        turn.take()
        self._other().join(10)
        turn.end()
        self.assertEqual(self.order, ["other"])


def _never(_check: bool) -> Connection:
    raise AssertionError("the store was opened without a turn")


def _descriptors_in_use() -> int:
    """No descriptor is free below it: the next one fails."""
    probe = os.dup(0)
    os.close(probe)
    return probe
