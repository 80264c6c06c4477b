"""A whole smtpplus in a process of its own, set up and run as an administrator does."""

from __future__ import annotations

import atexit
import contextlib
import json
import re
import shutil
import signal
import smtplib
import ssl
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.peers import Peer, free_port, wait_for
from tests.live.zygote import BIN, zygote

__all__ = ["BIN", "Installation", "json_of", "trusting"]

_STOP_SECONDS = 30.0  # D12
_COMMAND_SECONDS = 60.0


def trusting() -> ssl.SSLContext:
    """A TLS context that takes every certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def json_of(*arguments: str) -> Any:
    """Run ``smtpplus ARGUMENTS --json``; its JSON."""
    with tempfile.TemporaryDirectory(prefix="smtpplus-cli-") as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        command = [str(BIN / "smtpplus"), "--json", *arguments]
        status = zygote().start(command, out, errors=errors).wait(_COMMAND_SECONDS)
        said = out.read_text()
        if status:
            raise AssertionError(f"{command} said {status}:\n{said}{errors.read_text()}")
        return json.loads(said or "null")


_first: dict[str, Any] = {}


def _set_up(folder: Path) -> dict[str, str]:
    """A copy of a trial in `folder`; what ``init`` said of it."""
    if not _first:
        place = tempfile.mkdtemp(prefix="smtpplus-trial-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        _first["facts"] = json_of("init", f"{place}/trial")
        _first["folder"] = Path(place, "trial")
    shutil.copytree(_first["folder"], folder, dirs_exist_ok=True)
    return {**_first["facts"], "config": str(folder / "smtpplus.toml")}


class Installation:
    """A trial of its own in `directory`, on ports of its own, with `settings` on top.

    `facts` is what ``smtpplus init --json`` printed. It is a copy of the first one of this run:
    making keys takes a while.
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
        self.facts = _set_up(directory / "service")
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

    @property
    def command(self) -> list[str]:
        """How it is run."""
        return [str(BIN / "twistd"), "-n", "--pidfile=", "smtpplus", *self.options]

    @property
    def sign_in_path(self) -> str:
        """The path of the one-time link."""
        return re.sub(r"^https?://[^/]+", "", self.facts["sign_in"])

    @property
    def pid(self) -> int:
        """Of the running service."""
        assert self.peer is not None
        return self.peer.process.pid

    # ------------------------------------------------------------ its life

    def start(self) -> None:
        """Run it, and return when it is ready."""
        log = self.directory / "service.log"
        self.peer = Peer(self._test, self.command, log, quickly=True)
        wait_for("the service", self._is_ready)

    def stop(self) -> tuple[int, float]:
        """SIGTERM; its exit status, and how many seconds it took to end."""
        assert self.peer is not None
        begin = time.monotonic()
        self.peer.process.send_signal(signal.SIGTERM)
        status = self.peer.process.wait(_STOP_SECONDS)
        return status, time.monotonic() - begin

    def kill(self) -> None:
        """SIGKILL."""
        assert self.peer is not None
        self.peer.process.kill()
        self.peer.process.wait(10)

    def cli(self, *arguments: str) -> Any:
        """Run ``smtpplus ARGUMENTS --json``; its JSON."""
        return json_of(*self.options, *arguments)

    def log(self) -> str:
        """What the service has written."""
        return (self.directory / "service.log").read_text(errors="replace")

    def tracebacks(self) -> list[str]:
        """Log lines that tell of a fault of ours."""
        return [line for line in self.log().splitlines() if "Traceback" in line]

    def memory_kib(self, *, peak: bool = False) -> int:
        """Resident now, or the most since `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1])

    def forget_peak(self) -> None:
        """The peak is what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    # ------------------------------------------------------------ talking to it

    def client(
        self, *, implicit: bool = True, tls: bool = True, sign_in: bool = True
    ) -> smtplib.SMTP:
        """A client that has said EHLO."""
        client: smtplib.SMTP
        if implicit:
            client = smtplib.SMTP_SSL(
                "127.0.0.1", self.submission_tls, context=trusting(), timeout=60
            )
        else:
            client = smtplib.SMTP("127.0.0.1", self.submission, timeout=60)
            if tls:
                client.starttls(context=trusting())
        client.ehlo("client.test")
        if sign_in:
            client.login(self.username, self.password)
        return client

    def dkim_keys(self) -> dict[bytes, bytes]:
        """The DKIM records of the trial's domain, by name, as DNS would give them."""
        records = self.cli("domain", "records", "example.com")["records"]
        return {
            f"{one['name'].rstrip('.')}.".encode(): one["value"].encode()
            for one in records
            if "_domainkey" in one["name"]
        }

    def delivered(self) -> int:
        """How many deliveries the counters call delivered."""
        return int(sum(row["delivered"] for row in self.cli("stats")))

    def _is_ready(self) -> bool:
        assert self.peer is not None
        if self.peer.process.poll() is not None:
            raise AssertionError(f"the service ended at once:\n{self.log()}")
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.web}/readyz", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False
