"""Real programs the live tests talk with: found, configured into a directory, started, ended.

Every peer listens on loopback at a port of the kernel's choice and is ended by its process id.
A program that is missing skips the test with the name of its Debian package.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.live.zygote import Child, zygote

__all__ = ["Exim", "Peer", "Postfix", "Sink", "free_port", "needs", "open_way_to", "wait_for"]

_WAIT_SECONDS = 60.0  # nothing takes so long, but on a machine that is busy with much else
# Debian's MTAs conflict as packages; .ci/run unpacks this one.
_UNPACKED_EXIM = Path(__file__).parents[2] / ".ci" / "cache" / "exim" / "usr" / "sbin"
_PACKAGES = {
    "smtp-sink": "postfix",
    "smtp-source": "postfix",
    "postfix": "postfix",
    "swaks": "swaks",
    "msmtp": "msmtp",
    "curl": "curl",
    "php": "php-cli",
    "node": "nodejs",
    "opendkim": "opendkim",
    "chromium": "chromium",
    "ip": "iproute2",
    "unshare": "util-linux",
}

_POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example.net
mydestination =
alias_maps =
message_size_limit = 60000000
virtual_mailbox_limit = 0
virtual_mailbox_domains = example.net
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_client_connection_count_limit = 0
smtputf8_enable = yes
local_header_rewrite_clients =
"""
_POSTFIX_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
_EXIM = """\
primary_hostname = exim.example.net
exim_path = {program}
exim_user = mail
exim_group = mail
spool_directory = {base}/spool
log_file_path = {base}/log/%slog
domainlist local_domains = example.net
message_size_limit = 60M
acl_smtp_rcpt = acl_rcpt
keep_environment =
tls_advertise_hosts =
never_users =
chunking_advertise_hosts = *
smtp_accept_queue_per_connection = 0
smtp_accept_max = 100
dkim_verify_signers =
begin acl
acl_rcpt:
  accept domains = +local_domains
  deny
begin routers
all:
  driver = accept
  domains = +local_domains
  transport = maildir
begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = {maildir}
  create_directory
  user = mail
  group = mail
  delivery_date_add = false
  envelope_to_add = false
  return_path_add = false
begin retry
* * F,1h,1m
"""


def needs(program: str) -> str:
    """The program's path; skips the test where it is missing."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        raise SkipTest(f"needs {program} (Debian package {_PACKAGES.get(program, program)})")
    return path


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(what: str, condition: Callable[[], bool], seconds: float = _WAIT_SECONDS) -> None:
    """Return as soon as `condition` holds; fail after `seconds`."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() > begin + seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        # Another process is waited for: often at first, so that short waits are short.
        time.sleep(0.02 if time.monotonic() < begin + 0.5 else 0.1)


def children_of(pid: int, module: str) -> list[int]:
    """The processes that `pid` started with ``python -m module``."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    ]


def answers(port: int) -> bool:
    """Does somebody greet at this port?"""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as peer:
        peer.settimeout(2)
        return peer.recv(3) == b"220"
    return False


def _is_user(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


class Peer:
    """A program that runs for one test; `quickly`: one of ours, by the zygote."""

    process: subprocess.Popen[bytes] | Child

    def __init__(
        self,
        test: SynchronousTestCase,
        command: list[str],
        log: Path,
        where: Path | None = None,
        *,
        quickly: bool = False,
    ) -> None:
        self.log = log
        if quickly:
            self.process = zygote().start(command, log, where=where)
        else:
            with log.open("ab") as output:
                self.process = subprocess.Popen(
                    command,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd=where,
                )
        test.addCleanup(self.stop)

    def stop(self) -> None:
        """End it and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


class Sink:
    """Postfix's smtp-sink: takes everything, and writes each message to a file."""

    def __init__(self, test: SynchronousTestCase, directory: Path, *options: str) -> None:
        program = needs("smtp-sink")
        self.port = free_port()
        self._mails = directory / "sink"
        self._mails.mkdir()
        user = ["-u", "postfix"] if os.getuid() == 0 else []
        if user:
            postfix = pwd.getpwnam("postfix")
            os.chown(self._mails, postfix.pw_uid, postfix.pw_gid)
            open_way_to(self._mails)
        Peer(
            test,
            [program, *user, *options, "-d", f"{self._mails}/%s.", f"127.0.0.1:{self.port}", "100"],
            directory / "sink.log",
        )
        wait_for("smtp-sink", lambda: answers(self.port))

    def count(self) -> int:
        """How many have arrived whole."""
        return sum(_ends_in_empty_line(path) for path in self._mails.iterdir())

    def mails(self) -> list[bytes]:
        """What has arrived, without the lines that smtp-sink puts in front, LF line ends."""
        contents = [path.read_bytes() for path in sorted(self._mails.iterdir())]
        whole = [one[:-1] for one in contents if one.endswith(b"\n\n")]  # it adds an empty line
        return [re.sub(rb"\A(?:X-[\w-]+: .*\n)+", b"", one) for one in whole]


