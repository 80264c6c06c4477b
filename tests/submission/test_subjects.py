"""Subjects are learnt from between messages, and new ones are counted by what was learnt (P6)."""

from __future__ import annotations

from itertools import chain
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.submission.subjects import LOOK_SECONDS, SubjectLearning
from smtpplus.values.errors import StoreUnavailableError
from smtpplus.values.learnt_pattern import Learnt
from tests.submission.rig import SubmissionTestCase, a_mail

NAMES = ("Maria Rossi", "Jan", "Petra", "Ahmed", "Wei", "Olga", "Sven", "Ines", "Hugo", "Li",
         "Eva Braun", "Tom")  # fmt: skip


class _Accounts:
    """Remembers what was asked; answers that it was learnt at `at`, where that is said."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []
        self.at: dict[int, float] = {}
        self.is_away = False

    async def learn(self, list_id: int, now: float) -> Learnt:
        self.asked.append((list_id, now))
        if self.is_away:
            raise StoreUnavailableError("away")
        return Learnt(self.at.get(list_id, now))


class LearningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.timers = Clock()
        clock = ReactorClock(self.timers, self.timers.seconds)
        self.accounts = _Accounts()
        accounts: Any = self.accounts
        self.learning = SubjectLearning(accounts, clock, Spawn(clock))

    def asked(self, minutes: int = 1) -> list[int]:
        """Which lists were asked about in the next minutes."""
        self.accounts.asked.clear()
        for _ in range(minutes):
            self.timers.advance(LOOK_SECONDS)
        return [list_id for list_id, _ in self.accounts.asked]

    def test_lists_that_had_messages_are_asked_about_once(self) -> None:
        for list_id in (5, 3, 5, 5):
            self.learning.note(list_id)
        self.assertEqual(self.asked(), [3, 5])
        self.assertEqual(self.asked(30), [])
        self.learning.note(5)
        self.assertEqual(self.asked(), [5])

    def test_what_was_learnt_from_a_moment_ago_is_asked_about_again_later(self) -> None:
        self.accounts.at = {3: 1.0}
        self.learning.note(3)
        self.assertEqual(self.asked(), [3])
        self.assertEqual(self.asked(9), [3] * 9)
        self.accounts.at = {}
        self.assertEqual(self.asked(), [3])
        self.assertEqual(self.asked(30), [])

    def test_so_many_in_one_look_and_none_is_forgotten(self) -> None:
        for list_id in range(50):
            self.learning.note(list_id)
        found = [self.asked() for _ in range(4)]
        self.assertEqual([len(one) for one in found], [20, 20, 10, 0])
        self.assertEqual(sorted(chain.from_iterable(found)), list(range(50)))

    def test_a_store_that_is_away_is_asked_again(self) -> None:
        self.learning.note(3)
        self.accounts.is_away = True
        self.assertEqual(self.asked(2), [3, 3])
        self.accounts.is_away = False
        self.assertEqual(self.asked(2), [3])

    def test_after_its_end_nothing_is_asked(self) -> None:
        self.learning.note(3)
        self.learning.stop()
        self.assertEqual(self.asked(3), [])
        self.assertEqual(self.timers.getDelayedCalls(), [])


class CountedTests(SubmissionTestCase):
    async def _campaign(self, *subjects: str) -> list[str]:
        for subject in subjects:
            mail = a_mail().replace(b"Subject: Hi", f"Subject: {subject}".encode())
            await self.in_thread(self.send, mail)
        return [one.message.campaign for one in self.recorded.taken[-len(subjects) :]]

    async def test_P6_new_messages_are_counted_by_what_was_learnt(self) -> None:
        await self.start()
        await self.set_list("aggregation", "dynamic-subject")
        first = await self._campaign(*(f"{name} commented on Roadmap" for name in NAMES))
        self.assertEqual(len(set(first)), len(NAMES))
        await self.service._learning.learn()
        found = await self._campaign("Aurelia commented on Roadmap", "Bob Q commented on Roadmap")
        self.assertEqual(set(found), {"dynamic-subject:* commented on roadmap"})
        self.assertEqual(self.taken.message.campaign_name, "{text} commented on Roadmap")
        [other] = await self._campaign("Aurelia left")
        self.assertEqual(other, "dynamic-subject:aurelia left")

    async def test_by_this_policy_alone_lists_are_noted(self) -> None:
        await self.start()
        await self._campaign("Hello")
        self.assertEqual(self.service._learning._noted, {})
        await self.set_list("aggregation", "dynamic-subject")
        await self._campaign("Hello")
        self.assertEqual([*self.service._learning._noted], [self.alice.list_id])
