"""``twistd smtpplus`` as a stranger starts it: in an empty folder, without a configuration."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import folder_of
from tests.live.peers import free_port, wait_for

_BIN = Path(sys.executable).parent
_SECONDS = 60


class TrialTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.folder.mkdir()
        self.environment = {k: v for k, v in os.environ.items() if k != "SMTPPLUS_CONFIG"}
        self.ports = [free_port() for _ in range(4)]
        starttls, tls, web, returns = self.ports
        self.settings = [
            *("--set", f"submission.listen=127.0.0.1:{starttls}"),
            *("--set", f"submission.listen_tls=127.0.0.1:{tls}"),
            *("--set", f"web.listen=127.0.0.1:{web}"),
            *("--set", f"feedback.listen=127.0.0.1:{returns}"),
        ]

    def start(self, name: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start in the foreground; the process and what it prints, once it is running."""
        output = self.folder / name
        with output.open("wb") as file:
            process = subprocess.Popen(
                [_BIN / "twistd", "-n", "smtpplus", *self.settings],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for("the trial", lambda: b"smtpplus is running" in output.read_bytes())
        return process, output

    def call(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def refused(self, *more: str) -> str:
        """What a start that fails says on standard error: one line, and status 1."""
        done = self.call(_BIN / "twistd", "-n", "--pidfile=", "smtpplus", *more)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertNotIn("Traceback", done.stdout)
        return done.stderr

    def test_first_start_first_mail_second_start(self) -> None:
        process, output = self.start("first")
        banner = output.read_text()
        self.assertRegex(banner, r"Secret +[a-z2-9]{6}(-[a-z2-9]{6}){3} ")
        self.assertRegex(banner, rf"Sign in +http://127.0.0.1:{self.ports[2]}/sign-in/\S+")
        sent = self.call(_BIN / "smtpplus", *self.settings, "send-test")
        self.assertEqual(sent.returncode, 0, sent.stderr)
        self.assertIn("you@example.net  delivered: 250 2.0.0", sent.stdout)
        to = ("--to", "bounce-5.1.1@example.net")
        bounced = self.call(_BIN / "smtpplus", *self.settings, "send-test", *to)
        self.assertEqual(bounced.returncode, 1)
        self.assertIn("bounced: 550 5.1.1", bounced.stdout)
        for address, shown in (
            ("ü@example.net", "ü@example.net"),
            ("a@ü.example", "a@xn--tda.example"),
        ):
            sent = self.call(_BIN / "smtpplus", *self.settings, "send-test", "--to", address)
            self.assertEqual(sent.returncode, 0, sent.stderr)
            self.assertIn(f"{shown}  delivered: 250 2.0.0", sent.stdout)
        user = re.search(r"\bUser +(\S+)", banner)
        assert user is not None
        wrong = ("--user", user[1], "--password", "wrong")
        refused = self.call(_BIN / "smtpplus", *self.settings, "send-test", *wrong)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("The service refused: 535 5.7.8 ", refused.stderr)
        process.send_signal(signal.SIGTERM)
        process.wait(_SECONDS)

        _, output = self.start("second")
        again = output.read_text()
        self.assertNotIn("Secret", again)
        self.assertIn("user secret USER", again)
        self.assertNotEqual(re.findall(r"/sign-in/\S+", again), re.findall(r"/sign-in/\S+", banner))

    def test_the_printed_curl_command_sends(self) -> None:
        _, output = self.start("first")
        [command] = re.findall(r"^  (printf .*)$", output.read_text(), re.MULTILINE)
        sent = self.call("sh", "-c", command)
        self.assertEqual((sent.returncode, sent.stderr), (0, ""))
        stats = (_BIN / "smtpplus", "stats", "--json")
        wait_for("the delivery", lambda: '"delivered": 1' in self.call(*stats).stdout)

    def test_D13_a_second_process_is_refused(self) -> None:
        process, _ = self.start("first")
        error = self.refused("--set", f"web.listen=127.0.0.1:{free_port()}")
        self.assertIn(f"Another smtpplus service (process {process.pid})", error)

    def test_a_port_in_use_is_told_and_the_secret_is_not_lost(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.ports[2]))
            taken.listen()
            done = self.call(_BIN / "twistd", "-n", "smtpplus", *self.settings)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"Cannot listen on 127.0.0.1:{self.ports[2]}", done.stderr)
        self.assertRegex(done.stdout, r"user s\d+_\d+, secret [a-z2-9-]{27}")
        self.assertFalse((self.folder / "twistd.pid").exists())

    def test_C3_a_wrong_configuration_starts_nothing(self) -> None:
        error = self.refused("--set", "relay.prt=25")
        self.assertIn("relay.prt: unknown key; did you mean port?", error)
        self.assertEqual(list((self.folder / "smtpplus-data").iterdir()), [])
        self.assertIn("no such file", self.refused("--config", "nowhere.toml"))
        (self.folder / "smtpplus.toml").write_text("[relay]\nport = 'x'\n")
        self.assertIn("smtpplus.toml:2: relay.port: expected a number", self.refused())

    def test_as_a_daemon_its_parent_says_how_it_went(self) -> None:
        started = self.call(_BIN / "twistd", "smtpplus", *self.settings)
        self.assertEqual(started.returncode, 0, started.stderr)
        self.assertIn("smtpplus is running", started.stdout)
        process = int((self.folder / "twistd.pid").read_text())
        self.addCleanup(_kill, process)
        socket.create_connection(("127.0.0.1", self.ports[2]), _SECONDS).close()
        other = self.call(_BIN / "twistd", "--pidfile=other.pid", "smtpplus", *self.settings)
        self.assertEqual(other.returncode, 1)
        self.assertIn("Another smtpplus service", other.stderr)
        begun = time.monotonic()
        os.kill(process, signal.SIGTERM)
        wait_for("its end", lambda: not (self.folder / "twistd.pid").exists())
        self.assertLess(time.monotonic() - begun, 30)  # D12


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
