"""The mail servers that are measured beside ours: Postfix, with OpenDKIM, Haraka.

Each is set up as Debian or its project does, in a folder of its own, on loopback. The milter is
at a socket of the file system, as Debian's is. Postfix syncs
as it always does; where no syslog listens its logging costs it nearly nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.programs import (
    MissingError,
    Program,
    Programs,
    answers,
    free_port,
    mail_user,
    needs,
    open_way_to,
    wait_for,
)
from smtpplus.message.dkim import generate_key

__all__ = ["Haraka", "Postfix"]

_HARAKA = Path(__file__).parents[1] / ".ci" / "cache" / "haraka"

_MAIN = """compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example.com
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
message_size_limit = 60000000
"""

_MASTER = """127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


class Postfix:
    """A running Postfix: mail is held, or relayed to the port `to`, by OpenDKIM where `signed`."""

    def __init__(
        self, programs: Programs, name: str, *, to: int | None, signed: bool = False
    ) -> None:
        program = needs("postfix")
        if os.getuid() != 0:
            raise MissingError("needs root to run Postfix (Debian package postfix)")
        self.port = free_port()
        self._all: list[Program] = []
        base = _folder(programs, "postfix.")
        for part in ("etc", "queue", "data"):
            (base / part).mkdir()
        os.chown(base / "data", mail_user().pw_uid, mail_user().pw_gid)
        lines = [_MAIN.format(base=base)]
        if to is None:
            lines.append("smtpd_client_restrictions = static:HOLD")
        else:
            lines.append(f"relayhost = [127.0.0.1]:{to}")
        if signed:
            milter = _opendkim(programs, f"{name}-opendkim")
            self._all.append(milter[0])
            lines.append(f"smtpd_milters = unix:{milter[1]}")
        (base / "etc" / "main.cf").write_text("\n".join(lines) + "\n")
        (base / "etc" / "master.cf").write_text(_MASTER.format(port=self.port))
        self.program = programs.start(name, [program, "-c", str(base / "etc"), "start-fg"])
        self._all.append(self.program)
        wait_for(name, lambda: answers(self.port))

    def cpu_seconds(self) -> float:
        """Used so far, with OpenDKIM."""
        return sum(program.cpu_seconds() for program in self._all)


def _folder(programs: Programs, prefix: str) -> Path:
    """A folder with a short name: the paths of sockets must not be longer than 107 octets."""
    base = Path(tempfile.mkdtemp(prefix=prefix, dir=programs.folder.parent))
    programs.at_end(lambda: shutil.rmtree(base, ignore_errors=True))
    open_way_to(base)
    return base


def _opendkim(programs: Programs, name: str) -> tuple[Program, Path]:
    """OpenDKIM with Debian's settings and an RSA-2048 key for example.com."""
    program = needs("opendkim")
    try:
        user = pwd.getpwnam("opendkim")
    except KeyError:
        raise MissingError("needs the user opendkim (Debian package opendkim)") from None
    base = _folder(programs, "opendkim.")
    key = base / "key.pem"
    key.write_bytes(generate_key()[0])
    key.chmod(0o600)
    os.chown(key, user.pw_uid, user.pw_gid)
    settings = base / "opendkim.conf"
    settings.write_text(
        f"""Syslog yes
SyslogSuccess yes
Canonicalization relaxed/simple
Mode s
Domain example.com
Selector bench
KeyFile {key}
OversignHeaders From
InternalHosts 127.0.0.0/8
UserID opendkim
RequireSafeKeys no
UMask 000
Socket local:{base}/milter.sock
"""
    )
    os.chown(base, user.pw_uid, user.pw_gid)
    started = programs.start(name, [program, "-f", "-x", str(settings)])
    wait_for(name, (base / "milter.sock").exists)
    return started, base / "milter.sock"


class Haraka:
    """A running Haraka that relays to the port `to`; DKIM by its own plugin where `signed`."""

    def __init__(self, programs: Programs, name: str, *, to: int, signed: bool = False) -> None:
        needs("node")
        modules = _haraka_modules()
        self.port = free_port()
        base = _folder(programs, "haraka.")
        shutil.copytree(modules / "Haraka" / "config", base / "config")
        (base / "plugins").mkdir()
        (base / "queue").mkdir()
        (base / "node_modules").symlink_to(modules)
        (base / "package.json").write_text(json.dumps({"name": "bench", "version": "1.0.0"}))
        for file, text in {
            "smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=0\n",
            "me": "haraka.example.com",
            "log.ini": "[main]\nlevel=warn\n",
            "plugins": "relay\nto_sink\n" + ("dkim\n" if signed else ""),
            "relay.ini": "[relay]\nacl=true\n",
            "relay_acl_allow": "127.0.0.0/8\n",
            "outbound.ini": "received_header=Haraka\nenable_tls=false\n",
            "dkim.ini": "[sign]\nenabled=true\nselector=bench\ndomain=example.com\n"
            "[verify]\nenabled=false\n",
        }.items():
            (base / "config" / file).write_text(text)
        keys = base / "config" / "dkim" / "example.com"
        keys.mkdir(parents=True, exist_ok=True)
        (keys / "private").write_bytes(generate_key()[0])
        (keys / "selector").write_text("bench")
        (base / "plugins" / "to_sink.js").write_text(
            "exports.hook_get_mx = function (next) {\n"
            f"  next(OK, {{priority: 0, exchange: '127.0.0.1', port: {to}}});\n}};\n"
        )
        program = [needs("node"), str(modules / "Haraka" / "bin" / "haraka"), "-c", str(base)]
        self.program = programs.start(name, program)
        with contextlib.suppress(RuntimeError):
            wait_for(name, lambda: answers(self.port), 20)
        if not answers(self.port):
            raise MissingError(f"Haraka does not start: {self.program.log.read_text()[:300]}")

    def cpu_seconds(self) -> float:
        """Used so far."""
        return self.program.cpu_seconds()


def _haraka_modules() -> Path:
    modules = _HARAKA / "node_modules"
    if not (modules / "Haraka").is_dir():
        _HARAKA.mkdir(parents=True, exist_ok=True)
        (_HARAKA / "package.json").write_text('{"name": "cache", "private": true}')
        done = subprocess.run(
            [
                *(needs("npm"), "install", "--no-audit", "--no-fund", "--omit=dev"),
                *(f"--prefix={_HARAKA}", "Haraka@3"),
            ],
            cwd=_HARAKA,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not (modules / "Haraka").is_dir():
            raise MissingError(f"Haraka cannot be installed by npm: {done.stderr[-300:]}")
    return modules
