"""The timeline: opens and clicks of persons beside those of machines, and why nothing was sent."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.message import Event, EventType
from smtpplus.web.steps import Answers, answers, steps, who


def event(kind: EventType, at: float = 0.0, **detail: Any) -> Event:
    return Event(1, kind, at, 1, 1, 1, 1, 7, detail)


class StepsTests(SynchronousTestCase):
    def test_every_kind_of_event_has_a_line(self) -> None:
        lines = steps([event(kind) for kind in EventType], {7: "a@example.net"})
        self.assertEqual(len({line.label for line in lines}), len(EventType))
        self.assertEqual({line.address for line in lines}, {"a@example.net"})

    def test_W4_who_opened_stands_beside_it(self) -> None:
        for by, wanted, machine in (
            ("person", "a person", False),
            ("privacy_proxy", "through a privacy proxy", True),
            ("privacy proxy", "through a privacy proxy", True),
            ("prefetch", "fetched ahead by a mail program", True),
            ("scanner", "a scanner", True),
        ):
            [line] = steps([event(EventType.OPENED, by=by, agent="Mozilla/5.0")], {})
            self.assertEqual((line.note, line.is_machine), (wanted, machine))
            self.assertEqual(line.about, "Mozilla/5.0")
        self.assertEqual(who("something new"), "something new")

    def test_a_click_shows_its_target_cut_to_a_length(self) -> None:
        target = "https://example.com/" + "x" * 1000
        [line] = steps([event(EventType.CLICKED, by="person", target=target, n=3)], {})
        self.assertEqual((len(line.about), line.note), (301, "a person, 3 times"))


class AnswersTests(SynchronousTestCase):
    def test_W5_persons_and_machines_are_counted_apart(self) -> None:
        found = answers(
            [
                event(EventType.OPENED, 1.0, by="prefetch"),
                event(EventType.OPENED, 2.0, by="person"),
                event(EventType.OPENED, 3.0, by="person"),
                event(EventType.CLICKED, 4.0, by="scanner", n=5),
                event(EventType.CLICKED, 5.0, by="person"),
                event(EventType.UNSUBSCRIBED, 6.0),
                event(EventType.DELIVERED, 7.0),
            ]
        )
        self.assertEqual(
            found,
            {7: Answers(2, 1, 6, opened_at=2.0, clicked_at=5.0, unsubscribed_at=6.0)},
        )

    def test_an_undone_unsubscribe_is_none(self) -> None:
        both = [event(EventType.UNSUBSCRIBED, 1.0), event(EventType.RESUBSCRIBED, 2.0)]
        self.assertIsNone(answers(both)[7].unsubscribed_at)
