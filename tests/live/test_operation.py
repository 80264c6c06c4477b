"""A running service under an administrator's hands: reload, hold, privileges, probes, stop."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import smtplib
import socket
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted
from smtpplus.config import load
from smtpplus.installation import open_installation, run
from smtpplus.net.certificates import self_signed
from smtpplus.values.ids import parse_id
from smtpplus.values.message import DeliveryState
from tests.documents import ROOT
from tests.folders import folder_of
from tests.live.installation import BIN, Installation
from tests.live.peers import Peer, free_port, wait_for

_MAIL = "From: a@example.com\r\nTo: b@example.net\r\nSubject: x\r\n\r\nHello.\r\n"


class _Case(SynchronousTestCase):
    def installation(self, **settings: str) -> Installation:
        directory = folder_of(self)
        directory.mkdir()
        return Installation(
            self, directory, {key.replace("__", "."): value for key, value in settings.items()}
        )

    def logged(self, service: Installation, text: str) -> dict[str, Any]:
        """The first line of the log with `text`."""

        def lines() -> list[dict[str, Any]]:
            found = [json.loads(line) for line in service.log().splitlines() if line[:1] == "{"]
            return [line for line in found if text in line["text"]]

        wait_for(f"a log line with {text!r}", lambda: bool(lines()))
        return lines()[0]


class LogTests(_Case):
    def test_S17_a_message_and_each_outcome_have_a_line(self) -> None:
        service = self.installation()
        service.start()
        to = ["b@example.net", "bounce-5.1.1@example.net"]
        with service.client() as client:
            client.sendmail("a@example.com", to, _MAIL)
        wanted = ("accepted from a@example.com for", "delivered to b@", "bounced to bounce-5.1.1@")
        accepted, delivered, bounced = (self.logged(service, text) for text in wanted)
        self.assertEqual(accepted["recipients"], 2)
        for line in (accepted, delivered, bounced):
            self.assertEqual(line["message_id"], accepted["message_id"])
            self.assertEqual((line["user"], line["source"]), (service.username, "smtpplus.mail"))
        self.assertEqual((delivered["event"], delivered["status"]), ("delivered", "2.0.0"))
        self.assertIn("TLSv1.3", delivered["tls"])
        self.assertIn("550", bounced["reply"])
        report = self.logged(service, "accepted from <> for a@example.com")
        self.assertEqual(report["reports_on"], accepted["message_id"])


class ReloadTests(_Case):
    def edit(self, service: Installation, old: str, new: str) -> None:
        path = Path(service.facts["config"])
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new))

    def hang_up(self, service: Installation) -> None:
        os.kill(service.pid, signal.SIGHUP)

    def test_C3_a_good_one_holds_at_once_a_bad_one_is_refused(self) -> None:
        service = self.installation()
        service.start()
        self.edit(service, "[submission]", "[submission]\nmax_message_bytes = 70000")
        self.edit(service, '"localhost"', '"new.example"')
        self.hang_up(service)
        line = self.logged(service, "the configuration was read again")
        self.assertEqual(line["changed"], "submission.max_message_bytes")
        self.assertEqual(self.logged(service, "after a restart")["key"], "server.hostname")
        with service.client(sign_in=False) as client:
            self.assertEqual(client.esmtp_features["size"], "70000")
        self.edit(service, "max_message_bytes = 70000", 'max_message_bytes = "lots"')
        self.hang_up(service)
        line = self.logged(service, "is not used")
        number = (
            Path(service.facts["config"])
            .read_text()
            .splitlines()
            .index('max_message_bytes = "lots"')
            + 1
        )
        self.assertIn(f"smtpplus.toml:{number}: submission.max_message_bytes", line["error"])
        with service.client(sign_in=False) as client:
            self.assertEqual(client.esmtp_features["size"], "70000")
        self.assertEqual(service.tracebacks(), [])

    def test_T_certificates_are_read_again_and_a_bad_one_is_refused(self) -> None:
        service = self.installation()
        service.start()
        folder = Path(service.facts["config"]).parent

        def shown() -> bytes:
            with service.client(sign_in=False) as client:
                certificate: bytes = client.sock.getpeercert(True)  # type: ignore[union-attr]
            return certificate

        before = shown()
        certificate, key = self_signed("new.example", 1.8e9)
        (folder / "private_key.pem").write_bytes(key)
        self.hang_up(service)
        self.logged(service, "is not used")
        self.assertEqual(shown(), before)
        (folder / "certificate.pem").write_bytes(certificate)
        self.hang_up(service)
        self.logged(service, "the configuration was read again")
        self.assertNotEqual(shown(), before)


class QueueTests(_Case):
    def test_held_from_the_command_line_within_two_seconds_also_in_memory(self) -> None:
        service = self.installation(relay__concurrency="1")
        service.start()
        with service.client() as client:
            for local in ("slow", "b1", "b2"):
                client.sendmail("a@example.com", [f"{local}@example.net"], _MAIL)
        self.assertEqual(service.cli("queue", "hold", "--all")["deliveries"], 3)
        # b1 and b2 wait in memory behind slow, which is under way: none of them may go.
        wait_for("leases to go back", lambda: self._leased(service) == 1, 4)
        self.assertEqual(service.cli("queue"), {"queued": 0, "held": 3})
        waiting = {row["recipient"]: row["message"] for row in service.cli("queue", "list")}
        self.assertEqual(service.cli("queue", "cancel", waiting["b1@example.net"])["deliveries"], 1)
        service.cli("queue", "release", waiting["b2@example.net"])
        wait_for(
            "b2's delivery",
            lambda: self._state(service, waiting["b2@example.net"]) == "delivered",
            90,
        )
        self.assertEqual(self._state(service, waiting["b1@example.net"]), "cancelled")

    def _leased(self, service: Installation) -> int:
        return sum(row["in_delivery"] for row in service.cli("queue", "list"))

    def _state(self, service: Installation, message: str) -> str:
        (row,) = service.cli("message", "show", message)["deliveries"]
        return str(row["state"])


class BackupTests(_Case):
    def test_C7_a_copy_taken_under_load_restores_and_drains(self) -> None:
        # Nothing is delivered while the copy is taken: all that was accepted has to be in it.
        service = self.installation(relay__routes='{"*" = "127.0.0.1:1"}')
        service.start()
        before: list[str] = []
        taken = threading.Event()
        threads = [threading.Thread(target=self._send, args=(service, before, taken)) for _ in "ab"]
        for thread in threads:
            thread.start()
        wait_for("traffic", lambda: len(before) > 60)
        accepted = list(before)
        file = service.directory / "backup.tar"
        made = service.cli("backup", str(file))
        self.assertGreaterEqual(made["waiting"], len(accepted))
        self.assertGreater(made["files"], 0)
        taken.set()
        for thread in threads:
            thread.join()
        self.assertGreater(len(before), len(accepted))
        service.stop()
        self.assertEqual(service.tracebacks(), [])

        restored = self.installation(relay__retry='["1s"]')
        config = Path(restored.facts["config"])
        shutil.rmtree(config.parent)
        found = service.cli("restore", str(file), "--to", str(config.parent))
        self.assertEqual(found["missing_files"], 0)
        self.assertEqual(found["waiting"], made["waiting"])
        restored.cli("queue", "flush", "--all")
        restored.start()
        wait_for("the queue to drain", lambda: restored.cli("queue")["queued"] == 0, 60)
        with open_installation(load(config)) as opened:
            for identifier in accepted:
                row = run(opened.history.message(None, parse_id(identifier) or 0))
                assert row is not None, identifier
                self.assertEqual(row.states, {DeliveryState.DELIVERED: 1}, identifier)
        self.assertEqual(restored.tracebacks(), [])

    def _send(self, service: Installation, ids: list[str], stop: threading.Event) -> None:
        large = _MAIL + "x" * 70 + ("\r\n" + "x" * 70) * 2500
        with service.client() as client:
            number = 0
            while not stop.is_set():
                number += 1
                client.mail("a@example.com")
                client.rcpt("b@example.net")
                _, text = client.data(large if number % 10 == 0 else _MAIL)
                ids.append(text.decode().split()[-1])


class ProbeTests(_Case):
    def test_metrics_health_and_readiness(self) -> None:
        service = self.installation()
        service.start()
        with service.client() as client:
            client.sendmail("a@example.com", ["b@example.net"], _MAIL)
        wait_for("delivery", lambda: "smtpplus_delivered_total 1.0" in self.get(service, "metrics"))
        page = self.get(service, "metrics")
        for wanted in (
            "smtpplus_accepted_total 1.0",
            'smtpplus_queue{state="queued"} 0.0',
            "smtpplus_store_up 1.0",
            "smtpplus_commit_requests_count",
            f'smtpplus_connections{{listener="127.0.0.1:{service.submission}"}} 0.0',
            'smtpplus_workers_unfinished{pool="signing"} 0.0',
            "process_open_fds",
        ):
            self.assertIn(wanted, page)
        self.assertEqual(self.get(service, "healthz"), "ok\n")
        self.assertEqual(json.loads(self.get(service, "readyz")), {"ready": True, "missing": {}})

    def test_D12_while_it_stops_it_is_not_ready_and_a_slow_attempt_does_not_keep_it(self) -> None:
        service = self.installation()
        service.start()
        with service.client() as client:
            client.sendmail("a@example.com", ["slow@example.net"], _MAIL)
            client.sendmail("a@example.com", ["b@example.net"], _MAIL)
        status, seconds = service.stop()
        self.assertIn(status, {0, -signal.SIGTERM})  # twistd ends by the signal it got
        self.assertLess(seconds, 30)
        sizes = service.cli("queue")
        self.assertEqual(sizes["queued"] + service.delivered(), 2)
        rows = service.cli("queue", "list")
        self.assertEqual([row["in_delivery"] for row in rows], [False] * len(rows))

    def get(self, service: Installation, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.web}/{path}", timeout=5) as answer:
            return str(answer.read().decode())


class PrivilegeTests(SynchronousTestCase):
    """``twistd --uid``: ports as root, everything else as somebody who is nobody."""

    if os.geteuid() != 0:
        skip = "only root can become somebody else"

    def test_low_ports_are_bound_and_the_files_belong_to_the_user(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="smtpplus"))  # trial's are not for others to enter
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o755)
        service = Installation(self, folder)
        nobody = pwd.getpwnam("nobody")
        low = next(port for port in range(600, 1000) if self._is_free(port))
        web = free_port()
        command = [
            *(*self._python(), str(BIN / "twistd"), "-n", "--pidfile=", "--uid", "nobody"),
            *(f"--logfile={folder / 'log'}", "smtpplus", *service.options),
            *(
                "--set",
                f"submission.listen=127.0.0.1:{low}",
                "--set",
                f"web.listen=127.0.0.1:{web}",
            ),
        ]
        outside = folder / "outside"
        outside.write_text("root's own")
        (folder / "service" / "queue" / "trap").symlink_to(outside)
        peer = Peer(self, command, folder / "output")
        wait_for("a greeting", lambda: self._greets(low))
        status = Path(f"/proc/{peer.process.pid}/status").read_text()
        self.assertIn(f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}", status)
        data = folder / "service"
        owners = {path: path.lstat().st_uid for path in [data, *data.rglob("*")]}
        trap = owners.pop(data / "queue" / "trap")
        self.assertEqual(set(owners.values()), {nobody.pw_uid}, owners)
        self.assertEqual((trap, outside.stat().st_uid), (0, 0))
        peer.process.send_signal(signal.SIGTERM)
        self.assertIn(peer.process.wait(30), {0, -signal.SIGTERM})

    def _python(self) -> list[str]:
        """An interpreter whose library others than root can read, with our packages."""
        if all(parent.stat().st_mode & 0o5 == 0o5 for parent in Path(os.__file__).parents):
            return [sys.executable]
        packages = [str(ROOT), str(Path(twisted.__file__).parent.parent)]
        return ["env", f"PYTHONPATH={':'.join(packages)}", "/usr/bin/python3"]

    def _is_free(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    def _greets(self, port: int) -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=2) as client:
                return client.ehlo()[0] == 250
        except OSError:
            return False
