"""SASL from the client's side: PLAIN, LOGIN and SCRAM as exchanges, and which one to take.

Guarantees: SCRAM before PLAIN before LOGIN, -PLUS where the connection can be bound; SCRAM only
succeeds when the server has proved that it knows the secret. Exchanges raise ValueError or
`ProtocolError` when the server errs or cheats. Whether a password may go over this connection
at all is the caller's question.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Protocol

from smtpplus.smtp.sasl import ScramClient, plain_initial_response

__all__ = ["SaslExchange", "choose_exchange"]

# RFC 4954 §4: a longer initial response would break the line limit of RFC 5321 §4.5.3.1.4.
_MAX_INITIAL_RESPONSE = 360


class SaslExchange(Protocol):
    """The client's side of one SASL mechanism."""

    mechanism: str

    def initial_response(self) -> bytes | None:
        """What goes into the AUTH command; None: the server speaks first."""

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge. Raises ValueError or ProtocolError."""

    def succeeded(self) -> None:
        """235 came. Raises ProtocolError: the server has not proved itself."""


def choose_exchange(
    offered: Container[str],
    username: str,
    password: str,
    *,
    nonce: str,
    exporter: bytes | None,
) -> SaslExchange | None:
    """The best mechanism of those `offered`; None: none is known here.

    Args:
        offered: names in upper case, as `Extensions.auth` has them.
        username: as the remote knows it.
        password: likewise.
        nonce: fresh and random, for SCRAM (RFC 5802 §5.1).
        exporter: the connection's tls-exporter octets, or None (RFC 9266).

    Raises:
        ValueError: name or password hold a character that SASL forbids (RFC 4013 §2.3).
    """
    if exporter is not None and "SCRAM-SHA-256-PLUS" in offered:
        return _Scram(ScramClient(username, password, nonce=nonce, exporter=exporter, plus=True))
    if "SCRAM-SHA-256" in offered:
        return _Scram(ScramClient(username, password, nonce=nonce, exporter=exporter))
    if "PLAIN" in offered:
        return _Said("PLAIN", plain_initial_response(username, password))
    if "LOGIN" in offered:
        return _Said("LOGIN", None, username.encode(), password.encode())
    return None


class _Said:
    """PLAIN and LOGIN: fixed responses, whatever the challenges hold."""

    def __init__(self, mechanism: str, initial: bytes | None, *responses: bytes) -> None:
        self.mechanism = mechanism
        self._initial = initial
        self._responses = list(responses)
        if initial is not None and len(initial) > _MAX_INITIAL_RESPONSE:
            self._initial = None
            self._responses.insert(0, initial)

    def initial_response(self) -> bytes | None:
        return self._initial

    def respond(self, challenge: bytes) -> bytes:
        if not self._responses:
            raise ValueError(f"a challenge more than {self.mechanism} has.")
        return self._responses.pop(0)

    def succeeded(self) -> None:
        """Nothing to check: the server proves nothing."""


class _Scram:
    """SCRAM (RFC 5802 §3): the server's last message comes as one more challenge."""

    def __init__(self, scram: ScramClient) -> None:
        self.mechanism = scram.mechanism
        self._scram = scram
        self._steps: list[Callable[[bytes], bytes]] = [scram.final, self._check]
        self._first: bytes | None = scram.first()
        if len(self._first) > _MAX_INITIAL_RESPONSE:
            self._steps.insert(0, lambda _: scram.first())
            self._first = None

    def initial_response(self) -> bytes | None:
        return self._first

    def respond(self, challenge: bytes) -> bytes:
        if not self._steps:
            raise ValueError("a challenge more than SCRAM has.")
        return self._steps.pop(0)(challenge)

    def succeeded(self) -> None:
        if self._steps:
            raise ValueError("it agreed before it had proved that it knows the secret.")

    def _check(self, server_final: bytes) -> bytes:
        self._scram.check(server_final)
        return b""
