"""A whole smtpplus in a process of its own, set up and run as an administrator does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.peers import Peer, free_port, wait_for

__all__ = ["Installation"]

_BIN = Path(sys.executable).parent


class Installation:
    """A trial of its own in `directory`, on ports of its own, with `settings` on top.

    `facts` is what ``smtpplus init --json`` printed.
    """

    def __init__(
        self, test: SynchronousTestCase, directory: Path, settings: dict[str, str] | None = None
    ) -> None:
        self._test = test
        self.directory = directory
        self.submission = free_port()
        self.submission_tls = free_port()
        self.web = free_port()
        self.returns = free_port()
        self._settings = {
            "submission.listen": f'["127.0.0.1:{self.submission}"]',
            "submission.listen_tls": f'["127.0.0.1:{self.submission_tls}"]',
            "feedback.listen": f'["127.0.0.1:{self.returns}"]',
            "web.listen": f'"127.0.0.1:{self.web}"',
            **(settings or {}),
        }
        self.facts: dict[str, str] = json.loads(
            self._run([str(_BIN / "smtpplus"), "--json", "init", str(directory / "service")])
        )
        self.username = self.facts["username"]
        self.password = self.facts["password"]
        self.peer: Peer | None = None

    @property
    def options(self) -> list[str]:
        """What every command of this installation begins with."""
        sets = [
            part for key, value in self._settings.items() for part in ("--set", f"{key}={value}")
        ]
        return ["--config", self.facts["config"], *sets]

    def start(self) -> None:
        """Run it, and return when it is ready."""
        self.peer = Peer(
            self._test,
            [str(_BIN / "twistd"), "-n", "--pidfile=", "smtpplus", *self.options],
            self.directory / "service.log",
        )
        wait_for("the service", self._is_ready)

    def cli(self, *arguments: str) -> Any:
        """Run ``smtpplus ARGUMENTS --json``; its JSON."""
        return json.loads(self._run([str(_BIN / "smtpplus"), *self.options, "--json", *arguments]))

    def log(self) -> str:
        """What the service has written."""
        return (self.directory / "service.log").read_text(errors="replace")

    def _is_ready(self) -> bool:
        assert self.peer is not None
        if self.peer.process.poll() is not None:
            raise AssertionError(f"the service ended at once:\n{self.log()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"NO_COLOR": "1"},
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{command} said {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout
