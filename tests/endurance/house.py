"""A service to be mistreated: an `Installation` that starts under a tracer, a limit, a clock."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

from tests.endurance.ground import Ground
from tests.live.installation import Installation
from tests.live.peers import Peer, wait_for
from tests.live.zygote import Child, Zygote

__all__ = ["House", "needs_strace"]

from twisted.trial.unittest import SkipTest


def needs_strace() -> None:
    """Skip where nothing may be traced."""
    from tests.live.peers import needs

    strace = needs("strace")
    done = subprocess.run(
        [strace, "-qq", "-o", os.devnull, "true"], capture_output=True, check=False
    )
    if done.returncode:
        raise SkipTest(f"strace may not trace here: {done.stderr.decode(errors='replace').strip()}")


class House(Installation):
    """Delivers example.net to `port`; clients on 127.0.0.1 submit without TLS and AUTH.

    `prefix` stands before the command (``env``, ``strace``, ``prlimit``); `zygote` saves the time of
    Python's imports where there is no prefix. `wide`: thousands of connections are welcome.
    """

    def __init__(
        self,
        ground: Ground,
        port: int | None = None,
        *,
        zygote: Zygote | None = None,
        routes: dict[str, int] | None = None,
        wide: bool = False,
        **settings: str,
    ) -> None:
        ways = dict(routes or {})
        if port is not None:
            ways["example.net"] = port
        pairs = ", ".join(f'"{domain}" = "127.0.0.1:{where}"' for domain, where in ways.items())
        chosen = {
            "relay.routes": f"{{{pairs}}}",
            "relay.retry": '["1s"]',
            "relay.tls": '"none"',
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        if wide:
            limits = ("max_connections", "max_connections_per_address")
            chosen |= {f"submission.{one}": "9000" for one in limits}
        super().__init__(ground.test, ground.directory, chosen)
        self.data_dir = ground.directory / "service"
        self.queue = self.data_dir / "queue"
        self.prefix: list[str] = []
        self._zygote = zygote
        self._child: Child | None = None
        self._tracer: subprocess.Popen[bytes] | None = None
        self.cli("user", "set", self.username, "networks", "127.0.0.1/32")
        ground.test.addCleanup(self.end)

    @property
    def command(self) -> list[str]:
        """How it is run."""
        return [*self.prefix, *super().command]

    @property
    def pid(self) -> int:
        """Of the service, or of what stands before it."""
        return super().pid if self._child is None else self._child.pid

    def start_traced(self, *expressions: str, output: Path | None = None) -> bool:
        """Start under strace with these ``-e``; False: it ended before it was ready.

        Numbers (``when=``) count for each thread, from the beginning of the program.
        """
        assert self._zygote is not None
        self._tracer = None
        self._child = self._zygote.start(
            super().command, self.directory / "service.log", stopped=True
        )
        command = ["strace", "-f", "-qq", "-o", str(output or os.devnull)]
        for expression in expressions:
            command += ["-e", expression]
        self._tracer = subprocess.Popen(
            [*command, "-p", str(self._child.pid)], stderr=subprocess.DEVNULL
        )
        return self._becomes_ready()

    def start_quickly(self) -> bool:
        """Start by the zygote; False: it ended before it was ready."""
        assert self._zygote is not None
        self._child = self._zygote.start(super().command, self.directory / "service.log")
        return self._becomes_ready()

    def start(self) -> None:
        """Run it, and return when it is ready."""
        if self._zygote is not None and not self.prefix:
            assert self.start_quickly(), f"the service ended at once:\n{self.log()[-4000:]}"
        else:
            self.peer = Peer(self._test, self.command, self.directory / "service.log")
            wait_for("the service", self._is_ready, 120)  # 25 s where libfaketime slows it

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Is its process gone? Waits for it, at most `seconds`."""
        if self._child is not None:
            return self._child.has_ended(seconds)
        assert self.peer is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.peer.process.wait(seconds)
        return self.peer.process.poll() is not None

    def kill(self) -> None:
        """SIGKILL."""
        if self._child is None:
            super().kill()
            return
        self._child.send_signal(signal.SIGKILL)
        assert self._child.has_ended(10)
        self._forget()

    def end(self) -> None:
        """Whatever it is, it is over."""
        if self._child is not None:
            self.kill()

    def settle_down(self) -> None:
        """SIGTERM, and its end."""
        if self._child is None:
            self.stop()
            return
        self._child.send_signal(signal.SIGTERM)
        if not self._child.has_ended(30):
            raise AssertionError("SIGTERM did not end it within 30 s (D12)")
        self._forget()

    def waiting(self) -> int:
        """Deliveries that wait, as the running service's store says."""
        import sqlite3

        from tests.endurance.ledger import STORE

        with contextlib.closing(sqlite3.connect(self.queue / STORE, timeout=30)) as database:
            query = "SELECT count(*) FROM delivery WHERE state IN ('queued', 'held')"
            return int(database.execute(query).fetchone()[0])

    def descriptors(self) -> int:
        """Open files of the running service."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def processor_seconds(self) -> float:
        """What the running service has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _becomes_ready(self) -> bool:
        ended = False

        def is_over() -> bool:
            nonlocal ended
            assert self._child is not None
            ended = self._child.has_ended()
            if self._tracer is not None and self._tracer.poll() and not ended:
                raise SkipTest("strace could not attach")
            return ended or self._answers()

        try:
            wait_for("the service", is_over, 30)
        except AssertionError as error:
            raise AssertionError(f"{error}; its threads: {self._threads()}") from None
        if ended:
            self._forget()
        return not ended

    def _threads(self) -> list[str]:
        """What the threads of the service and of its tracer do."""
        pids = [self.pid] + ([self._tracer.pid] if self._tracer else [])
        found = []
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").glob("*"):
                state = (task / "status").read_text().partition("State:")[2].split()[0]
                where = (task / "syscall").read_text().split()[:2]
                found.append(f"{pid}/{task.name} {state} {where} {(task / 'wchan').read_text()}")
        return found

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.web}/readyz", timeout=5) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def _forget(self) -> None:
        self._child = None
        tracer, self._tracer = self._tracer, None
        if tracer is not None:
            tracer.wait(10)
