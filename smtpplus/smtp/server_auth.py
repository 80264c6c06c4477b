"""AUTH on the server side (RFC 4954): base64 lines in, challenges and questions out.

Guarantees: strict base64; nothing is offered or taken in the clear where the settings want TLS;
after `max_failed_auths` failures the connection ends (A2). Checks no password: whoever drives
the conversation answers `PasswordOffered`, `ScramStarted` and `ScramProved`.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Callable
from typing import TypeAlias

from smtpplus.smtp import server_replies as replies
from smtpplus.smtp.events import AuthFailed, PasswordOffered, ScramProved, ScramStarted
from smtpplus.smtp.sasl import (
    Challenge,
    Done,
    Exchange,
    LoginExchange,
    PasswordGiven,
    PlainExchange,
    Proved,
    SaslRefusedError,
    SaslSyntaxError,
    ScramExchange,
    VerifierWanted,
)
from smtpplus.smtp.server_settings import ServerSettings, TlsChannel
from smtpplus.smtp.server_states import Step
from smtpplus.smtp.server_turns import Turns
from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply
from smtpplus.values.submission import ScramVerifier

__all__ = ["AuthTurns"]

_PLUS = "SCRAM-SHA-256-PLUS"

_Turn: TypeAlias = Challenge | Done | PasswordOffered | ScramStarted | ScramProved


class _Dialog:
    """An exchange of `mechanism`, which is one of `offered`."""

    def __init__(
        self, mechanism: str, offered: tuple[str, ...], *, nonce: str, exporter: bytes | None
    ) -> None:
        self.mechanism = mechanism
        self.username = ""
        self.success: Reply | None = None  # said when the client has acknowledged our proof
        self._server_final = b""
        self._exchange: Exchange
        if mechanism == "PLAIN":
            self._exchange = PlainExchange()
        elif mechanism == "LOGIN":
            self._exchange = LoginExchange()
        else:
            self._exchange = ScramExchange(
                nonce=nonce,
                exporter=exporter,
                plus=mechanism == _PLUS,
                plus_offered=_PLUS in offered,
            )

    def take(self, line: bytes | None) -> _Turn:
        """The client's line; None: AUTH had no initial response (RFC 4954 §4: ``=`` is empty)."""
        response = None if line is None else _decode(line)
        step = self._exchange.respond(response)
        match step:
            case PasswordGiven(username, password, authzid):
                self.username = username
                return PasswordOffered(self.mechanism, username, password, authzid)
            case VerifierWanted(username, authzid):
                self.username = username
                return ScramStarted(self.mechanism, username, authzid)
            case Proved(username, server_final):
                self._server_final = server_final
                return ScramProved(self.mechanism, username)
            case _:
                return step

    def use(self, verifier: ScramVerifier) -> Challenge:
        """Go on with SCRAM."""
        assert isinstance(self._exchange, ScramExchange)
        return self._exchange.use(verifier)

    def prove(self, success: Reply) -> Challenge:
        """SMTP has no data with its 235: the proof is a challenge (RFC 4954 §4)."""
        self.success = success
        return Challenge(self._server_final)


