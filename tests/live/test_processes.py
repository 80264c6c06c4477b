"""A service of several processes on one store (`server.processes`): one service to everybody.

D1, D2, D12, D16, R2, and that what holds in the first process holds in the others.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import sqlite3
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.live.installation import Installation
from tests.live.peers import children_of, wait_for
from tests.live.recorder import Recorder
from tests.live.test_service import LiveTestCase, Submitters, a_mail

_FROM = "shop@example.com"
_CLIENTS = 12
_WINDOW = 10 + 32  # D2: attempts at once at one destination, and outcomes on their way to the disk


class ProcessesTests(LiveTestCase):
    """Two processes."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder(self)
        self.service = self.installed(
            self.recorder.port,
            server__processes="2",
            relay__deliver="internet",
            relay__retry='["1s"]',
            submission__max_connections_per_address="30",
        )
        self.service.start()

    def page(self, path: str) -> str:
        where = f"http://127.0.0.1:{self.service.web}{path}"
        with urllib.request.urlopen(where, timeout=5) as answer:
            return str(answer.read().decode())

    def by_process(self, name: str) -> Counter[str]:
        """A metric's sum for each process."""
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(self.page("/metrics")):
            for sample in family.samples:
                if sample.name == name:
                    found[sample.labels["process"]] += int(sample.value)
        return found

    def clients(self, number: int) -> list[smtplib.SMTP]:
        made = [self.service.client(implicit=False) for _ in range(number)]
        for one in made:
            self.addCleanup(one.close)
        return made

    def sibling(self) -> int:
        (sibling,) = children_of(self.service.pid, "smtpplus.tap")
        return sibling

    def writer(self) -> int:
        (writer,) = children_of(self.service.pid, "smtpplus.writer")
        return writer

    def arrive(self, names: set[str]) -> None:
        wait_for("arrival", lambda: names <= {one.to for one in self.recorder.mails}, 30)

    def test_both_take_mail_in_and_deliver_it_once(self) -> None:
        names = set()
        for number, client in enumerate(self.clients(_CLIENTS)):
            for which in range(5):
                name = f"m{number}-{which}@example.net"
                client.sendmail(_FROM, [name], a_mail(name))
                names.add(name)
        self.arrive(names)
        self.assertEqual(Counter(one.to for one in self.recorder.mails), Counter(names))
        self.assertEqual(self.recorder.faults, [])
        accepted = self.by_process("smtpplus_accepted_total")
        self.assertEqual(set(accepted), {"0", "1"})
        self.assertEqual(accepted.total(), len(names))
        self.assertTrue(all(accepted.values()), accepted)
        wait_for("the outcomes", lambda: self.service.delivered() == len(names))
        self.assertEqual(self.service.tracebacks(), [])

    def test_D1_D2_D16_one_that_is_killed_is_started_again_and_nothing_is_lost(self) -> None:
        self._killed(self.sibling, "smtpplus_processes 2.0", _WINDOW)
        self.assertIn("process 1 ended", self.service.log())

    def test_D1_D2_D16_a_writer_that_is_killed_costs_nothing_and_is_started_again(self) -> None:
        self._killed(self.writer, "smtpplus_processes 2.0", 0)
        self.assertIn("the writer ended", self.service.log())
        first = self.writer()
        os.kill(first, signal.SIGKILL)
        wait_for("another writer", lambda: self._other_writer(first), 10)

    def _other_writer(self, first: int) -> bool:
        found = children_of(self.service.pid, "smtpplus.writer")
        return bool(found) and found != [first]

    def test_D1_D2_D16_a_writer_that_is_frozen_is_ended_and_costs_nothing(self) -> None:
        self._killed(self.writer, "smtpplus_processes 2.0", 0, how=signal.SIGSTOP, messages=130)
        self.assertIn(
            "the writer does not answer, and stands still: it is ended", self.service.log()
        )
        self.assertIn("the writer ended", self.service.log())

    def _killed(
        self,
        victim: Callable[[], int],
        well: str,
        window: int,
        *,
        how: signal.Signals = signal.SIGKILL,
        messages: int = 300,
    ) -> None:
        """Kill `victim` amid a load, time and again: at most so many come twice for each kill."""
        names = [f"k{number}" for number in range(messages)]
        accepted: set[str] = set()
        kills = 0
        while names:
            run = Submitters(self.service, names, threads=8)
            goal = len(names) - 100
            wait_for("progress", lambda: len(names) <= max(goal, 0), 30)  # noqa: B023
            if names:
                os.kill(victim(), how)
                kills += 1
            run.wait()
            accepted |= run.accepted
            wait_for("the other process", lambda: well in self.page("/metrics"), 30)
        self.assertGreaterEqual(kills, 1)
        wanted = {f"{name}@example.net" for name in accepted}
        self.arrive(wanted)
        wait_for("an empty queue", lambda: not self.service.cli("queue", "list"), 30)
        times = Counter(one.to for one in self.recorder.mails)
        self.assertLessEqual(times.total() - len(times), kills * window)
        (row,) = self.service.cli("stats")
        self.assertEqual((row["accepted"], row["delivered"]), (len(times), len(times)))
        self.assertEqual(self.service.tracebacks(), [])

    def test_none_outlives_the_first(self) -> None:
        others = [self.sibling(), self.writer()]
        self.service.kill()
        wait_for("their end", lambda: not any(_lives(other) for other in others), 5)
        self.service.start()  # nobody holds the lock, or the ports
        self.clients(1)[0].sendmail(_FROM, ["a@example.net"], a_mail("a"))
        self.arrive({"a@example.net"})

    def test_D12_all_end_at_SIGTERM(self) -> None:
        others = [self.sibling(), self.writer()]
        for client in self.clients(4):
            client.sendmail(_FROM, ["b@example.net"], a_mail("b"))
        _, seconds = self.service.stop()
        self.assertLess(seconds, 30)
        self.assertFalse(any(_lives(other) for other in others))
        self.assertNotIn('level":"error', self.service.log())

    def test_D5_the_first_tells_of_a_store_that_takes_nothing_from_the_others_alone(self) -> None:
        def accepted() -> int:
            return self.by_process("smtpplus_accepted_total")["1"]

        for client in self.clients(_CLIENTS):
            before = accepted()
            client.sendmail(_FROM, ["t@example.net"], a_mail("t"))
            if accepted() > before:
                break
        (path,) = self.service.directory.rglob("smtpplus.sqlite3")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with self.assertRaises(smtplib.SMTPDataError) as caught:
                client.sendmail(_FROM, ["t@example.net"], a_mail("t"))
            self.assertEqual(caught.exception.smtp_code, 451)
            with self.assertRaises(urllib.error.HTTPError) as unready:
                self.page("/readyz")
            self.assertEqual(
                json.loads(unready.exception.read())["missing"],
                {
                    "store": "the writer: The store is locked by another process."
                    " process 1: The store is locked by another process."
                },
            )
            up = [one for one in self.page("/metrics").split("\n") if "store_up{" in one]
            self.assertEqual(
                up,
                [
                    'smtpplus_store_up{process="0"} 1.0',
                    'smtpplus_store_up{process="writer"} 0.0',
                    'smtpplus_store_up{process="1"} 0.0',
                ],
            )
        client.sendmail(_FROM, ["t@example.net"], a_mail("t"))
        self.assertIn('"ready": true', self.page("/readyz"))

    def test_the_writer_writes_for_both(self) -> None:
        for client in self.clients(8):
            client.sendmail(_FROM, ["w@example.net"], a_mail("w"))
        wait_for("the outcomes", lambda: self.service.delivered() == 8)
        with closing(
            sqlite3.connect(next(self.service.directory.rglob("smtpplus.sqlite3")))
        ) as store:
            (name,) = store.execute(
                "SELECT DISTINCT name FROM counter_hour JOIN node ON number = counter_hour.node"
            ).fetchone()
        self.assertTrue(name.endswith(".writer"), name)

    def test_R2_a_limit_by_address_is_the_services(self) -> None:
        kept = self.clients(30)
        with contextlib.suppress(smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected):
            client = smtplib.SMTP("127.0.0.1", self.service.submission, timeout=10)
            self.fail(f"connection 31 was taken: {client}")
        kept[0].quit()
        wait_for("a place", self._is_taken, 5)

    def _is_taken(self) -> bool:
        try:
            smtplib.SMTP("127.0.0.1", self.service.submission, timeout=10).quit()
        except (smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected):
            return False
        return True

    def test_a_change_by_a_command_holds_in_both_within_two_seconds(self) -> None:
        clients = self.clients(_CLIENTS)
        self.service.cli("user", "set", self.service.username, "status", "off")
        begun = time.monotonic()
        wait_for("refusal", lambda: all(_code(one) == 550 for one in clients), 10)
        self.assertLess(time.monotonic() - begun, 2.5)

    def test_SIGHUP_reaches_all(self) -> None:
        service = self.service
        config = Path(service.facts["config"])
        text = config.read_text()
        self.assertIn("[submission]\n", text)
        config.write_text(
            text.replace("[submission]\n", "[submission]\nmax_message_bytes = 70000\n")
            + '\n[log]\nlevel = "debug"\n'
        )
        os.kill(service.pid, signal.SIGHUP)
        wait_for("two readings", lambda: service.log().count("was read again") == 2, 10)
        wait_for("the writer's word", lambda: "the writer's log begins at debug" in service.log())
        sizes = {one.esmtp_features["size"] for one in self.clients(_CLIENTS)}
        self.assertEqual(sizes, {"70000"})


class OneProcessTests(LiveTestCase):
    """A trial's mailbox server lives in the first process."""

    def test_a_trial_has_one(self) -> None:
        service: Installation = self.installed(server__processes="4")
        service.start()
        children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text()
        self.assertEqual(children.split(), [])
        self.assertIn("trial", service.log())


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def _code(client: smtplib.SMTP) -> int:
    code, _ = client.mail(_FROM)
    client.rset()
    return code
