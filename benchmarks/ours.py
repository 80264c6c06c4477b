"""A smtpplus in a process of its own, set up as an administrator does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from benchmarks.database import Database
from benchmarks.programs import Program, Programs, free_port, wait_for
from smtpplus.config import load
from smtpplus.installation import open_installation
from smtpplus.store.store import run, upgrade
from smtpplus.values.submission import Stream

__all__ = ["SIGNED", "UNSIGNED", "Smtpplus"]

SIGNED = "a@example.com"
UNSIGNED = "a@unsigned.example"
_BIN = Path(sys.executable).parent


class Smtpplus:
    """An installation whose networks let everybody on this machine in without AUTH.

    Mail from `SIGNED` gets an RSA-2048 signature, mail from `UNSIGNED` none. All mail goes to
    the port `to`; without one there is no relay role, and it stays in the queue. `wants` are
    settings of its list; with any there is a bounce domain, too, so that each copy has a return
    path of its own. `folder` is where it lies; what is there already is run as it is.
    """

    def __init__(
        self,
        programs: Programs,
        name: str = "smtpplus",
        to: int | None = None,
        database: Database | None = None,
        wants: Mapping[str, object] | None = None,
        folder: Path | None = None,
        processes: int = 1,
    ) -> None:
        self._wants = wants or {}
        self._programs = programs
        self._database = database
        self._name = name
        self.port = free_port()
        self.port_tls = free_port()
        self.web = free_port()
        self.program: Program | None = None
        self.start_seconds = 0.0
        folder = folder or programs.folder / f"{name}-data"
        there = folder / "smtpplus.toml"
        self.config = str(there) if there.exists() else self._init(folder)
        self._settings = {
            "submission.listen": f'["127.0.0.1:{self.port}"]',
            "submission.listen_tls": f'["127.0.0.1:{self.port_tls}"]',
            "submission.max_connections": "20000",
            "submission.max_connections_per_address": "20000",
            "web.listen": f'"127.0.0.1:{self.web}"',
            "server.processes": str(processes),
            "relay.deliver": "internet",  # by routes: a sandbox has one process
        }
        if self._wants:
            self._settings["feedback.domain"] = f'"bounce.{SIGNED.partition("@")[2]}"'
        if database is not None:
            self._settings["store.url"] = f'"{database.url}"'
            _move(self.config, database.url)
        self.deliver_to(to)

    def set(self, key: str, value: str) -> None:
        """A setting of the configuration, from the next start on; `value` is a TOML literal."""
        self._settings[key] = value

    def deliver_to(self, port: int | None) -> None:
        """Where mail goes from the next start on."""
        roles = '["submission", "web"]' if port is None else '["submission", "relay", "web"]'
        self._settings["server.roles"] = roles
        if port is not None:
            self._settings["relay.routes"] = f'{{"*" = "127.0.0.1:{port}"}}'

    @property
    def running(self) -> Program:
        """Its process."""
        assert self.program is not None
        return self.program

    def cpu_seconds(self) -> float:
        """Used so far, by its database too."""
        of_database = self._database.cpu_seconds() if self._database is not None else 0.0
        return self.running.cpu_seconds() + of_database

    def start(self) -> Smtpplus:
        """Run it until it is ready; `start_seconds` says how long that took."""
        sets = [
            part for key, value in self._settings.items() for part in ("--set", _set(key, value))
        ]
        begin = time.monotonic()
        self.program = self._programs.start(
            self._name,
            [*_TWISTD, "--config", self.config, *sets],
        )
        wait_for(self._name, self._is_ready, 300)
        self.start_seconds = time.monotonic() - begin
        return self

    def stop(self) -> None:
        """End it; it can be started again."""
        self.running.stop()

    def _is_ready(self) -> bool:
        self.running.check()
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.web}/readyz", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def _init(self, folder: Path) -> str:
        done = subprocess.run(
            [str(_BIN / "smtpplus"), "--json", "init", str(folder)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"NO_COLOR": "1"},
        )
        if done.returncode:
            raise RuntimeError(f"smtpplus init: {done.stdout}{done.stderr}")
        facts: dict[str, str] = json.loads(done.stdout)
        now = time.time()
        with open_installation(load(Path(facts["config"]), [])) as installation:
            accounts = installation.accounts
            run(accounts.set_user(facts["username"], {"networks": ("127.0.0.0/8",)}))
            account = run(accounts.accounts())[0]
            for key, value in self._wants.items():
                run(accounts.set_list(run(accounts.lists(None))[0].id, key, value))
            run(accounts.add_domain(account.name, UNSIGNED.partition("@")[2], now, now))
        return facts["config"]


def _move(config: str, url: str) -> None:
    """Make the same user and domains, with the same key, in the store at `url`."""
    upgrade(url)
    now, signed = time.time(), SIGNED.partition("@")[2]
    with (
        open_installation(load(Path(config), [])) as before,
        open_installation(load(Path(config), [f"store.url={url}"])) as after,
    ):
        (user,) = run(before.accounts.users(None))
        (key,) = [one for one in run(before.accounts.keys(signed)) if one.state == "active"]
        account = run(after.accounts.add_account("bench", now))
        mails = run(after.accounts.add_list("bench", "default", Stream.TRANSACTIONAL, now))
        made = run(after.accounts.add_user(mails.id, user.username, user.verifier, (), (), now))
        run(after.accounts.set_user(made.username, {"networks": ("127.0.0.0/8",)}))
        for domain in (signed, UNSIGNED.partition("@")[2]):
            run(after.accounts.add_domain(account.name, domain, now, now))
        pem, public = key.private_pem, key.public_b64
        run(after.accounts.add_key(signed, key.selector, pem, public, key.state, now))


_TWISTD = [str(_BIN / "twistd"), "-n", "--pidfile=", "smtpplus"]


def _set(key: str, value: str) -> str:
    return f"{key}={value}"
