"""A PostgreSQL for smtpplus to stand on: a cluster of Debian's package, in the measured folder.

Settings are Debian's own, but for where it listens (a socket in its folder). It runs as an
ordinary user, as it must.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.programs import MissingError, Program, Programs, open_way_to, wait_for

__all__ = ["Database"]

_ADDED = """
listen_addresses = ''
unix_socket_directories = '{place}'
"""


class Database:
    """A server that runs."""

    def __init__(self, programs: Programs) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            raise MissingError("needs a PostgreSQL server (Debian package postgresql)")
        if find_spec("psycopg") is None:
            raise MissingError("needs psycopg: pip install 'smtpplus[postgresql]'")
        self._bin = found[-1].parent
        # A socket's path must not be longer than 107 octets.
        self._place = Path(tempfile.mkdtemp(prefix="pg.", dir=programs.folder.parent))
        programs.at_end(lambda: shutil.rmtree(self._place, ignore_errors=True))
        self._as_user: list[str] = []
        if os.getuid() == 0:
            self._as_user = self._ordinary_user()
        data = self._place / "data"
        self._run("initdb", "-A", "trust", "-U", "smtpplus", "--locale=C.UTF-8", "-D", str(data))
        with (data / "postgresql.conf").open("a") as file:
            file.write(_ADDED.format(place=self._place))
        command = [*self._as_user, str(self._bin / "postgres"), "-D", str(data)]
        self.program: Program = programs.start("postgresql", command)
        wait_for("postgresql", self._answers)

    @property
    def url(self) -> str:
        """Where smtpplus finds it."""
        return f"postgresql://smtpplus@/postgres?host={self._place}"

    def cpu_seconds(self) -> float:
        """Of all its processes."""
        return self.program.cpu_seconds()

    def _ordinary_user(self) -> list[str]:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            raise MissingError("needs the user postgres (Debian package postgresql)") from None
        os.chown(self._place, user.pw_uid, user.pw_gid)
        open_way_to(self._place.parent)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def _answers(self) -> bool:
        self.program.check()
        command = [str(self._bin / "pg_isready"), "-q", "-h", str(self._place)]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._bin / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
