"""What the running service takes from strangers and broken clients: S, T, A and R by number."""

from __future__ import annotations

import contextlib
import json
import os
import re
import smtplib
import socket
import struct
import threading
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import folder_of
from tests.live.installation import Installation
from tests.live.peers import wait_for
from tests.live.recorder import Recorder
from tests.submission.test_relaying import relay_probes

_FROM = "shop@example.com"
_HEAD = b"From: shop@example.com\r\nSubject: x\r\n\r\n"
# promises.md S1: what some servers take for the end of the message.
_VECTORS = (
    b"\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n",
)  # fmt: skip
_SMUGGLED = (
    b"MAIL FROM:<smuggled@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n"
    b"From: smuggled@example.com\r\n\r\nsmuggled\r\n.\r\n"
)
_MIB = 1 << 20


class HostileTestCase(SynchronousTestCase):
    """A service whose every delivery, to whatever domain, ends at a recorder."""

    def setUp(self) -> None:
        self.directory = folder_of(self)
        self.directory.mkdir(parents=True)
        self.recorder = Recorder(self)
        self.service = Installation(
            self, self.directory, {"relay.routes": f'{{"*" = "127.0.0.1:{self.recorder.port}"}}'}
        )
        self.service.start()

    def nothing_was_relayed(self) -> None:
        """Neither accepted, nor waiting, nor arrived; and nobody was shaken."""
        self.assertEqual(self.service.cli("stats"), [])
        self.assertEqual(self.service.cli("queue", "list"), [])
        self.assertEqual(self.recorder.mails, [])
        self.log_is_sound()

    def log_is_sound(self) -> None:
        """S17: each line of the log is one JSON object; no fault of ours is in it."""
        log = self.service.log()
        self.assertNotIn("Traceback", log)
        self.assertIsNone(re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", log))
        lines = log[: log.index("\nsmtpplus is running")].splitlines()
        lines += [line for line in log.splitlines() if line.startswith("{")]
        for line in lines:
            self.assertIsInstance(json.loads(line), dict)

    def plain(self) -> socket.socket:
        """A connection to the STARTTLS port, greeted."""
        wire = socket.create_connection(("127.0.0.1", self.service.submission), 10)
        self.addCleanup(wire.close)
        self.assertEqual(wire.recv(1000)[:3], b"220")
        return wire


def all_of(wire: socket.socket) -> bytes:
    """What comes until the other side closes."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while octets := wire.recv(65_536):
            said += octets
    return said


class SmugglingTests(HostileTestCase):
    """S1, S7, T1, SM5."""

    def test_S1_only_crlf_dot_crlf_ends_a_message(self) -> None:
        taken = 0
        for implicit in (False, True):
            for vector in _VECTORS:
                for way in ("whole", "octets", "pipelined"):
                    client = self.service.client(implicit=implicit)
                    self._open(client)
                    content = _HEAD + b"x" + vector + _SMUGGLED
                    if way == "octets":
                        middle = len(_HEAD)
                        client.send(content[:middle])
                        for at in range(middle, middle + len(vector) + 3):
                            client.send(content[at : at + 1])
                        client.send(content[middle + len(vector) + 3 :])
                    else:
                        client.send(content + (b"NOOP\r\n" if way == "pipelined" else b""))
                    code, _ = client.getreply()
                    self.assertIn(code, {250, 550, 554}, f"{vector!r} {way}")
                    taken += code == 250
                    if way == "pipelined":
                        self.assertEqual(client.getreply()[0], 250)
                    # Were a smuggled command run, its reply would come here.
                    self.assertEqual(client.quit()[0], 221, f"{vector!r} {way}")
        wait_for("delivery", lambda: len(self.recorder) >= taken)
        self.assertEqual({one.to for one in self.recorder.mails}, {"ok@example.net"})
        self.assertEqual(len(self.recorder), taken)
        self.assertEqual(self.recorder.faults, [])
        self.log_is_sound()

    def _open(self, client: smtplib.SMTP) -> None:
        client.mail(_FROM)
        client.rcpt("ok@example.net")
        self.assertEqual(client.docmd("DATA")[0], 354)

    def test_S7_T1_octets_in_the_clear_behind_starttls(self) -> None:
        injected = b"EHLO evil.example\r\nMAIL FROM:<shop@example.com>\r\n"
        for apart in (False, True):
            wire = self.plain()
            wire.sendall(b"EHLO x\r\n")
            wire.recv(2000)
            if apart:
                wire.sendall(b"STARTTLS\r\n")
                self.assertEqual(wire.recv(1000)[:3], b"220")
                wire.sendall(injected)
                said = all_of(wire)
            else:
                wire.sendall(b"STARTTLS\r\n" + injected)
                said = all_of(wire)
                self.assertIn(said[:3], {b"", b"503", b"554"}, said)
            self.assertNotIn(b"250", said)
            self.assertNotIn(b"530", said)  # the reply of a MAIL that was run
        self.nothing_was_relayed()

    def test_S7_a_refused_data_is_not_followed_by_commands(self) -> None:
        wire = self.plain()
        for name in (b"x\x1b[31m\xe2\x80\xae", b"x"):  # S17
            wire.sendall(b"EHLO " + name + b"\r\n")
            wire.recv(2000)
        wire.sendall(
            b"MAIL FROM:<shop@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
            + _HEAD + b"RSET\r\nNOOP\r\n.\r\n"
        )  # fmt: skip
        codes = [line[:3] for line in all_of(wire).splitlines() if line[3:4] == b" "]
        self.assertEqual(codes, [b"530", b"503", b"554"])
        self.nothing_was_relayed()


class RelayTests(HostileTestCase):
    """A1, T9."""

    def _probe(self, client: smtplib.SMTP, sender: str, recipient: str, author: str) -> None:
        client.docmd("MAIL", f"FROM:<{sender}>")
        client.docmd("RCPT", f"TO:<{recipient}>")
        if client.docmd("DATA")[0] == 354:
            client.send(f"From: {author}\r\n\r\nx\r\n.\r\n".encode())
            client.getreply()
        client.close()

    def test_A1_sixteen_probes_of_strangers_and_of_another_tenant(self) -> None:
        self.service.cli("account", "add", "victim")
        self.service.cli("list", "add", "victim", "theirs")
        self.service.cli("domain", "add", "victim", "victim.example")
        self.service.cli("domain", "verify", "victim.example", "--force")
        for sender, recipient in relay_probes("localhost", "127.0.0.1"):
            for implicit, tls in ((False, False), (False, True), (True, True)):
                client = self.service.client(implicit=implicit, tls=tls, sign_in=False)
                self._probe(client, sender, recipient, _FROM)
            client = self.service.client()
            self._probe(client, sender, recipient, "antispam@victim.example")
        self.nothing_was_relayed()

    def test_T9_a_thousand_truncated_messages(self) -> None:
        """Cut in the clear and in TLS without close_notify, by FIN and by RST."""
        self.service.cli("user", "set", self.service.username, "networks", "127.0.0.1/32")

        def is_let_in() -> bool:
            with self.service.client(implicit=False, tls=False, sign_in=False) as client:
                return client.mail(_FROM)[0] == 250

        wait_for("the network", is_let_in, 5)
        large = _HEAD + b"x" * 78 * 3000  # beyond what is kept in memory
        small = _HEAD + b"text\r\n"
        jobs = [(number, small + b".\r"[: number % 3]) for number in range(980)]
        jobs += [(number, large) for number in range(980, 1000)]

        def work() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    self._cut_off(*jobs.pop())

        threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(jobs, [])
        queue = self.directory / "service" / "queue"
        wait_for("an empty queue directory", lambda: not self._contents(queue), 10)
        self.nothing_was_relayed()

    def _cut_off(self, number: int, content: bytes) -> None:
        with_tls = number % 5 == 0
        client = self.service.client(implicit=with_tls, tls=False, sign_in=False)
        client.mail(_FROM)
        client.rcpt("b@example.net")
        assert client.docmd("DATA")[0] == 354
        client.send(content)
        assert client.sock is not None
        wire = socket.socket(fileno=client.sock.detach())
        if number % 2:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()

    def _contents(self, queue: Path) -> list[Path]:
        files = [path for path in queue.rglob("*") if path.is_file()]
        ours = {"reserve"}  # room for outcomes on a full disk
        names = [path for path in files if path.name not in ours and "sqlite" not in path.name]
        return [path for path in names if path.stat().st_size > 1000]


class ResourceTests(HostileTestCase):
    """S5, R2, R4, and what a large attachment costs."""

    def setUp(self) -> None:
        super().setUp()
        with self.service.client() as client:  # what is made at first use is made now
            client.sendmail(_FROM, ["warm@example.net"], _HEAD + b"x" * 78 * 20_000)
        wait_for("the first mail", lambda: len(self.recorder) == 1)

    def test_S5_100_mib_without_a_line_end(self) -> None:
        junk = b"x" * _MIB
        for _ in range(2):  # the first time warms up
            before = self.service.memory_kib()
            wire = self.plain()
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 100 * _MIB:
                    wire.sendall(junk)
                    sent += len(junk)
            wire.close()
            growth = self.service.memory_kib() - before
        self.assertLess(sent, 16 * _MIB)  # what the kernel's buffers take
        self.assertLessEqual(growth, 1024)
        print(f"{sent >> 20} MiB went out, {growth} KiB more")
        self.log_is_sound()

    def test_R4_a_client_that_does_not_read(self) -> None:
        before = self.service.memory_kib()
        wire = socket.socket()
        self.addCleanup(wire.close)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect(("127.0.0.1", self.service.submission))
        wire.settimeout(10)
        with contextlib.suppress(OSError):
            wire.sendall(b"EHLO x\r\n")
            wire.sendall(b"NOOP\r\n" * 1_000_000)
        self.assertLess(self.service.memory_kib() - before, 2 * 1024)
        with self.service.client() as client:
            self.assertEqual(client.noop()[0], 250)
        self.log_is_sound()

    def test_R2_connections_of_one_address(self) -> None:
        wires = [self.plain() for _ in range(50)]
        late = socket.create_connection(("127.0.0.1", self.service.submission), 10)
        self.addCleanup(late.close)
        self.assertEqual(all_of(late)[:9], b"421 4.7.0")
        for wire in wires:
            wire.close()

        def greeted() -> bool:
            with socket.create_connection(("127.0.0.1", self.service.submission), 10) as wire:
                return wire.recv(1000)[:3] == b"220"

        wait_for("room again", greeted, 5)
        self.log_is_sound()

    def test_four_20_mib_messages_at_once(self) -> None:
        """Both ways, over TLS in: not more than 2 MiB for each of the eight conversations."""
        line = os.urandom(48).hex()[:76].encode() + b"\r\n"
        content = _HEAD + line * (20 * _MIB // len(line))
        self._send(content, 1)  # warms up
        wait_for("the second mail", lambda: len(self.recorder) == 2, 60)
        before = self.service.memory_kib()
        self.service.forget_peak()
        begin = time.monotonic()
        self._send(content, 4)
        wait_for("delivery", lambda: len(self.recorder) == 6, 60)
        growth = self.service.memory_kib(peak=True) - before
        print(f"{growth} KiB at most, {time.monotonic() - begin:.1f} s")
        self.assertLessEqual(growth, 8 * 2 * 1024)
        for one in self.recorder.mails[1:]:
            self.assertTrue(one.content.endswith(content[-20 * _MIB // 2 :]))
        self.log_is_sound()

    def _send(self, content: bytes, count: int) -> None:
        def one() -> None:
            with self.service.client() as client:
                client.sendmail(_FROM, ["big@example.net"], content)

        threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
