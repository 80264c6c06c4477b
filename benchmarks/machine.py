"""On what was measured: processor, kernel, versions, disk, load. Reads only."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shutil
import sqlite3
import ssl
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["busy_seconds", "facts", "load_average"]

_TICK = os.sysconf("SC_CLK_TCK")


def load_average() -> float:
    """Runnable processes in the last minute."""
    return round(os.getloadavg()[0], 2)


def busy_seconds() -> float:
    """Processor time that anybody on this machine has used, and what the host took away."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, hard, soft, steal = map(int, fields)
    return (user + nice + system + hard + soft + steal) / _TICK


def facts(folder: Path) -> dict[str, str]:
    """The machine and the versions; `folder` is where the queues lie."""
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "kernel": platform.release(),
        "disk": _filesystem(folder),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "smtpplus": _package("smtpplus"),
        "twisted": _package("twisted"),
        "cryptography": _package("cryptography"),
        "postfix": _said(["postconf", "-dh", "mail_version"]),
        "opendkim": _said(["opendkim", "-V"]).removeprefix("opendkim: OpenDKIM Filter v"),
        "aiosmtpd": _package("aiosmtpd"),
        "node": _said(["node", "--version"]),
    }


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.machine()


def _memory() -> str:
    found = re.search(r"MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    return f"{int(found[1]) / 1024 / 1024:.1f} GiB" if found else "unknown"


def _filesystem(folder: Path) -> str:
    best = ("", "", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, mount, kind, *_ = line.split()
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(best[1]):
            best = (device, mount, kind)
    return f"{best[2]} on {best[0]}"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "a checkout" if name == "smtpplus" else "not installed"


def _said(command: list[str]) -> str:
    path = shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        return "not installed"
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0]
