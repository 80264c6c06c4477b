from __future__ import annotations

import errno
import json
import threading

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.log import LogWriter


class LogWriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.written: list[str] = []
        self.writer = LogWriter(lambda: 0.0)
        self.addCleanup(self.writer.stop)

    def texts(self) -> list[str]:
        return [json.loads(one)["text"] for one in "".join(self.written).splitlines()]

    def test_lines_before_and_after_the_thread_are_written_at_once_and_in_order(self) -> None:
        self.writer.put("nowhere yet\n")
        self.writer.open(self.written.append)
        self.writer.put("1\n")
        self.assertEqual(self.written, ["1\n"])
        self.writer.start()
        for number in range(2, 5_000):
            self.writer.put(f"{number}\n")
        self.writer.stop()
        self.writer.put("5000\n")
        self.assertEqual("".join(self.written), "".join(f"{n}\n" for n in range(1, 5_001)))

    def test_lines_of_a_moment_share_a_write_and_a_write_is_bounded(self) -> None:
        self.writer.open(self.written.append)
        self.writer.start()
        for _ in range(1_000):
            self.writer.put("x" * 399 + "\n")
        self.writer.stop()
        self.assertEqual(sum(map(len, self.written)), 400_000)
        self.assertLess(len(self.written), 100)
        self.assertLess(max(map(len, self.written)), 40_000)

    def test_C4_a_log_that_cannot_be_written_stops_nothing_and_says_so_later(self) -> None:
        broken = True

        def write(text: str) -> None:
            if broken:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.written.append(text)

        self.writer.open(write)
        for _ in range(3):
            self.writer.put('{"text": "lost"}\n')
        broken = False
        for _ in range(2):
            self.writer.put('{"text": "kept"}\n')
        told = "3 lines could not be written to the log"
        self.assertEqual(self.texts(), ["kept", told, "kept"])

    def test_C4_a_disk_that_hangs_holds_nobody_up_and_costs_bounded_memory(self) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def write(text: str) -> None:
            begun.set()
            go_on.wait()
            self.written.append(text)

        self.writer.open(write)
        self.writer.start()
        self.writer.put('{"text": "first"}\n')
        self.assertTrue(begun.wait(10))
        for _ in range(30_000):
            self.writer.put('{"text": "more"}\n')
        go_on.set()
        self.writer.stop()
        texts = self.texts()
        self.assertEqual(texts.count("more"), 20_000)
        self.assertIn("10000 lines could not be written to the log", texts)

    def test_C4_a_full_disk_and_a_closed_file(self) -> None:
        with open("/dev/full", "w") as full:  # noqa: PTH123 - it is no path of ours
            self.writer.open(full.write, full.flush)
            for _ in range(100):
                self.writer.put("x" * 1000 + "\n")
            try:
                full.close()
            except OSError:
                self.writer.put("still here\n")
