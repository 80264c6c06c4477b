"""A PostgreSQL of the tests' own: Debian's package, a socket in a temporary directory.

Runs as an ordinary user, with fsync on; one cluster a run and one that may be harmed. Ended by its
process id when the run ends, also when it is killed. A missing package skips the test.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import TestCase

from twisted.trial.unittest import SkipTest

__all__ = ["Cluster", "cluster", "cluster_to_harm"]

_START_SECONDS = 30.0
_USERS = ("postgres", "nobody")
_CONFIGURATION = """
listen_addresses = ''
unix_socket_directories = '{socket}'
max_connections = 200
shared_buffers = 64MB
fsync = on
synchronous_commit = on
max_wal_size = 512MB
logging_collector = off
log_min_messages = fatal
"""


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise SkipTest("needs a PostgreSQL server (Debian package postgresql)")
    return found[-1].parent


def _as_ordinary_user(*command: str) -> list[str]:
    """Root may not run PostgreSQL; whoever runs it, it ends with us."""
    ordinary = []
    if os.getuid() == 0:
        name = next(name for name in _USERS if _is_user(name))
        ordinary = [f"--reuid={name}", f"--regid={pwd.getpwnam(name).pw_gid}", "--clear-groups"]
    return ["setpriv", *ordinary, "--pdeathsig", "INT", *command]


def _is_user(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


class Cluster:
    """A server that runs, and can be stopped and started again."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._home = Path(tempfile.mkdtemp(prefix="smtpplus-pg-"))
        self._home.chmod(0o755)
        self._place = self._home / "cluster"
        self._place.mkdir(mode=0o700)
        if os.getuid() == 0:
            user = pwd.getpwnam(next(name for name in _USERS if _is_user(name)))
            os.chown(self._place, user.pw_uid, user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self.kept: dict[str, list[str]] = {}  # databases that are there for the next test
        self._run("initdb", "--no-sync", "-A", "trust", "-U", "smtpplus", "--locale=C.UTF-8",
                  "-E", "UTF8", "-D", str(self._data))  # fmt: skip
        configuration = _CONFIGURATION.format(socket=self._place)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(configuration)
        self.start()

    def url(self, database: str = "postgres") -> str:
        """Where smtpplus finds one of its databases."""
        return f"postgresql://smtpplus@/{database}?host={self._place}"

    def start(self) -> None:
        """Start the server, and return when it answers."""
        log = (self._home / "log").open("ab")
        command = _as_ordinary_user(str(self._programs / "postgres"), "-D", str(self._data))
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError((self._home / "log").read_text())
            time.sleep(0.02)  # another process is waited for

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop the server: SIGINT as administrators do, SIGQUIT as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Stop every process of the server where it is; what is sent to it is kept by the kernel."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def recover(self) -> None:
        """Whatever was done to it, it runs."""
        self.thaw()
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if self._process is None:
            self.start()

    def _send(self, number: signal.Signals) -> None:
        """To each of its processes."""
        if self._process is not None:
            first = self._process.pid
            children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
            for process in (first, *map(int, children)):
                with contextlib.suppress(ProcessLookupError):  # a session that has just ended
                    os.kill(process, number)

    def database(self, template: str = "template1") -> str:
        """The name of a new database."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever still uses it and whatever was done to the server."""
        self.recover()
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement; its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def copy(self, sql: str, database: str) -> bytes:
        """What a COPY to the client says."""
        import psycopg

        with (
            psycopg.connect(self.url(database)) as connection,
            connection.cursor().copy(sql.encode()) as rows,
        ):
            return b"".join(map(bytes, rows))

    def remove(self) -> None:
        """End it, and leave nothing behind."""
        self.thaw()
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._place / "data"

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self._place)]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        command = _as_ordinary_user(str(self._programs / program), *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise AssertionError(f"{program}: {done.stdout}{done.stderr}")


_running: dict[str, Cluster] = {}


def cluster() -> Cluster:
    """The cluster of this run, started when it is first asked for."""
    return _once("shared")


def cluster_to_harm(test: TestCase) -> Cluster:
    """Another one, which `test` may stop, crash and freeze; it runs again for the next."""
    found = _once("to harm")
    test.addCleanup(found.recover)
    return found


def _once(name: str) -> Cluster:
    if name not in _running:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise SkipTest("needs psycopg (the extra [postgresql])") from None
        made = _running[name] = Cluster()
        atexit.register(made.remove)
    return _running[name]
