"""What the first process does when others come up, answer, or end; without processes."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.bound import BoundPorts
from smtpplus.net.clock import ReactorClock
from smtpplus.parent import TALK
from smtpplus.siblings import Siblings, in_effect
from smtpplus.writer import WriterOf


class AReactor(Clock):
    """Starts nothing, and remembers what it was to start."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []
        self.environments: list[dict[str, str]] = []
        self.told: list[str] = []

    def spawnProcess(
        self, protocol: Any, _: str, arguments: list[str], *, env: dict[str, str], **__: object
    ) -> None:
        """Twisted's."""
        self.told.append(arguments[-1])
        protocol.transport = ATransport()
        self.environments.append(env)
        self.started.append(protocol)


class ATransport:
    """The first process's end of the pipes."""

    def __init__(self) -> None:
        self.written = b""
        self.signals: list[str] = []
        self.is_gone = False

    def write(self, octets: bytes) -> None:
        self.written += octets

    def closeStdin(self) -> None:
        """Nothing is to come."""

    def signalProcess(self, name: str) -> None:
        if self.is_gone:
            raise ProcessExitedAlready
        self.signals.append(name)


class SiblingsTests(SynchronousTestCase):
    """Three processes: two siblings."""

    def setUp(self) -> None:
        self.reactor = AReactor()
        self.lines: list[str] = []
        self.values: dict[str, Any] = {"server": {"processes": 2}}
        self.siblings = Siblings(
            self.reactor,
            ReactorClock(self.reactor),
            processes=3,
            config="smtpplus.toml",
            settings=(),
            values=lambda: self.values,
            put_line=self.lines.append,
        )
        self.siblings.start(BoundPorts(), None)

    def end(self, place: int) -> None:
        protocol = self.reactor.started[place]
        protocol.transport.is_gone = True
        protocol.processEnded(Failure(ProcessTerminated(1)))

    def ready(self, place: int) -> None:
        self.reactor.started[place].childDataReceived(TALK, b"ready\n")

    def test_C3_who_is_started_again_is_told_what_is_in_effect_then(self) -> None:
        self.ready(0)
        self.ready(1)
        self.assertEqual(self.siblings.absent, [])
        self.values = {"relay": {"concurrency": 7}}
        self.end(0)
        self.assertEqual(self.siblings.absent, ["process 1"])
        self.reactor.advance(1)
        for place, expected in ((0, {"server": {"processes": 2}}), (-1, self.values)):
            with mock.patch.dict(os.environ, self.reactor.environments[place]):
                self.assertEqual(in_effect(), expected)
                self.assertRaises(KeyError, in_effect)  # it is not handed on
        self.assertEqual(self.siblings.absent, ["process 1"])
        self.ready(-1)
        self.assertEqual(self.siblings.absent, [])

    def test_all_are_ready_once_each_has_said_so(self) -> None:
        self.ready(0)
        self.assertNoResult(self.siblings.all_ready)
        self.ready(1)
        self.successResultOf(self.siblings.all_ready)
        self.assertEqual(self.siblings.ready, 2)

    def test_one_that_never_came_up_is_started_again_after_longer_and_longer_rests(self) -> None:
        self.ready(0)
        for rest in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
            started = len(self.reactor.started)
            self.end(-1)
            self.reactor.advance(rest - 0.1)
            self.assertEqual(len(self.reactor.started), started)
            self.reactor.advance(0.1)
            self.assertEqual(len(self.reactor.started), started + 1)
        self.ready(-1)
        self.successResultOf(self.siblings.all_ready)

    def test_one_that_was_well_for_a_while_comes_back_soon(self) -> None:
        for _ in range(5):
            self.end(-1)
            self.reactor.advance(30.0)
        self.reactor.advance(100.0)
        self.end(-1)
        started = len(self.reactor.started)
        self.reactor.advance(0.5)
        self.assertEqual(len(self.reactor.started), started + 1)

    def test_nothing_is_started_again_while_it_stops(self) -> None:
        self.siblings.terminate()
        self.assertEqual([one.transport.signals for one in self.reactor.started], [["TERM"]] * 2)
        self.end(0)
        self.end(1)
        self.reactor.advance(100.0)
        self.assertEqual(len(self.reactor.started), 2)

    def test_lines_and_answers_come_in_any_pieces(self) -> None:
        asked = self.reactor.started[0]
        for octet in b'{"text":"a"}\n{"text":"b"}\n':
            asked.childDataReceived(1, bytes([octet]))
        self.assertEqual(self.lines, ['{"text":"a"}\n', '{"text":"b"}\n'])
        answer = asked.ask(b"metrics")
        self.assertEqual(asked.transport.written, b"metrics\n")
        for octet in b"ready\nmetrics 7\na 1\nb 2ready":
            asked.childDataReceived(TALK, bytes([octet]))
        self.assertEqual(self.successResultOf(answer), b"a 1\nb 2")

    def test_who_ends_while_it_is_asked_answers_nothing(self) -> None:
        answer = self.reactor.started[0].ask(b"metrics")
        self.end(0)
        self.assertEqual(self.successResultOf(answer), b"")
        self.siblings.hang_up(None)
        self.assertEqual(self.reactor.started[1].transport.signals, ["HUP"])

    def test_D5_each_tells_of_its_trouble_with_the_store(self) -> None:
        self.ready(0)
        self.ready(1)
        found = Deferred.fromCoroutine(self.siblings.troubles())
        first, second = self.reactor.started
        self.assertEqual(first.transport.written, b"trouble\n")
        first.childDataReceived(TALK, b"trouble 0\n")
        self.assertNoResult(found)
        second.childDataReceived(TALK, b"trouble 12\nIt is locked")
        self.assertEqual(self.successResultOf(found), {"process 2": "It is locked"})

    def test_one_that_does_not_answer_is_told_of_and_ended_after_half_a_minute(self) -> None:
        self.ready(0)
        self.ready(1)
        frozen, well = self.reactor.started

        def pass_seconds(seconds: int) -> None:
            for _ in range(seconds // 2):
                self.reactor.advance(2)
                if well.transport.written:
                    self.assertEqual(well.transport.written, b"there\n")
                    well.transport.written = b""
                    well.childDataReceived(TALK, b"there 0\n")

        pass_seconds(6)
        self.assertEqual((self.siblings.silent, self.siblings.ready), ([], 2))
        pass_seconds(2)
        self.assertEqual((self.siblings.silent, self.siblings.ready), (["process 1"], 1))
        self.assertEqual(self.siblings.absent, [])
        pass_seconds(22)
        self.assertEqual(frozen.transport.written, b"there\n")  # once
        self.assertEqual(frozen.transport.signals, [])
        pass_seconds(2)
        self.assertEqual((frozen.transport.signals, well.transport.signals), (["KILL"], []))
        self.end(0)
        self.reactor.advance(1)
        self.ready(-1)
        pass_seconds(2)
        self.assertEqual((self.siblings.silent, self.siblings.ready), ([], 2))

    def test_one_that_answers_late_is_left_alone(self) -> None:
        self.ready(0)
        late = self.reactor.started[0]
        for _ in range(3):
            self.reactor.advance(10)
            self.reactor.advance(10)
            late.childDataReceived(TALK, b"there 0\n")
            self.reactor.advance(2)
            self.assertEqual(self.siblings.silent, [])
        self.assertEqual(late.transport.signals, [])

    def test_D12_who_is_silent_when_it_stops_has_ten_seconds_to_wake(self) -> None:
        for awakes in (True, False):
            self.setUp()
            self.ready(0)
            for _ in range(4):
                self.reactor.advance(2)
            self.assertEqual(self.siblings.silent, ["process 1"])
            self.siblings.terminate()
            one, other = self.reactor.started  # who has not come up yet
            self.assertEqual((one.transport.signals, other.transport.signals), (["TERM"],) * 2)
            self.reactor.advance(9)
            if awakes:
                one.childDataReceived(TALK, b"there 0\n")
            self.reactor.advance(9)
            self.assertEqual(one.transport.signals, ["TERM"] if awakes else ["TERM", "KILL"])
            self.assertEqual(other.transport.signals, ["TERM"])

    def test_nobody_is_looked_at_while_it_stops(self) -> None:
        self.ready(0)
        self.siblings.terminate()
        self.reactor.advance(27)
        self.assertEqual(self.reactor.started[0].transport.signals, ["TERM"])

    def test_who_is_not_at_work_yet_is_not_waited_for(self) -> None:
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.siblings.troubles())), {})

    def test_who_does_not_answer_keeps_nobody_waiting_and_disturbs_no_later_answer(self) -> None:
        self.ready(0)
        self.ready(1)
        found = Deferred.fromCoroutine(self.siblings.troubles())
        self.reactor.advance(2)
        self.assertEqual(self.successResultOf(found), {})
        found = Deferred.fromCoroutine(self.siblings.troubles())
        for protocol in self.reactor.started:
            protocol.childDataReceived(TALK, b"trouble 3\noldtrouble 0\n")
        self.assertEqual(self.successResultOf(found), {})


