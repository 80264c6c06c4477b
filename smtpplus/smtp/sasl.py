"""SASL mechanisms as a server meets them: PLAIN, LOGIN, SCRAM-SHA-256 and -PLUS (RFC 4954).

An exchange is fed with the client's decoded responses and says what comes next: a challenge, a
question to whoever knows the secrets, or that it is done. Raises `SaslSyntaxError` (501) and
`SaslRefusedError` (535). Knows no base64 and no SMTP; verifiers are in `smtpplus.smtp.scram`
and given out here too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from smtpplus.smtp.saslprep import saslprep
from smtpplus.smtp.scram import (
    SaslRefusedError,
    SaslSyntaxError,
    ScramClient,
    ScramServer,
    check_password,
    fake_verifier,
    make_verifier,
)
from smtpplus.values.submission import ScramVerifier

__all__ = [
    "Challenge",
    "Done",
    "Exchange",
    "LoginExchange",
    "PasswordGiven",
    "PlainExchange",
    "Proved",
    "SaslRefusedError",
    "SaslStep",
    "SaslSyntaxError",
    "ScramClient",
    "ScramExchange",
    "VerifierWanted",
    "check_password",
    "fake_verifier",
    "make_verifier",
    "plain_initial_response",
    "saslprep",
]


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this and wait for the response."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class PasswordGiven:
    """Name and password are there: are they right?"""

    username: str
    password: str = field(repr=False)
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class VerifierWanted:
    """SCRAM goes on with this user's verifier: `ScramExchange.use`."""

    username: str
    authzid: str


@dataclass(frozen=True, slots=True)
class Proved:
    """The client knows the secret; `server_final` proves that we do (send it, then `Done`)."""

    username: str
    server_final: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The client has acknowledged the server's proof."""


SaslStep: TypeAlias = Challenge | PasswordGiven | VerifierWanted | Proved | Done


class PlainExchange:
    """PLAIN (RFC 4616)."""

    def respond(self, response: bytes | None) -> SaslStep:
        """Take the response; None: AUTH came without an initial one."""
        if response is None:
            return Challenge(b"")
        parts = response.split(b"\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise SaslSyntaxError("PLAIN takes authzid NUL name NUL password.")
        authzid, username, password = map(_text, parts)
        return _password_given(username, password, authzid)


class LoginExchange:
    """LOGIN (draft-murchison-sasl-login): the name, then the password."""

    def __init__(self) -> None:
        self._username: str | None = None

    def respond(self, response: bytes | None) -> SaslStep:
        """Take the response; None: AUTH came without an initial one."""
        if response is None:
            return Challenge(b"Username:")
        if not response or b"\0" in response:
            raise SaslSyntaxError("LOGIN takes a name and a password.")
        if self._username is None:
            self._username = _text(response)
            return Challenge(b"Password:")
        return _password_given(self._username, _text(response), "")


class ScramExchange:
    """SCRAM, one method per message; the arguments are those of `ScramServer`."""

    def __init__(
        self, *, nonce: str, exporter: bytes | None, plus: bool, plus_offered: bool
    ) -> None:
        self._scram = ScramServer(
            nonce=nonce, exporter=exporter, plus=plus, plus_offered=plus_offered
        )
        self._next: Callable[[bytes], SaslStep] = self._first

    def respond(self, response: bytes | None) -> SaslStep:
        """Take the response; None: AUTH came without an initial one."""
        return Challenge(b"") if response is None else self._next(response)

    def use(self, verifier: ScramVerifier) -> Challenge:
        """Go on with the user's verifier."""
        self._next = self._final
        return Challenge(self._scram.challenge(verifier))

    def _first(self, response: bytes) -> SaslStep:
        self._scram.first(response)
        _check_authzid(self._scram.authzid, self._scram.username)
        return VerifierWanted(self._scram.username, self._scram.authzid)

    def _final(self, response: bytes) -> SaslStep:
        server_final = self._scram.final(response)
        self._next = self._acknowledged
        return Proved(self._scram.username, server_final)

    def _acknowledged(self, response: bytes) -> SaslStep:
        if response:
            raise SaslSyntaxError("An empty response acknowledges the server's proof.")
        return Done()


Exchange: TypeAlias = PlainExchange | LoginExchange | ScramExchange


def plain_initial_response(username: str, password: str) -> bytes:
    """What a client sends for PLAIN, before base64."""
    return f"\0{saslprep(username)}\0{saslprep(password)}".encode()


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise SaslSyntaxError("Name and password are UTF-8.") from error


def _password_given(username: str, password: str, authzid: str) -> PasswordGiven:
    try:
        username, password, authzid = map(saslprep, (username, password, authzid))
    except ValueError as error:
        raise SaslRefusedError("A character is not allowed here.") from error
    if not username or not password:
        raise SaslSyntaxError("Name and password cannot be empty.")
    _check_authzid(authzid, username)
    return PasswordGiven(username, password, authzid)


def _check_authzid(authzid: str, username: str) -> None:
    """RFC 4616 §2: nobody here may act for somebody else."""
    if authzid and authzid.lower() != username.lower():
        raise SaslRefusedError("You can only act as yourself.", username)
