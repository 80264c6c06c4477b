"""When mail leaves and what goes first, seen from outside (P10, P13).

SMTPPLUS_LONG=1 has 20,000 wait before the urgent message instead of 4,000.
"""

from __future__ import annotations

import os
import smtplib
import threading
import time
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import folder_of
from tests.live.installation import Installation
from tests.live.peers import wait_for
from tests.live.recorder import Arrived, Recorder

_WAITING = 20_000 if os.environ.get("SMTPPLUS_LONG") else 4_000
_IN_ONE = 1_000  # recipients of a message
_MAIL = "From: a@example.com\r\nTo: b@slow.example\r\nSubject: {}\r\n\r\nHello.\r\n"


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.times: dict[str, float] = {}
        self.hold_up = threading.Event()
        self.recorder = Recorder(self, self._note)
        directory = folder_of(self)
        directory.mkdir()
        routes = f'{{"slow.example" = "127.0.0.1:{self.recorder.port}"}}'
        self.service = Installation(self, directory, {"relay.routes": routes})
        self.service.start()

    def _note(self, arrived: Arrived) -> None:
        self.times.setdefault(arrived.to, time.time())
        if arrived.to.startswith("invoice"):
            self.hold_up.wait(2.0)

    def send(
        self, to: Sequence[str], *options: str, subject: str = "x", service: Any = None
    ) -> str:
        """One message; its id."""
        with (service or self.service).client() as client:
            for call in (
                lambda: client.mail("a@example.com", options),
                *(lambda one=one: client.rcpt(one) for one in to),
                lambda: client.data(_MAIL.format(subject)),
            ):
                code, text = call()
                if code != 250:
                    raise smtplib.SMTPResponseException(code, text)
        return str(text.decode().rpartition(" ")[2])

    def arrived_after(self, recipient: str, begin: float, within: float) -> float:
        """How many seconds after `begin` it arrived."""
        wait_for(f"the mail to {recipient}", lambda: recipient in self.times, within)
        return self.times[recipient] - begin

    def states(self, message_id: str) -> set[str]:
        """Of its deliveries."""
        shown = self.service.cli("message", "show", message_id)
        return {one["state"] for one in shown["deliveries"]}


class PriorityTests(_Case):
    def test_P13_a_password_reset_does_not_wait_behind_invoices(self) -> None:
        for first in range(0, _WAITING, _IN_ONE):
            self.send([f"invoice{first + one}@slow.example" for one in range(_IN_ONE)])
        wait_for("the invoices to fill the lane", lambda: self.recorder.sessions >= 9)
        self.assertEqual(self.recorder.sessions, 9)  # of ten, one is kept
        for number, options in enumerate((["MT-PRIORITY=9"], ["MT-PRIORITY=6"])):
            to = f"reset{number}@slow.example"
            self.send([to], *options)
            self.assertLess(self.arrived_after(to, time.time(), 2.0), 2.0)
        waiting = self.service.cli("queue")["queued"]
        self.assertGreater(waiting, _WAITING * 0.9)
        self.assertEqual(self.service.tracebacks(), [])

    def test_P13_so_also_for_a_user_of_priority_1(self) -> None:
        self.send([f"invoice{one}@slow.example" for one in range(200)])
        wait_for("the invoices to fill the lane", lambda: self.recorder.sessions >= 9)
        self.service.cli("user", "set", self.service.username, "priority", "1")
        changed = time.time()
        sent: dict[str, float] = {}

        def holds() -> bool:
            """Has one overtaken? What was sent before the change held waits with the invoices."""
            to = f"reset{len(sent)}@slow.example"
            sent[to] = time.time()
            self.send([to])
            return any(one in self.times for one in sent)

        wait_for("the priority to hold", holds, 10.0)
        first, begin = next((one, begin) for one, begin in sent.items() if one in self.times)
        self.assertLess(begin - changed, 5.0)  # 2 s, and a busy machine
        self.assertLess(self.times[first] - begin, 2.0)
        self.assertLess(len(self.times), 200)  # invoices wait still


class ScheduleTests(_Case):
    def test_P10_held_mail_leaves_in_its_second(self) -> None:
        begin = time.time()
        held = self.send(["held@slow.example"], "HOLDFOR=3")
        self.send(["now@slow.example"], "HOLDUNTIL=2001-01-01T00:00:00Z")
        self.assertLess(self.arrived_after("now@slow.example", begin, 2.0), 2.0)
        self.assertEqual(self.states(held), {"queued"})
        waited = self.arrived_after("held@slow.example", begin, 10.0)
        self.assertTrue(3.0 <= waited < 4.5, waited)

    def test_P10_a_restart_forgets_no_time(self) -> None:
        begin = time.time()
        self.send(["held@slow.example"], "HOLDFOR=8")
        self.send(["passed@slow.example"], "HOLDFOR=1")
        self.service.kill()
        wait_for("a moment to pass", lambda: time.time() > begin + 1.5)
        self.service.start()
        ready = time.time()
        self.assertLess(self.arrived_after("passed@slow.example", ready, 5.0), 3.0)
        waited = self.arrived_after("held@slow.example", begin, 20.0)
        self.assertTrue(8.0 <= waited < max(9.5, ready - begin + 1.5), waited)

    def test_P10_what_may_be_recalled_can_be_cancelled_until_it_leaves(self) -> None:
        self.service.cli("user", "set", self.service.username, "recall", "8s")

        def recalled() -> str:
            return self.send(["recalled@slow.example"])

        wait_for("the window to hold", lambda: self.states(recalled()) == {"queued"}, 20.0)
        self.service.cli("queue", "cancel", "--all", "--yes")
        begin = time.time()
        gone, stays = self.send(["gone@slow.example"]), self.send(["stays@slow.example"])
        done = self.service.cli("queue", "cancel", gone)
        self.assertEqual(done, {"change": "cancel", "deliveries": 1})
        self.assertEqual(self.states(gone), {"cancelled"})
        waited = self.arrived_after("stays@slow.example", begin, 20.0)
        self.assertTrue(8.0 <= waited < 10.0, waited)
        wait_for("the outcome", lambda: self.states(stays) == {"delivered"})
        self.assertNotIn("gone@slow.example", self.times)
        self.assertEqual(self.service.tracebacks(), [])