class WriterTroubleTests(SynchronousTestCase):
    """One sibling, and a writer."""

    def setUp(self) -> None:
        self.reactor = AReactor()
        self.siblings = Siblings(
            self.reactor,
            ReactorClock(self.reactor),
            processes=2,
            config="",
            settings=(),
            values=dict,
            put_line=self.fail,
            writer=WriterOf(url="sqlite:///store", data_dir=".", node="one", level="info"),
        )
        self.siblings.start(BoundPorts(), None)
        self.writer = self.reactor.started[0]
        self.reactor.started[1].childDataReceived(TALK, b"ready\n")

    def troubles(self) -> dict[str, str]:
        found = Deferred.fromCoroutine(self.siblings.troubles())
        sibling = self.reactor.started[1]
        sibling.childDataReceived(TALK, b"trouble 0\n")
        return self.successResultOf(found)

    def test_D5_it_stands_until_the_writer_says_otherwise_or_nothing_any_more(self) -> None:
        self.assertEqual(self.troubles(), {})
        for octet in b"ready\ntrouble 11\nIt is full.":
            self.writer.childDataReceived(TALK, bytes([octet]))
        self.assertEqual(self.troubles(), {"the writer": "It is full."})
        self.writer.childDataReceived(TALK, b"trouble 0\n")
        self.assertEqual(self.troubles(), {})
        self.writer.childDataReceived(TALK, b"trouble 11\nIt is full.")
        self.reactor.advance(11)
        self.assertEqual(self.siblings.writer_trouble, "")

    def test_D12_who_takes_too_long_is_killed_whatever_the_first_waits_for(self) -> None:
        sibling = self.reactor.started[1]
        self.siblings.terminate()
        self.reactor.advance(27)
        self.assertEqual(sibling.transport.signals, ["TERM"])
        self.reactor.advance(1)
        self.assertEqual(sibling.transport.signals, ["TERM", "KILL"])
        self.assertEqual(self.writer.transport.signals, ["KILL"])
        ended = Deferred.fromCoroutine(self.siblings.ended())
        self.assertNoResult(ended)
        sibling.processEnded(Failure(ProcessTerminated(9)))
        self.successResultOf(ended)
        ended = Deferred.fromCoroutine(self.siblings.writer_ended())
        self.assertNoResult(ended)
        self.writer.processEnded(Failure(ProcessTerminated(9)))
        self.successResultOf(ended)

    def test_D12_they_are_told_to_end_also_where_the_first_did_not_come_up(self) -> None:
        ended = Deferred.fromCoroutine(self.siblings.ended())
        sibling = self.reactor.started[1]
        self.assertEqual(sibling.transport.signals, ["TERM"])
        sibling.processEnded(Failure(ProcessTerminated(0)))
        self.successResultOf(ended)

    def test_C3_its_level_is_that_of_the_new_configuration_also_of_one_started_later(self) -> None:
        wanted = WriterOf(url="sqlite:///another", data_dir=".", node="one", level="debug")
        self.siblings.hang_up(wanted)
        self.assertEqual(self.writer.transport.written, b"level debug\n")
        self.assertEqual(self.reactor.started[1].transport.signals, ["HUP"])
        self.writer.processEnded(Failure(ProcessTerminated(1)))
        self.siblings.hang_up(wanted)  # there is none to be told
        self.reactor.advance(1)
        self.assertEqual(
            msgspec.json.decode(self.reactor.told[-1]),
            {"url": "sqlite:///store", "data_dir": ".", "node": "one", "level": "debug"},
        )