class AuthTurns(Turns):
    """What a conversation knows of its client's identity, and how it learns it."""

    def __init__(
        self, settings: ServerSettings, tls: TlsChannel | None, nonce: Callable[[], str]
    ) -> None:
        super().__init__(settings)
        self.tls = tls
        self.authenticated_as: str | None = None
        self.mechanism = ""
        self._nonce = nonce
        self._dialog: _Dialog | None = None
        self._failed_auths = 0

    def answer_scram(self, verifier: ScramVerifier) -> None:
        """Answer `ScramStarted`.

        Raises:
            RuntimeError: that question is not open.
        """
        if not isinstance(self._question, ScramStarted):
            if self._is_closed:
                return
            raise RuntimeError("no SCRAM exchange waits for a verifier")
        self._question = None
        self._challenge(self._open_dialog.use(verifier))

    def _offered(self) -> tuple[str, ...]:
        """The mechanisms that can be used now; -PLUS needs the exporter octets."""
        if self.tls is None and self._settings.auth_needs_tls:
            return ()
        exporter = self.tls and self.tls.exporter
        return tuple(n for n in self._settings.mechanisms if n != _PLUS or exporter is not None)

    @property
    def _open_dialog(self) -> _Dialog:
        assert self._dialog is not None
        return self._dialog

    def _auth(self, argument: str) -> None:
        if not self._settings.mechanisms:
            raise RefusedError(replies.NOT_OFFERED)
        self._require(Step.AUTH)
        if self.authenticated_as is not None:
            raise RefusedError(replies.AUTH_DONE)
        if self.tls is None and self._settings.auth_needs_tls:
            raise RefusedError(replies.AUTH_NEEDS_TLS)
        name, _, initial = argument.partition(" ")
        mechanism, offered = name.upper(), self._offered()
        if not mechanism:
            raise RefusedError(replies.ARGUMENT_MISSING)
        if mechanism not in offered:
            raise RefusedError(replies.AUTH_UNKNOWN)
        exporter = self.tls.exporter if self.tls else None
        self._dialog = _Dialog(mechanism, offered, nonce=self._nonce(), exporter=exporter)
        self._go(Step.AUTH)
        if initial == "=":  # RFC 4954 §4: an empty initial response
            self._turn(b"")
        else:
            self._turn(initial.encode("utf-8", "surrogateescape") or None)

    def _read_response(self) -> bool:
        try:
            line = self._line()
        except RefusedError:
            self._leave_auth()
            raise
        if line is None:
            return False
        if line == b"*":
            self._leave_auth()
            raise RefusedError(replies.AUTH_CANCELLED)
        self._turn(line)
        return True

    def _turn(self, line: bytes | None) -> None:
        dialog = self._open_dialog
        try:
            turn = dialog.take(line)
        except SaslSyntaxError as error:
            self._leave_auth()
            raise RefusedError(Reply.of(501, "5.5.2", str(error))) from error
        except SaslRefusedError as error:
            username = error.username or dialog.username
            self._hold(AuthFailed(dialog.mechanism, username))
            self._auth_refused(replies.AUTH_FAILED)
            return
        if isinstance(turn, Challenge):
            self._challenge(turn)
        elif isinstance(turn, Done):
            assert dialog.success is not None
            self._authenticated(dialog.success)
        else:
            self._ask(turn)

    def _challenge(self, challenge: Challenge) -> None:
        self._say_octets(b"334 " + b64encode(challenge.octets) + b"\r\n")

    def _password_answered(self, reply: Reply) -> None:
        if reply.is_positive:
            self._authenticated(reply)
        else:
            self._auth_refused(reply)

    def _scram_proof_answered(self, reply: Reply) -> None:
        if reply.is_positive:
            self._challenge(self._open_dialog.prove(reply))
        else:
            self._auth_refused(reply)

    def _authenticated(self, reply: Reply) -> None:
        dialog = self._open_dialog
        self.authenticated_as, self.mechanism = dialog.username, dialog.mechanism
        self._leave_auth()
        self._say(reply)

    def _auth_refused(self, reply: Reply) -> None:
        self._leave_auth()
        self._complain(reply)
        if reply.is_permanent:
            self._failed_auths += 1
        if self._failed_auths >= self._settings.max_failed_auths and not self._is_closed:
            self._say(replies.TOO_MANY_AUTHS)

    def _leave_auth(self) -> None:
        self._dialog = None
        self._go(Step.AUTH_ENDED)


def _decode(line: bytes) -> bytes:
    if len(line) % 4:  # the strict mode below does not see every = too many
        raise SaslSyntaxError("The response is not base64.")
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error as error:
        raise SaslSyntaxError("The response is not base64.") from error
