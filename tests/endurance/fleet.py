"""Several processes of smtpplus over one PostgreSQL, with clients before and a sink behind them.

Set up as an administrator does it: ``init``, the store's url, ``migrate``, accounts.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import signal
import smtplib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import load
from smtpplus.installation import open_installation, run
from smtpplus.ports import IAccounts
from smtpplus.trial import new_credential
from smtpplus.values.submission import Stream
from tests.live.installation import json_of
from tests.live.peers import Peer, Sink, answers, free_port, wait_for
from tests.live.zygote import BIN
from tests.postgresql import Cluster
from tests.store.sums import faults_in_sums

__all__ = ["Clients", "Fleet", "TakeOver"]

_NUMBER = re.compile(rb"^Subject: number (\d+)\r?$", re.MULTILINE)
_TAKEN = re.compile(
    r'"time": ?"(?P<at>[^"]+)".*(?:took over (?P<a>\d+) deliveries of nodes (?P<nodes>\[[^]]*\])'
    r"|recovered the queue: (?P<b>\d+) leases)"
)
_AGAIN_SECONDS = 0.2
_LARGE = b"as large as to be kept apart\r\n" * 10_000
_LARGE_EVERY = 50


@dataclass(frozen=True)
class TakeOver:
    """Who took how many deliveries from which nodes; a start takes its own back."""

    at: float  # Unix seconds
    by: str
    nodes: list[int]
    deliveries: int


class Fleet:
    """Processes by name, over a database of their own."""

    def __init__(
        self,
        test: SynchronousTestCase,
        server: Cluster,
        directory: Path,
        lease: str,
        sink_delay_seconds: int = 0,
    ) -> None:
        self._test = test
        self._server = server
        self._directory = directory
        self._database = server.database()
        self.submission = free_port()
        self._ports: dict[str, int] = {}  # of processes that take mail in
        slow = ("-w", str(sink_delay_seconds)) if sink_delay_seconds else ()  # to answer DATA
        self.sink = Sink(test, directory, *slow)
        self._peers: dict[str, Peer] = {}
        self._starts: Counter[str] = Counter()
        self._configuration = Path(
            self._command("init", str(directory / "service"), "--production",
                          "--hostname", "mail.example.com")["config"]
        )  # fmt: skip
        self._settings = {
            "store.url": server.url(self._database),
            "store.lease": lease,
            "submission.listen_tls": "[]",
            "submission.max_connections_per_address": "200",
            "server.processes": "1",  # each is a node of its own
            "relay.deliver": "smarthost",
            "relay.smarthost": f"127.0.0.1:{self.sink.port}",
            "relay.retry": '["1s"]',
            "relay.tls": "none",
            "relay.concurrency": str(10 + 40 * sink_delay_seconds),
        }
        test.addCleanup(server.drop, self._database)
        self._administer()

    def _administer(self) -> None:
        self.cli("migrate")
        config = load(self._configuration, [f"{k}={v}" for k, v in self._settings.items()])
        with open_installation(config) as installation:
            run(_fill(installation.accounts, time.time()))

    def cli(self, *arguments: str) -> Any:
        """Run a command of smtpplus; its JSON."""
        return self._command("--config", str(self._configuration), *self._sets({}), *arguments)

    @property
    def ports(self) -> list[int]:
        """Where mail is taken in."""
        return list(self._ports.values())

    def start(self, name: str, *roles: str) -> None:
        """Start a process with `roles` as node `name`, and return when it works."""
        peer = self.launch(name, *roles)

        def works() -> bool:
            log = peer.log.read_text(errors="replace")
            if peer.process.poll() is not None:
                raise AssertionError(log)
            ready = "recovered the queue" in log
            return ready and ("submission" not in roles or answers(self._ports[name]))

        wait_for(name, works, 60)

    def launch(self, name: str, *roles: str) -> Peer:
        """Start a process, and do not wait for it."""
        self._starts[name] += 1
        log = self._directory / f"{name}-{self._starts[name]}.log"
        own = {"server.node": name, "server.roles": json.dumps(roles)}
        if "submission" in roles:
            first = self.submission if not self._ports else free_port()
            port = self._ports.setdefault(name, first)
            own["submission.listen"] = f'["127.0.0.1:{port}"]'
        command = [str(BIN / "twistd"), "-n", "--pidfile=", "smtpplus",
                   "--config", str(self._configuration), *self._sets(own)]  # fmt: skip
        peer = self._peers[name] = Peer(self._test, command, log, quickly=True)
        return peer

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._peers[name].process.kill()
        self._peers[name].process.wait(10)

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self._peers[name].process.send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._peers[name].process.send_signal(signal.SIGCONT)

    def in_hand(self, name: str) -> tuple[int, int]:
        """The number of the node `name`, and how many deliveries are leased to it."""
        sql = (
            "SELECT number, (SELECT count(*)::int FROM delivery WHERE lease_node = number"
            f" AND state IN ('queued', 'held')) FROM node WHERE name LIKE '%/{name}'"
        )
        number, leased = self.execute(sql)[0]
        return int(number), int(leased)

    def take_overs(self) -> list[TakeOver]:
        """What the logs tell of leases that were taken over, or back, in their order."""
        found = []
        for path in sorted(self._directory.glob("*-*.log")):
            name = path.stem.rpartition("-")[0]
            for line in path.read_text(errors="replace").splitlines():
                taken = _TAKEN.search(line)
                if taken:
                    at = datetime.fromisoformat(taken["at"]).timestamp()
                    nodes = taken["nodes"]
                    numbers = json.loads(nodes) if nodes else [self.in_hand(name)[0]]
                    found.append(TakeOver(at, name, numbers, int(taken["a"] or taken["b"])))
        return sorted(found, key=lambda one: one.at)

    def end(self, name: str) -> None:
        """SIGTERM, and wait."""
        self._peers[name].process.terminate()
        self._peers[name].process.wait(40)

    def logs(self) -> str:
        """What all processes have written."""
        found = sorted(self._directory.glob("*-*.log"))
        return "".join(path.read_text(errors="replace") for path in found)

    def arrivals(self) -> dict[int, list[float]]:
        """When each message arrived whole at the sink, by its number."""
        found: defaultdict[int, list[float]] = defaultdict(list)
        for path in (self._directory / "sink").iterdir():
            octets = path.read_bytes()
            number = _NUMBER.search(octets)
            if number is not None and octets.endswith(b"\n\n"):
                found[int(number[1])].append(path.stat().st_mtime)
        return {number: sorted(times) for number, times in found.items()}

    def waiting(self) -> int:
        """Deliveries that are not over."""
        sql = "SELECT count(*) FROM delivery WHERE state IN ('queued', 'held')"
        return int(self._server.execute(sql, self._database)[0][0])

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        return self._server.execute(sql, self._database)

    def from_outside(self, *statements: str) -> None:
        """Do something to the database that is named ``{database}``."""
        for statement in statements:
            self._server.execute(statement.format(database=self._database))

    def restore(self, backup: Path) -> None:
        """Go on with a new database, filled from `backup`."""
        self._database = self._server.database()
        self._test.addCleanup(self._server.drop, self._database)
        self._settings["store.url"] = self._server.url(self._database)
        self.cli("restore", str(backup))

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """The counters, and the events they count."""
        counters = "SELECT metric, sum(n)::int FROM counter WHERE metric != 'messages' GROUP BY 1"
        events = "SELECT type, sum(n)::int FROM event GROUP BY 1"
        execute = self._server.execute
        return dict(execute(counters, self._database)), dict(execute(events, self._database))

    def faults(self) -> list[str]:
        """What does not add up (D16)."""
        return faults_in_sums(self.execute)

    def _sets(self, own: dict[str, str]) -> list[str]:
        return [
            part
            for key, value in (self._settings | own).items()
            for part in ("--set", f"{key}={value}")
        ]

    def _command(self, *arguments: str) -> Any:
        return json_of(*arguments)


async def _fill(accounts: IAccounts, now: float) -> None:
    """What ``account add`` and so on do, one process after the other."""
    await accounts.add_account("acme", now)
    mails = await accounts.add_list("acme", "default", Stream.TRANSACTIONAL, now)
    await accounts.add_domain("acme", "example.com", now, now)
    _, verifier = new_credential(secrets.token_bytes)
    user = await accounts.add_user(mails.id, None, verifier, [], [], now)
    await accounts.set_user(user.username, {"networks": ["127.0.0.0/8"]})


class Clients:
    """Clients that send numbered messages, and again whatever was not taken with 250."""

    def __init__(
        self,
        ports: int | Sequence[int],
        messages: int,
        clients: int,
        body: bytes = b"Hello\r\n",
        *,
        per_second: float = float("inf"),
    ) -> None:
        self._ports = [ports] if isinstance(ports, int) else list(ports)
        self._pause = clients / per_second
        self.unheard: Counter[int] = Counter()  # how often nobody said what became of it
        self._body = body
        self._numbers: Iterator[int] = iter(range(messages))
        self._lock = threading.Lock()
        self.accepted: set[int] = set()
        self.refused: list[tuple[float, int, str]] = []  # when, which, what was said
        self.accepted_at: list[float] = []
        self._threads = [
            threading.Thread(target=self._send_all, args=(index,)) for index in range(clients)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def enough(self) -> None:
        """Begin no more messages."""
        with self._lock:
            self._numbers = iter(())

    def join(self) -> None:
        """Wait until all were taken."""
        for thread in self._threads:
            thread.join()

    @property
    def are_busy(self) -> bool:
        """Is there something left to be taken?"""
        return any(thread.is_alive() for thread in self._threads)

    def _send_all(self, index: int) -> None:
        client: smtplib.SMTP | None = None
        due = time.monotonic()
        while True:
            due += self._pause
            time.sleep(max(due - time.monotonic(), 0.0))
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                break
            while True:
                try:
                    if client is None:
                        port = self._ports[index % len(self._ports)]
                        client = smtplib.SMTP("127.0.0.1", port, "client.test", timeout=60)
                    client.sendmail("a@example.com", ["b@example.net"], self._message(number))
                except (smtplib.SMTPException, OSError) as error:
                    self.refused.append((time.time(), number, repr(error)))
                    if not isinstance(error, smtplib.SMTPResponseException):
                        self.unheard[number] += client is not None
                        client = None
                        index += 1  # perhaps another takes it
                    time.sleep(_AGAIN_SECONDS)
                else:
                    break
            self.accepted.add(number)
            self.accepted_at.append(time.time())
        if client is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()

    def _message(self, number: int) -> bytes:
        body = _LARGE if number % _LARGE_EVERY == 0 else self._body
        return b"From: a@example.com\r\nSubject: number %d\r\n\r\n%s" % (number, body)
