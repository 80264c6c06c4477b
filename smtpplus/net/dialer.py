"""Opens outbound SMTP sessions: `IDialer` over Twisted's client endpoints.

Guarantees: connects to the address it is given and nothing else (no look-up), from the source
it is given, within `Timeouts.connect`; a failed connection is a `SessionLostError` with the
operating system's reason. Does not choose hosts, retry, or keep sessions.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.protocol import Factory
from zope.interface import implementer

from smtpplus.net.client_session import ClientSession
from smtpplus.net.client_wire import ClientWire
from smtpplus.net.timeouts import Timeouts
from smtpplus.net.tls import OutboundTls
from smtpplus.ports import IClock, IDialer, SessionLostError

__all__ = ["Dialer"]


@implementer(IDialer)
class Dialer:
    """Connects through `reactor`; `nonce` gives a fresh random text for SCRAM at each call."""

    def __init__(
        self,
        reactor: Any,
        clock: IClock,
        tls: OutboundTls,
        timeouts: Timeouts | None = None,
        nonce: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._tls = tls
        self._timeouts = timeouts or Timeouts()
        self._nonce = nonce

    async def dial(self, host: str, ip: str, port: int, source_ip: str | None) -> ClientSession:
        """Connect to `ip`; the session's greeting has not been read yet.

        Raises:
            SessionLostError: no connection.
        """
        session = ClientSession(
            host=host,
            ip=ip,
            port=port,
            clock=self._clock,
            tls=self._tls,
            timeouts=self._timeouts,
            nonce=self._nonce,
        )
        endpoint = (TCP6ClientEndpoint if ":" in ip else TCP4ClientEndpoint)(
            self._reactor,
            ip,
            port,
            timeout=self._timeouts.connect.seconds,
            bindAddress=(source_ip, 0) if source_ip else None,
        )
        try:
            await endpoint.connect(_factory(session))
        except ConnectingCancelledError as error:  # an endpoint's name for it
            raise CancelledError from error
        except ConnectTimeoutError as error:
            raise SessionLostError(
                f"No connection to {ip} port {port} within {self._timeouts.connect.seconds:g} s."
            ) from error
        except (ConnectError, OSError) as error:
            raise SessionLostError(
                f"No connection to {ip} port {port}{_from(source_ip)}: {_reason(error)}."
            ) from error
        # The endpoint has put a protocol of its own in between, which only passes things on.
        session.wire.transport.protocol = session.wire  # type: ignore[union-attr]
        session.connected()
        return session


def _factory(session: ClientSession) -> Factory[ClientWire]:
    factory = Factory.forProtocol(lambda: session.wire)
    factory.noisy = False  # else Twisted logs two lines a connection
    return factory


def _from(source_ip: str | None) -> str:
    return f" from {source_ip}" if source_ip else ""


def _reason(error: ConnectError | OSError) -> str:
    number = error.osError if isinstance(error, ConnectError) else error.errno
    if isinstance(number, OSError):
        number = number.errno
    return os.strerror(number) if isinstance(number, int) else str(error).rstrip(".")
