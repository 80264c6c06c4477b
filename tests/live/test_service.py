"""The running service: it ends and dies well, and does what an administrator tells it.

D1, D12, D13, D16, T8, the 2 s within which a command holds, the sandbox's outcomes, printers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.certificates import self_signed
from tests.folders import folder_of
from tests.live.installation import Installation, trusting
from tests.live.peers import free_port, needs, wait_for
from tests.live.recorder import Recorder

_FROM = "shop@example.com"
_HOLDS_SECONDS = 2.0  # within which a change by a command holds
_IN_FLIGHT = 10  # deliveries at once to one destination: relay.concurrency


def a_mail(name: str, octets: int = 500) -> bytes:
    """A message that is like no other."""
    line = hashlib.sha256(name.encode()).hexdigest().encode() + b"\r\n"
    head = f"From: {_FROM}\r\nSubject: {name}\r\nMessage-ID: <{name}@example.com>\r\n\r\n".encode()
    return head + line * (octets // len(line) + 1)


class LiveTestCase(SynchronousTestCase):
    """A folder, and services in it."""

    def setUp(self) -> None:
        self.directory = folder_of(self)
        self.directory.mkdir(parents=True)

    def installed(self, port: int | None = None, **settings: str) -> Installation:
        """An installation that delivers example.net to `port`; it is not started."""
        chosen = {key.replace("__", "."): value for key, value in settings.items()}
        if port is not None:
            chosen["relay.routes"] = f'{{"example.net" = "127.0.0.1:{port}"}}'
        return Installation(self, self.directory, chosen)


def _wait(gate: threading.Event) -> None:
    gate.wait(20)


class Submitters:
    """Threads that submit messages one after the other, and note which of them got 250."""

    def __init__(self, service: Installation, names: list[str], threads: int = 4) -> None:
        self.accepted: set[str] = set()
        self._service = service
        self._names = names
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until all have ended."""
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        # The service dies under them.
        with contextlib.suppress(OSError, smtplib.SMTPException, IndexError):
            client = self._service.client()
            while True:
                name = self._names.pop()
                client.sendmail(_FROM, [f"{name}@example.net"], a_mail(name))
                self.accepted.add(name)


