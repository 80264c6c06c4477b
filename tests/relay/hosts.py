"""Mail hosts on addresses of the loopback network, all at one port, that say what they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory, Protocol

__all__ = ["MailHost"]

_SAYS = {
    "banner": "220 host ESMTP",
    "EHLO": "250-host\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0",
    "HELO": "250 host",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go on",
    "dot": "250 2.0.0 Ok",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 bye",
}


class MailHost(Factory):
    """A host; `says` maps a step to a reply, or to a function that gives the next one.

    A reply of "" closes the connection without a word. `mails` holds (commands, content).
    """

    noisy = False

    def __init__(self, **says: str | Callable[[], str]) -> None:
        self.says: dict[str, str | Callable[[], str]] = {**_SAYS, **says}
        self.mails: list[tuple[list[str], bytes]] = []
        self.connections = 0
        self.open: set[Protocol] = set()
        self._port: Any = None

    def listen(self, reactor: Any, ip: str, port: int = 0) -> int:
        self._port = reactor.listenTCP(port, self, interface=ip)
        number: int = self._port.getHost().port
        return number

    async def stop(self) -> None:
        for protocol in list(self.open):
            protocol.transport.abortConnection()  # type: ignore[union-attr]
        await maybeDeferred(self._port.stopListening)

    def buildProtocol(self, addr: Any) -> Protocol:
        self.connections += 1
        return _Conversation(self)

    def reply(self, step: str) -> str:
        said = self.says.get(step, "500 5.5.1 What?")
        return said() if callable(said) else said


class _Conversation(Protocol):
    def __init__(self, host: MailHost) -> None:
        self._host = host
        self._buffer = b""
        self._commands: list[str] = []
        self._in_content = False

    def connectionMade(self) -> None:
        self._host.open.add(self)
        self._say("banner")

    def connectionLost(self, reason: Any = None) -> None:
        self._host.open.discard(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while self._take():
            pass

    def _take(self) -> bool:
        end = b"\r\n.\r\n" if self._in_content else b"\r\n"
        found, separator, rest = self._buffer.partition(end)
        if not separator:
            return False
        self._buffer = rest
        if self._in_content:
            self._in_content = False
            content = (found + b"\r\n").replace(b"\r\n..", b"\r\n.")[2:]
            if self._say("dot").startswith("2") and content:
                self._host.mails.append((self._commands, content))
            self._commands = []
            return True
        command = found.decode()
        self._commands.append(command)
        self._in_content = self._say(command.split(maxsplit=1)[0].upper()).startswith("354")
        if self._in_content:
            self._buffer = b"\r\n" + self._buffer  # the end of the command line begins a line
        return True

    def _say(self, step: str) -> str:
        reply = self._host.reply(step)
        if reply:
            self.transport.write(reply.encode() + b"\r\n")  # type: ignore[union-attr]
        else:
            self.transport.loseConnection()  # type: ignore[union-attr]
        return reply
