"""When a writer stands still, and when it is only slow."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.writer_process import WriterProcess
from tests.folders import folder_of
from tests.live.peers import wait_for

_LOCKS = """\
1: FLOCK  ADVISORY  WRITE 77 08:01:131 0 EOF
1: -> FLOCK  ADVISORY  WRITE {waits} 08:01:131 0 EOF
2: POSIX  ADVISORY  READ 77 08:01:77 128 128
"""


class LookTests(SynchronousTestCase):
    """What /proc says, in a folder of our own."""

    def setUp(self) -> None:
        self.proc = folder_of(self)
        (self.proc / "77").mkdir(parents=True)
        self.process = WriterProcess(77, self.proc)
        self.addCleanup(self.process.close)
        self.locks("88")

    def locks(self, waits: str) -> None:
        (self.proc / "locks").write_text(_LOCKS.format(waits=waits))

    def look(self, state: str, user: int = 5, system: int = 5) -> bool:
        line = f"77 (a name) S ) {state} 1 77 77 0 -1 4 1 2 3 4 {user} {system} 0 0 20 0 1 0 9\n"
        (self.proc / "77" / "stat").write_text(line)
        return self.process.stands_still()

    def test_who_is_stopped_or_sleeps_on_does(self) -> None:
        self.assertTrue(self.look("T"))
        self.assertTrue(self.look("t"))
        self.assertTrue(self.look("S"))

    def test_who_does_something_or_waits_for_the_disk_does_not(self) -> None:
        self.assertFalse(self.look("S"))  # not known yet
        for state, user, system in (("S", 6, 5), ("S", 6, 6), ("R", 6, 6), ("D", 6, 6)):
            self.assertFalse(self.look(state, user, system), (state, user, system))
        self.assertTrue(self.look("S", 6, 6))

    def test_who_waits_for_another_process_does_not(self) -> None:
        self.look("S")
        self.locks("77")
        self.assertFalse(self.look("S"))
        (self.proc / "locks").unlink()
        self.assertTrue(self.look("S"))

    def test_who_is_gone_does_not(self) -> None:
        self.assertFalse(self.process.stands_still())


class RealTests(SynchronousTestCase):
    """Real processes."""

    def started(
        self, program: str, *arguments: str
    ) -> tuple[subprocess.Popen[bytes], WriterProcess]:
        child = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE
        )
        process = WriterProcess(child.pid)
        self.addCleanup(process.close)
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        assert child.stdout is not None
        child.stdout.readline()
        return child, process

    def test_one_that_is_stopped_is_seen_and_ended(self) -> None:
        child, process = self.started("import signal\nprint(flush=True)\nsignal.pause()")
        child.send_signal(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        self.assertTrue(process.stands_still())
        process.kill()
        self.assertEqual(child.wait(10), -signal.SIGKILL)
        process.kill()  # harmless

    def test_one_that_waits_for_its_turn_is_left_alone(self) -> None:
        path = folder_of(self)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            program = (
                "import fcntl, sys\nfile = open(sys.argv[1])\nprint(flush=True)\n"
                "fcntl.flock(file, fcntl.LOCK_EX)\nprint(flush=True)\nsys.stdin.read()"
            )
            child, process = self.started(program, str(path))
            waiting = f" {child.pid} "
            wait_for(
                "its waiting",
                lambda: any(
                    "->" in line and waiting in line
                    for line in Path("/proc/locks").read_text().splitlines()
                ),
            )
            self.assertFalse(process.stands_still())
            self.assertFalse(process.stands_still())

    def test_it_is_who_listens_at_the_other_end(self) -> None:
        path = folder_of(self)
        place = os.open(path.parent, os.O_RDONLY)
        self.addCleanup(os.close, place)
        name = f"/proc/self/fd/{place}/{path.name}"
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(name)
            listener.listen()
            client.connect(name)
            process = WriterProcess.of(client)
            self.addCleanup(process.close)
            self.assertEqual(process._number, os.getpid())
