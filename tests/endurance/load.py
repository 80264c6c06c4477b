"""Clients that submit from a network that may: many at once, pipelined, in threads.

What got its final 250 is in `accepted`; what was sent to the last octet without an answer is in
`unknown`. A message's body is made from its name, so that who has the name knows every octet.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["SENDER", "Load", "Mail", "Talk", "body_of", "conversation"]

SENDER = "shop@example.com"
_LINE = 64


@dataclass(frozen=True, slots=True)
class Mail:
    """One submission; its recipients' local parts begin with its name.

    `is_dense`: its body cannot be compressed much.
    """

    name: str
    recipients: int = 1
    octets: int = 600
    domains: tuple[str, ...] = ("example.net",)
    is_dense: bool = False

    @property
    def addresses(self) -> list[str]:
        """Of its recipients."""
        return [
            f"{self.name}.{number}@{self.domains[number % len(self.domains)]}"
            for number in range(self.recipients)
        ]

    def content(self) -> bytes:
        """All of it, dots not stuffed (no line begins with one)."""
        head = (
            f"From: {SENDER}\r\nTo: undisclosed:;\r\nSubject: {self.name}\r\n"
            f"Message-ID: <{self.name}@example.com>\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n\r\n"
        )
        body = dense_body_of if self.is_dense else body_of
        return head.encode() + body(self.name, self.octets)


def body_of(name: str, octets: int) -> bytes:
    """The body of the message `name`."""
    line = hashlib.sha256(name.encode()).hexdigest().encode() + b"\r\n"
    return line * max(octets // _LINE, 1)


def dense_body_of(name: str, octets: int) -> bytes:
    """The same, which no store makes much shorter."""
    lines = max(octets // _LINE, 1)
    text = base64.b64encode(random.Random(name).randbytes(48 * lines))
    return b"".join([text[at : at + 64] + b"\r\n" for at in range(0, len(text), 64)])


class Talk:
    """One connection: sends, and reads replies."""

    def __init__(self, port: int, seconds: float) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""

    def replies(self, number: int) -> list[str]:
        """The next replies, the last line of each."""
        found: list[str] = []
        while len(found) < number:
            while b"\n" not in self._held:
                octets = self.socket.recv(65_536)
                if not octets:
                    raise ConnectionResetError("closed")
                self._held += octets
            line, _, self._held = self._held.partition(b"\n")
            if line[3:4] != b"-":
                found.append(line.decode(errors="replace").strip())
        return found


def conversation(port: int, seconds: float = 60.0) -> Talk:
    """A connection that has said EHLO.

    Raises:
        OSError: no connection, or another greeting than 220.
    """
    talk = Talk(port, seconds)
    greeting = talk.replies(1)[0]
    if not greeting.startswith("220"):
        talk.socket.close()
        raise ConnectionRefusedError(greeting)
    talk.socket.sendall(b"EHLO load.test\r\n")
    talk.replies(1)
    return talk


@dataclass
class Load:
    """`mails` on their way into the port, by `threads` clients.

    `patient`: a refused or lost message is sent again, until it is taken or `stop` is called.
    """

    port: int
    mails: list[Mail]
    threads: int = 8
    patient: bool = False
    timeout: float = 60.0
    accepted: dict[str, Mail] = field(default_factory=dict)
    unknown: dict[str, Mail] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    queue_ids: dict[str, str] = field(default_factory=dict)  # name by what the 250 called it
    taken_at: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)
    on_accepted: Callable[[Mail], None] | None = None
    _running: list[threading.Thread] = field(default_factory=list)
    _stopped: bool = False

    def start(self) -> Load:
        """Begin."""
        self._running = [
            threading.Thread(target=self._run, daemon=True) for _ in range(self.threads)
        ]
        for thread in self._running:
            thread.start()
        return self

    def wait(self, seconds: float = 120.0) -> Load:
        """Until all clients have ended."""
        deadline = time.monotonic() + seconds
        for thread in self._running:
            thread.join(max(deadline - time.monotonic(), 0.0))
        assert not any(thread.is_alive() for thread in self._running), "clients hang"
        return self

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True

    @property
    def is_running(self) -> bool:
        """Does a client still send?"""
        return any(thread.is_alive() for thread in self._running)

    def codes(self) -> set[str]:
        """Code and enhanced code of what was refused."""
        return {" ".join(reply.split()[:2]) for reply in self.refused}

    def _run(self) -> None:
        talk: Talk | None = None
        while not self._stopped:
            try:
                mail = self.mails.pop()
            except IndexError:
                break
            taken = False
            try:
                talk = talk or conversation(self.port, self.timeout)
                taken = self._submit(talk, mail)
            except OSError:
                if talk is not None:
                    talk.socket.close()
                talk = None
                if not self.patient:
                    return  # the service is gone
            if not taken and self.patient:
                self.mails.insert(0, mail)
                time.sleep(0.2)  # a client's patience
        if talk is not None:
            talk.socket.close()

    def _submit(self, talk: Talk, mail: Mail) -> bool:
        addresses = mail.addresses
        commands = [f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{one}>" for one in addresses), "DATA"]
        talk.socket.sendall("".join(f"{one}\r\n" for one in commands).encode())
        said = talk.replies(len(commands))
        if not said[-1].startswith("354"):
            self._refuse(said)
            talk.socket.sendall(b"RSET\r\n")
            talk.replies(1)
            return False
        if not all(one.startswith("250") for one in said[:-1]):
            raise AssertionError(f"only in part: {said}")
        self.unknown[mail.name] = mail
        begun = time.monotonic()
        talk.socket.sendall(mail.content() + b".\r\n")
        final = talk.replies(1)[0]
        self.latencies.append(time.monotonic() - begun)
        del self.unknown[mail.name]
        if final.startswith("250"):
            self.accepted[mail.name] = mail
            self.queue_ids[final.split()[-1]] = mail.name
            self.taken_at.append(begun)
            if self.on_accepted is not None:
                self.on_accepted(mail)
            return True
        self._refuse([final])
        return False

    def _refuse(self, said: Sequence[str]) -> None:
        self.refused += [one for one in said if re.match("[45]", one)][:1]
        self.refused_at.append(time.monotonic())
