"""The trial as a new user meets it: an empty folder, ``twistd -n smtpplus``, what it prints.

It runs with its own ports, in a network of its own where nothing else listens and from which
nothing could leave.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.folders import folder_of
from tests.live.installation import BIN
from tests.live.peers import Peer, needs, open_way_to, wait_for

_LOOPBACK = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
_USER = "nobody"


class FirstStartTests(SynchronousTestCase):
    """What is printed works as it stands."""

    def setUp(self) -> None:
        needs("ip")
        self.alone = [needs("unshare"), *(["-n"] if os.getuid() == 0 else ["-rn"])]
        if subprocess.run([*self.alone, "true"], capture_output=True, check=False).returncode:
            raise SkipTest("needs leave to make a network namespace (root has it)")
        self.folder = folder_of(self)
        self.folder.mkdir(parents=True)
        self.starts = 0

    def start(self, *before: str, settings: tuple[str, ...] = ()) -> tuple[Peer, str]:
        """Run it, and what it said when it was ready."""
        self.starts += 1
        log = self.folder.parent / f"start-{self.starts}.log"
        program = [*self.alone, *_LOOPBACK, *before, str(BIN / "twistd"), "-n", "--pidfile="]
        sets = [part for one in settings for part in ("--set", one)]
        peer = Peer(self, [*program, "smtpplus", *sets], log, self.folder)

        def said() -> bool:
            if peer.process.poll() is not None:
                raise AssertionError(log.read_text())
            return "play an outcome" in log.read_text()

        wait_for("the trial", said)
        return peer, log.read_text()

    def type_in(self, peer: Peer, line: str) -> str:
        """Type a command in a second terminal; what it prints."""
        done = subprocess.run(
            [needs("nsenter"), *([] if os.getuid() == 0 else ["-U", "--preserve-credentials"]),
             f"--net=/proc/{peer.process.pid}/ns/net", "sh", "-c", line],
            capture_output=True, text=True, cwd=self.folder, timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, f"{line}\n{done.stdout}{done.stderr}")
        return done.stdout

    def commands(self, said: str) -> list[str]:
        """The commands in a banner: what stands alone on an indented line."""
        found = re.findall(r"^  ((?:\S*smtpplus|printf) .*)$", said, re.MULTILINE)
        self.assertTrue(found, said)
        return [str(line) for line in found]

    def web(self, peer: Peer, said: str) -> str:
        """The status of the sign-in link."""
        found = re.search(r"Sign in +(\S+)", said)
        assert found is not None, said
        return self.type_in(peer, f"curl -s -o /dev/null -w '%{{http_code}}' {found[1]}")

    def test_the_first_and_the_second_start(self) -> None:
        needs("curl")
        peer, said = self.start()
        for word in ("http://127.0.0.1:8025", "127.0.0.1:2587 STARTTLS", "127.0.0.1:2465 TLS"):
            self.assertIn(word, said)
        self.assertRegex(said, r"User +s\d+_\d+\n +Secret +\S{20,}")
        self.assertEqual(self.web(peer, said), "200")
        send_test, curl = self.commands(said)
        self.assertRegex(self.type_in(peer, send_test), r"(?m)^you@example\.net  delivered: 250 ")
        self.type_in(peer, curl)
        program = send_test.split()[0]
        wait_for(
            "curl's mail", lambda: '"messages": 2' in self.type_in(peer, f"{program} stats --json")
        )
        peer.stop()
        self.assertIn("Server Shut Down", peer.log.read_text())

        peer, said = self.start()
        self.assertNotIn("Secret", said)
        self.assertEqual(self.web(peer, said), "200")
        (send_test,) = self.commands(said)
        self.assertRegex(self.type_in(peer, send_test), r"(?m)^you@example\.net  delivered: 250 ")
        self.assertIn('"messages": 3', self.type_in(peer, f"{program} stats --json"))

    def test_the_commands_hold_with_set(self) -> None:
        settings = ('submission.listen=["127.0.0.1:3587"]', "web.listen=127.0.0.1:3025")
        peer, said = self.start(settings=settings)
        self.assertEqual(self.web(peer, said), "200")
        for line in self.commands(said):
            self.type_in(peer, line)

    def test_an_ordinary_user_runs_it(self) -> None:
        if os.getuid() != 0:
            raise SkipTest("needs root to become somebody else")
        user = pwd.getpwnam(_USER)
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        open_way_to(self.folder)
        before = [needs("setpriv"), f"--reuid={_USER}", f"--regid={user.pw_gid}", "--clear-groups"]
        probe = [*before, str(BIN / "python"), "-c", "import smtpplus, twisted"]
        if subprocess.run(probe, capture_output=True, check=False).returncode:
            # Python or the checkout lies where only root reads: it may read, and nothing else.
            before += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
            before += ["--bounding-set=-all,+dac_read_search"]
        peer, said = self.start(*before)
        status = Path(f"/proc/{peer.process.pid}/status").read_text()
        self.assertIn(f"\nUid:\t{user.pw_uid}\t{user.pw_uid}\t", status)
        self.assertIn("delivered", self.type_in(peer, self.commands(said)[0]))
        data = self.folder / "smtpplus-data"
        self.assertEqual((data.stat().st_uid, data.stat().st_mode & 0o777), (user.pw_uid, 0o700))
        for path in data.rglob("*"):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)