class Postfix:
    """A Postfix that takes mail for example.net into a Maildir."""

    def __init__(self, test: SynchronousTestCase, directory: Path) -> None:
        needs("postfix")
        if os.getuid() != 0:
            raise SkipTest("needs root to run Postfix (Debian package postfix)")
        self.port = free_port()
        # Its sockets' paths must not be longer than 107 octets.
        base = Path(tempfile.mkdtemp(prefix="postfix."))
        test.addCleanup(shutil.rmtree, base, ignore_errors=True)
        self._maildir = base / "mail" / "all"
        for name in ("etc", "queue", "data", "mail"):
            (base / name).mkdir(parents=True)
        owner = pwd.getpwnam("postfix")
        os.chown(base / "data", owner.pw_uid, owner.pw_gid)
        nobody = pwd.getpwnam("nobody")
        os.chown(base / "mail", nobody.pw_uid, nobody.pw_gid)
        open_way_to(base / "mail")
        (base / "etc" / "main.cf").write_text(
            _POSTFIX_MAIN.format(base=base, uid=nobody.pw_uid, gid=nobody.pw_gid)
        )
        (base / "etc" / "master.cf").write_text(_POSTFIX_MASTER.format(port=self.port))
        command = [needs("postfix"), "-c", str(base / "etc")]
        Peer(test, [*command, "start-fg"], directory / "postfix.log")
        # Its master makes a session of its own, which the end of the peer's does not reach.
        test.addCleanup(subprocess.run, [*command, "stop"], capture_output=True, check=False)
        wait_for("postfix", lambda: answers(self.port))

    def count(self) -> int:
        """How many have arrived."""
        return _count(self._maildir)

    def mails(self) -> list[bytes]:
        """What has arrived, LF line ends."""
        return _maildir(self._maildir)


class Exim:
    """An Exim that takes mail for example.net into a Maildir; unpacked, not installed."""

    def __init__(self, test: SynchronousTestCase, directory: Path) -> None:
        program = shutil.which("exim4", path=f"{_UNPACKED_EXIM}:/usr/sbin")
        if program is None:
            raise SkipTest("needs exim4 (Debian package exim4-daemon-light, may be unpacked)")
        if not _is_user("Debian-exim"):
            raise SkipTest("needs the user of Exim (Debian package exim4-base)")
        if os.getuid() != 0:
            raise SkipTest("needs root to run Exim (Debian package exim4-daemon-light)")
        self.port = free_port()
        base = directory / "exim"
        base.mkdir()
        self._maildir = base / "mail"
        open_way_to(base)
        configuration = base / "exim.conf"
        configuration.write_text(
            _EXIM.format(program=Path(program).resolve(), base=base, maildir=self._maildir)
        )
        mail = pwd.getpwnam("mail")
        for name in ("spool", "log", "mail"):
            (base / name).mkdir()
            os.chown(base / name, mail.pw_uid, mail.pw_gid)
        Peer(
            test,
            [program, "-bdf", "-C", str(configuration), "-oX", f"127.0.0.1.{self.port}"],
            directory / "exim.log",
        )
        wait_for("exim", lambda: answers(self.port))

    def count(self) -> int:
        """How many have arrived."""
        return _count(self._maildir)

    def mails(self) -> list[bytes]:
        """What has arrived, LF line ends."""
        return _maildir(self._maildir)


def _count(path: Path) -> int:
    return len(list((path / "new").iterdir())) if (path / "new").is_dir() else 0


def _ends_in_empty_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2))
        return file.read() == b"\n\n"


def _maildir(path: Path) -> list[bytes]:
    if not (path / "new").is_dir():
        return []
    return [one.read_bytes() for one in sorted((path / "new").iterdir())]


def open_way_to(path: Path) -> None:
    """Let another user reach a test's own directory."""
    for parent in [path, *path.parents]:
        with contextlib.suppress(PermissionError):
            if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)
