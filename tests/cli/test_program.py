"""The program: one sentence for each fault, JSON where it was asked for, whatever is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.cli.messages import _readable
from tests.cli.shell import Shell
from tests.folders import folder_of

_PROGRAM = (sys.executable, "-c", "from smtpplus.cli import main; main()")
_ID = "0" * 12 + "1"
_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

WRONGLY_CALLED = (
    (("nope",), "No such command 'nope'"),
    (("account", "nope"), "No such command 'nope'"),
    (("account", "add"), "Missing argument 'NAME'. Usage: smtpplus account add"),
    (("list", "add", "trial", "x", "--stream", "bulk"), "not one of 'transactional', 'subscribed'"),
    (("check-config", "--nope"), "No such option '--nope'"),
    (("queue", "list", "--most", "0"), "0 is not in the range"),
    (("init", "x", "--production"), "--production and --hostname go together"),
    (("restore", "/nonexistent"), "'/nonexistent' does not exist"),
)
REFUSED = (
    (("queue", "cancel", _ID), f"There is no message or delivery {_ID}"),
    (("queue", "release", _ID), "There is no message or delivery"),
    (("queue", "hold", "--domain", "x y"), "x y is no mail domain"),
    (("domain", "add", "trial", "x y"), "x y is no mail domain"),
    (("domain", "key", "example.com", "add", "a b"), "a b is no selector: expected"),
    (("person", "add", "x", "--role", "operator"), "x is no mail address"),
    (("person", "password", "nobody@example.com"), "There is no person nobody@example.com"),
    (("send-test", "--from", "x"), "x is no mail address"),
    (("send-test", "--subject", "a\nBcc: b@example.net"), "--subject: expected one line"),
    (("send-test", "--subject", "a\rb"), "--subject: expected one line"),
    (("send-test", "--subject", "a\u2028b"), "--subject: expected one line"),
    (("send-test", "--subject", "a\x1b[1m"), "--subject: expected one line"),
    (("send-test", "--user", "nobody", "--password", "x"), "There is no SMTP user nobody"),
    (("account", "add", "a\udcff"), "'a\\udcff' is not in UTF-8"),
    (("message", "show", "a\x1b[1m\n"), "a\\x1b[1m"),
    (("init", "/dev/null"), "/dev/null is no folder"),
    (("backup", "/nonexistent/x.tar"), "/nonexistent/x.tar cannot be written: No such file"),
)


class WrongInputTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))

    def test_wrongly_called(self) -> None:
        for arguments, text in WRONGLY_CALLED:
            out, err = self.shell.run(*arguments, status=2)
            self.assertEqual((out, err.count("\n")), ("", 1), err)
            self.assertIn(text, err)
            self.assertIn("Usage: smtpplus ", err)
            out, err = self.shell.run(*arguments, "--json", status=2)
            self.assertIn(text, json.loads(err)["error"])

    def test_refused(self) -> None:
        for arguments, text in REFUSED:
            out, err = self.shell.run(*arguments, status=1)
            self.assertIn(text, err)
            self.assertEqual(err.count("Traceback"), 0)
            self.assertNotIn("[Errno", err)
            out, err = self.shell.run(*arguments, "--json", status=1)
            self.assertEqual((out, list(json.loads(err))), ("", ["error"]))

    def test_nothing_to_cancel_is_not_asked_about(self) -> None:
        self.assertEqual(self.shell.run("queue", "cancel", "--all")[0], "Cancelled 0 deliveries.\n")
        self.assertEqual(self.shell.json("queue", "cancel", "--all")["deliveries"], 0)

    def test_times_of_an_event_are_readable(self) -> None:
        row = {"event": "deferred", "detail": {"due_at": 1_800_000_000.5, "n": 1}}
        self.assertEqual(_readable(row)["detail"], {"due_at": "2027-01-15T08:00:00Z", "n": 1})

    def test_a_damaged_store(self) -> None:
        (self.shell.folder / "queue" / "smtpplus.sqlite3").write_bytes(b"no database" * 999)
        tar = self.shell.folder / "new.tar"
        said = self.shell.refused("backup", str(tar))
        self.assertIn("The store cannot be read now (file is not a database): see", said)
        self.assertFalse(tar.exists())
        self.assertIn("The store is damaged", self.shell.refused("user", "list"))

    def test_files_that_cannot_be_read(self) -> None:
        config = Path(self.shell.facts["config"])
        (self.shell.folder / "secret.key").unlink()
        (self.shell.folder / "secret.key").mkdir()
        self.assertIn("secret: Is a directory.", self.shell.refused("user", "list"))
        config.write_bytes(b"\xff")
        self.assertIn("smtpplus.toml: cannot be read: 'utf-8'", self.shell.refused("user", "list"))


class StreamTests(SynchronousTestCase):
    """As a process: standard output that nobody reads, that is full or closed."""

    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))

    def sh(self, line: str, **more: str) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            ("/bin/sh", "-c", line, "sh", *_PROGRAM, "--config", self.shell.facts["config"]),
            check=False,
            capture_output=True,
            env={**_ENVIRONMENT, **more},
        )
        return done.returncode, done.stdout, done.stderr

    def test_a_reader_that_is_gone(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            (*_PROGRAM, "--config", self.shell.facts["config"], "check-config"),
            check=False,
            stdout=writing,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
        )
        os.close(writing)
        self.assertEqual((done.returncode, done.stderr), (1, b""))

    def test_a_full_disk_behind_standard_output(self) -> None:
        line = '"$@" user list >/dev/full'
        self.assertEqual(self.sh(line), (1, b"", b"smtpplus: No space left on device.\n"))

    def test_closed_streams(self) -> None:
        self.assertEqual(self.sh('"$@" user list >&-'), (0, b"", b""))
        self.assertEqual(self.sh('"$@" nope 2>&-'), (2, b"", b""))
        status, _, err = self.sh('"$@" person password operator@example.com <&-')
        self.assertEqual((status, b"which is closed" in err), (1, True))

    def test_letters_that_the_locale_has_not(self) -> None:
        self.shell.run("account", "add", "Übung")
        status, out, err = self.sh('"$@" account list', PYTHONIOENCODING="ascii")
        self.assertEqual((status, err), (0, b""))
        self.assertIn(b"\\xdcbung", out)

    def test_a_password_that_is_not_utf8(self) -> None:
        line = "printf 'correct horse \\377\\n' | " + '"$@" person password operator@example.com'
        for encoding in ("utf-8", "utf-8:surrogateescape"):
            status, _, err = self.sh(line, PYTHONIOENCODING=encoding)
            self.assertEqual((status, err.count(b"\n")), (1, 1), err)
            self.assertIn(b"is not in UTF-8", err)