class CrashTests(LiveTestCase):
    """What got 250 arrives, whatever happens to the process."""

    def test_D1_D2_D16_killed_during_a_run_of_200(self) -> None:
        recorder = Recorder(self, before_reply=lambda _: time.sleep(0.01))
        service = self.installed(recorder.port, relay__retry='["1s"]')
        service.start()
        names = [f"n{number}" for number in range(200)]
        accepted: set[str] = set()
        kills = 0
        while names:
            run = Submitters(service, names)
            wanted = 40 + 7 * kills
            wait_for("progress", lambda: len(run.accepted) >= wanted or not names)  # noqa: B023
            if names:
                service.kill()
                kills += 1
            run.wait()
            accepted |= run.accepted
            if names:
                service.start()
        self.assertGreaterEqual(kills, 2)
        service.kill()
        kills += 1
        service.start()
        wait_for("an empty queue", lambda: not service.cli("queue", "list"), 60)
        times = Counter(one.to.partition("@")[0] for one in recorder.mails)
        self.assertEqual(accepted - set(times), set())
        self.assertLessEqual(sum(times.values()) - len(times), kills * _IN_FLIGHT)
        for one in recorder.mails:
            name = one.to.partition("@")[0]
            self.assertTrue(one.content.endswith(a_mail(name).partition(b"\r\n\r\n")[2]), name)
        (row,) = service.cli("stats")
        self.assertEqual(row["accepted"], row["delivered"])
        self.assertEqual(row["accepted"], len(times))
        print(f"{kills} kills, {len(accepted)} got 250, {sum(times.values())} arrived")

    def test_D12_stopped_with_messages_under_way(self) -> None:
        gate = threading.Event()
        recorder = Recorder(self, before_reply=lambda _: _wait(gate))
        service = self.installed(recorder.port)
        service.start()
        self.addCleanup(gate.set)
        with service.client() as client:
            for number in range(20):
                client.sendmail(_FROM, [f"q{number}@example.net"], a_mail(f"q{number}"))
        wait_for("deliveries under way", lambda: bool(service.cli("queue", "list")))
        open_ones = [self._half_sent(service, f"h{number}") for number in range(4)]
        idle = service.client()
        stopper: list[tuple[int, float]] = []
        thread = threading.Thread(target=lambda: stopper.append(service.stop()))
        thread.start()
        self.assertEqual(idle.getreply()[0], 421)
        for again in (signal.SIGTERM, signal.SIGINT):  # change nothing
            os.kill(service.pid, again)
        idle.close()  # the service waits for it 10 s, then it closes itself
        gate.set()
        codes = []
        for client in open_ones:
            client.send(b"the end\r\n.\r\n")
            codes.append(client.getreply()[0])
            client.close()
        thread.join(40)
        ((status, seconds),) = stopper
        self.assertEqual(status, -signal.SIGTERM)  # how twistd ends when all is shut down
        self.assertIn("Server Shut Down", service.log())
        self.assertNotIn("ReactorNotRunning", service.log())
        self.assertLess(seconds, 30.0)
        self.assertEqual(codes, [250] * 4)
        service.start()
        wait_for("delivery", lambda: len(recorder) >= 24)
        wait_for("an empty queue", lambda: not service.cli("queue", "list"))
        wanted = {f"q{n}@example.net" for n in range(20)} | {f"h{n}@example.net" for n in range(4)}
        self.assertEqual(Counter(one.to for one in recorder.mails), Counter(wanted))
        print(f"stopped in {seconds:.1f} s")

    def _half_sent(self, service: Installation, name: str) -> smtplib.SMTP:
        client = service.client()
        client.mail(_FROM)
        client.rcpt(f"{name}@example.net")
        self.assertEqual(client.docmd("DATA")[0], 354)
        client.send(a_mail(name))
        return client


