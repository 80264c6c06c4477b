"""The machine: disk, permissions, secrets, clock."""

from __future__ import annotations

import contextlib
import datetime as dt
import hmac
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from smtpplus.config import Config
from smtpplus.doctor.findings import Finding, ok, problem, warning
from smtpplus.installation import read_secret
from smtpplus.store.secret_check import fingerprint
from smtpplus.values.errors import SmtpplusError

__all__ = ["clock", "disk", "is_secret_of", "permissions", "secrets"]

_FREE_WARN = 1 << 30
_CLOCK_LEAST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp()


def disk(config: Config) -> Iterator[Finding]:
    """Room for mail."""
    folder = config.queue_dir if config.queue_dir.is_dir() else config.server.data_dir
    usage = shutil.disk_usage(folder)
    need = int(config.submission.max_message_bytes * 1.5)
    text = f"{usage.free >> 20:,} MiB of {usage.total >> 20:,} MiB are free."
    mend = f"Make room on the file system of {folder}."
    if usage.free < need:
        yield problem("disk", f"{text} Below {need >> 20} MiB no mail is taken (452).", mend)
    elif usage.free < _FREE_WARN:
        yield warning("disk", text, mend)
    else:
        yield ok("disk", text)
    found = os.statvfs(folder)
    if found.f_files and found.f_favail < 10_000:
        yield problem("disk", f"Only {found.f_favail} files can be made.", mend)


def permissions(config: Config) -> Iterator[Finding]:
    """Who may read what."""
    data_dir = config.server.data_dir
    owner = data_dir.stat().st_uid
    secret = [config.secret_key_file]
    if config.submission.private_key is not None:
        secret.append(config.submission.private_key)
    if config.relay.smarthost_password_file is not None:
        secret.append(config.relay.smarthost_password_file)
    wrong = False
    for path in secret:
        with contextlib.suppress(FileNotFoundError):
            mode = path.stat().st_mode & 0o777
            if mode & 0o007:
                wrong = True
                yield problem(
                    "permissions",
                    f"{path} can be read by everybody ({mode:o}).",
                    f"chmod o= {path}",
                )
    strangers = [path for path in _tree(data_dir) if path.lstat().st_uid != owner]
    if strangers:
        wrong = True
        yield problem(
            "permissions",
            f"{len(strangers)} files of {data_dir} belong to another user than the folder, such "
            f"as {strangers[0]}: a command was run as root.",
            f"chown -R --from=0 {owner} {data_dir}",
        )
    if data_dir.stat().st_mode & 0o077:
        wrong = True
        yield warning("permissions", f"{data_dir} is open to others.", f"chmod 700 {data_dir}")
    if not wrong:
        yield ok("permissions", f"{data_dir} and what is secret in it are closed to others.")


def _tree(top: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(top):
        for name in files:
            path = Path(folder, name)
            if path.is_file():
                yield path


def secrets(config: Config) -> Iterator[Finding]:
    """Are the secrets there, and whole?"""
    secret = read_secret(config)
    if len(secret) < 32:
        yield problem(
            "secret", f"{config.secret_key_file} is too short.", "Restore it from a backup."
        )
    else:
        yield ok("secret", f"{config.secret_key_file} is there.")
    for name, read in (
        ("relay.smarthost_password_file", config.smarthost_password),
        ("metrics.token_file", config.metrics_token),
    ):
        try:
            read()
        except SmtpplusError as error:
            yield problem("secret", str(error), f"Write the file, or take {name} out.")


def is_secret_of(config: Config, found: bytes) -> bool:
    """Is ours the secret with this fingerprint? Yes, where it cannot be read: `secrets` says so."""
    try:
        return hmac.compare_digest(found, fingerprint(read_secret(config)))
    except SmtpplusError:
        return True


def clock(_: Config) -> Iterator[Finding]:
    """Is it right, and kept so?"""
    now = time.time()
    if now < _CLOCK_LEAST:
        yield problem(
            "clock",
            f"The clock says {dt.datetime.fromtimestamp(now, dt.UTC):%Y-%m-%d}.",
            "Set it, and run an NTP client.",
        )
        return
    synchronised = Path("/run/systemd/timesync/synchronized")
    others = (Path("/run/chrony"), Path("/var/run/chrony"), Path("/var/lib/ntp"))
    if synchronised.exists() or any(path.exists() for path in others):
        yield ok("clock", "The clock is kept by an NTP client.")
    else:
        yield warning(
            "clock",
            "No NTP client was found that keeps the clock right.",
            "Install one (systemd-timesyncd, chrony), unless the host keeps the clock.",
        )