class StartTests(LiveTestCase):
    """What keeps a service from starting is said in one line."""

    def _refused(self, command: list[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        said = [line for line in done.stderr.splitlines() if line.strip()]
        self.assertEqual(len(said), 1, done.stderr)
        self.assertNotIn("Traceback", done.stdout)
        return said[0]

    def test_D13_a_second_service_on_the_same_store(self) -> None:
        service = self.installed()
        service.start()
        others = [f'submission.listen=["127.0.0.1:{free_port()}"]', "submission.listen_tls=[]"]
        others.append(f'web.listen="127.0.0.1:{free_port()}"')
        sets = [part for one in others for part in ("--set", one)]
        said = self._refused([*service.command, *sets])
        self.assertIn(str(self.directory / "service"), said)
        self.assertRegex(said, r"(?i)already|another|in use|runs")
        service.client().quit()

    def test_a_store_that_is_gone_is_not_made_anew_unasked(self) -> None:
        for deliver in ("internet", "sandbox"):
            service = self.installed(relay__deliver=deliver)
            (path,) = self.directory.rglob("smtpplus.sqlite3")
            octets = path.read_bytes()
            path.write_bytes(b"")
            self.assertIn(f"{path} is empty", self._refused(service.command))
            path.unlink()
            said = self._refused(service.command)
            self.assertIn(f"{path} is missing", said)
            self.assertIn("smtpplus restore", said)
            self.assertFalse(path.exists())
            path.write_bytes(octets)
            service.start()
            service.stop()

    def test_a_port_in_use(self) -> None:
        service = self.installed()
        with socket.create_server(("127.0.0.1", service.submission)):
            said = self._refused(service.command)
        self.assertIn(f"127.0.0.1:{service.submission}", said)
        with socket.create_server(("127.0.0.1", service.web)):
            said = self._refused(service.command)
        self.assertIn(str(service.web), said)
        service.start()  # what was opened before is closed again


class AdministrationTests(LiveTestCase):
    """Commands and files from outside hold in the running service."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder(self)
        self.service = self.installed(self.recorder.port)
        self.service.start()

    def holds(self, condition: Callable[[], bool]) -> None:
        """Within the promised time, counted from the command's end."""
        wait_for("the change", condition, _HOLDS_SECONDS)

    def code_of_mail(self, client: smtplib.SMTP) -> int:
        code, _ = client.mail(_FROM)
        client.rset()
        return code

    def signs_in(self, password: str) -> bool:
        with self.service.client(sign_in=False) as client:
            try:
                client.login(self.service.username, password)
            except smtplib.SMTPAuthenticationError:
                return False
        return True

    def test_a_user_switched_off_and_on(self) -> None:
        client, user = self.service.client(), self.service.username
        self.assertEqual(self.code_of_mail(client), 250)
        self.service.cli("user", "set", user, "status", "off")
        self.holds(lambda: self.code_of_mail(client) == 550)
        self.assertFalse(self.signs_in(self.service.password))
        self.service.cli("user", "set", user, "status", "active")
        self.holds(lambda: self.code_of_mail(client) == 250)

    def test_a_new_secret(self) -> None:
        new = self.service.cli("user", "secret", self.service.username)["password"]
        self.holds(lambda: self.signs_in(new))
        self.assertFalse(self.signs_in(self.service.password))

    def test_a_limit(self) -> None:
        client = self.service.client()
        client.sendmail(_FROM, ["a@example.net"], a_mail("a"))
        self.service.cli("user", "set", self.service.username, "limit_hour", "1")
        self.holds(lambda: self.code_of_mail(client) in {450, 451, 452})

    def test_a_new_user_and_domain(self) -> None:
        made = self.service.cli("user", "add", "default", "--domain", "new.example")
        self.service.cli("domain", "add", "trial", "new.example")
        self.service.cli("domain", "verify", "new.example", "--force")
        self.service.username, self.service.password = made["username"], made["password"]
        self.holds(lambda: self.signs_in(made["password"]))
        client = self.service.client()

        def taken() -> bool:
            code, _ = client.mail("a@new.example")
            client.rset()
            return code == 250

        self.holds(taken)
        client.sendmail(
            "a@new.example", ["b@example.net"], a_mail("x").replace(b"example.com", b"new.example")
        )
        wait_for("delivery", lambda: len(self.recorder) == 1)
        self.assertIn(b" d=new.example;", self.recorder.mails[0].content.replace(b"\r\n", b""))
        with self.assertRaises(smtplib.SMTPSenderRefused):
            client.sendmail(_FROM, ["b@example.net"], a_mail("x"))

    def test_T8_certificate_files_that_are_replaced(self) -> None:
        old = self.service.client()
        folder = self.directory / "service"
        new = [*self_signed("new.example", time.time())]
        for name, content in zip(("certificate.pem", "private_key.pem"), new, strict=True):
            (folder / f"{name}.new").write_bytes(content)
            (folder / f"{name}.new").rename(folder / name)
        wanted = ssl.PEM_cert_to_DER_cert(new[0].decode())
        wait_for("the new certificate", lambda: self._certificate() == wanted, 10)
        self.assertEqual(self.code_of_mail(old), 250)

    def _certificate(self) -> bytes | None:
        address = ("127.0.0.1", self.service.submission_tls)
        with (
            socket.create_connection(address, 10) as plain,
            trusting().wrap_socket(plain) as secured,
        ):
            return secured.getpeercert(binary_form=True)

    def test_printers_submit_from_their_network(self) -> None:
        source = needs("smtp-source")
        where = f"127.0.0.1:{self.service.submission}"
        command = [source, "-m", "20", "-s", "4", "-l", "4000", "-f", _FROM, "-t"]
        command += ["scan@example.net", where]
        refused = subprocess.run(command, capture_output=True, timeout=30, check=False)
        self.assertIn(b"530", refused.stderr + refused.stdout)
        self.service.cli("user", "set", self.service.username, "networks", "127.0.0.1/32")

        def sent() -> bool:
            done = subprocess.run(command, capture_output=True, timeout=30, check=False)
            return done.returncode == 0

        self.holds(sent)
        wait_for("delivery", lambda: len(self.recorder) == 20)
        self.assertEqual({one.to for one in self.recorder.mails}, {"scan@example.net"})


class SandboxTests(LiveTestCase):
    """The addresses play what the README says, and every command tells the same of it."""

    def test_outcomes_as_documented(self) -> None:
        service = self.installed(relay__retry='["1s"]')
        service.start()
        plays = {
            "slow": ("queued", 0, ""),  # for half a minute
            "you": ("delivered", 1, "250"),
            "bounce-5.1.1": ("bounced", 1, "550 5.1.1"),
            "bounce-5.2.2": ("bounced", 1, "552 5.2.2"),
            "defer-2": ("delivered", 3, "250"),
            "tls-fail": ("delivered", 1, "250"),
            "bounce-4.2.2": ("queued", 2, "452 4.2.2"),
            "full": ("queued", 2, "452 4.2.2"),
            "drop": ("queued", 2, ""),
        }
        ids = {}
        with service.client() as client:
            for local in plays:
                client.mail(_FROM)
                client.rcpt(f"{local}@example.net")
                _, text = client.data(a_mail(local))
                ids[local] = text.decode().split()[-1]
        (slow,) = service.cli("queue", "show", ids["slow"])
        self.assertEqual((slow["in_delivery"], slow["attempts"]), (True, 0))
        for local, (state, attempts, reply) in plays.items():

            def is_so(local: str = local, wanted: tuple[str, int] = (state, attempts)) -> bool:
                (row,) = service.cli("message", "show", ids[local])["deliveries"]
                return (row["state"], min(row["attempts"], wanted[1])) == wanted

            wait_for(f"{local} {state}", is_so, 15)
            story = service.cli("message", "show", ids[local])
            (row,) = story["deliveries"]
            self.assertTrue((row["reply"] or "").startswith(reply), f"{local}: {row}")
            if state != "queued":
                self.assertEqual(row["attempts"], attempts, local)
                self.assertEqual(len(story["attempts"]), attempts, local)
        self._waits(service, ids, plays)
        self._adds_up(service)
        self.assertEqual(service.tracebacks(), [])

    def _waits(self, service: Installation, ids: dict[str, str], plays: dict[str, Any]) -> None:
        waiting = {local for local, played in plays.items() if played[0] == "queued"} - {"slow"}
        rows = {row["message"] for row in service.cli("queue", "list")} - {ids["slow"]}
        self.assertEqual(rows, {ids[local] for local in waiting})
        for local in waiting:
            (row,) = service.cli("queue", "show", ids[local])
            self.assertEqual(row["recipient"], f"{local}@example.net")

    def _adds_up(self, service: Installation) -> None:
        """The counters, the queue and the reports of the two bounces say the same."""
        wait_for("the slow one", lambda: len(service.cli("queue", "list")) == 3, 60)
        (row,) = service.cli("stats")
        self.assertEqual((row["bounced"], row["expired"], row["cancelled"]), (2, 0, 0))
        over = row["delivered"] + row["bounced"]
        self.assertEqual(row["accepted"], over + len(service.cli("queue", "list")))
        for by in ("user", "list"):
            rows = service.cli("stats", "--by", by)
            for metric in ("messages", "accepted", "delivered", "bounced"):
                self.assertEqual(sum(one[metric] for one in rows), row[metric], f"{by} {metric}")
