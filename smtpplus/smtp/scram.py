"""SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), both sides, and the verifiers they need.

Guarantees: secrets and proofs are compared in constant time; a user that does not exist runs
the same course with `fake_verifier` (SA3). Channel binding is tls-exporter (RFC 9266).
Raises `SaslSyntaxError` for what is malformed and `SaslRefusedError` for what does not match.
Nonces are arguments. `make_verifier`, `check_password` and `ScramClient.final` hold the
processor for some milliseconds: run them in a thread where that matters.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64encode

from smtpplus.smtp.saslprep import saslprep
from smtpplus.values.errors import ProtocolError, SmtpplusError
from smtpplus.values.submission import ScramVerifier

__all__ = [
    "ITERATIONS",
    "SaslRefusedError",
    "SaslSyntaxError",
    "ScramClient",
    "ScramServer",
    "check_password",
    "fake_verifier",
    "make_verifier",
]

ITERATIONS = 4096  # RFC 7677 §4; the secrets are generated, not chosen
_MAX_ITERATIONS = 1_000_000  # what a server may make our client compute
_EXPORTER = "tls-exporter"
_CLIENT_FIRST = re.compile(
    r"(?P<header>(?P<flag>y|n|p=(?P<binding>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>[^,]+))?,)"
    r"(?P<bare>n=(?P<name>[^,]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^,]*)*)"
)
_CLIENT_FINAL = re.compile(
    r"(?P<bare>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^,]*)*)"
    r",p=(?P<proof>[A-Za-z0-9+/=]+)"
)
_SERVER_FIRST = re.compile(
    r"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<count>[0-9]{1,9})(?:,.*)?"
)
_ESCAPE = re.compile(r"=(2C|3D)?")


class SaslSyntaxError(SmtpplusError):
    """The client's message is malformed: 501 5.5.2."""


class SaslRefusedError(SmtpplusError):
    """Name, secret or channel does not match: 535 5.7.8."""

    def __init__(self, text: str, username: str = "") -> None:
        super().__init__(text)
        self.username = username


def make_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> ScramVerifier:
    """What is kept of a secret. Raises ValueError where SASLprep prohibits it."""
    salted = _salted(saslprep(password), salt, iterations)
    client_key = _hmac(salted, b"Client Key")
    return ScramVerifier(
        salt, iterations, hashlib.sha256(client_key).digest(), _hmac(salted, b"Server Key")
    )


def check_password(verifier: ScramVerifier, password: str) -> bool:
    """Does `password` fit? Takes as long for a wrong one, and for a fake verifier."""
    try:
        prepared = saslprep(password)
    except ValueError:
        prepared = ""  # nobody's secret: fails below, after the same work
    client_key = _hmac(_salted(prepared, verifier.salt, verifier.iterations), b"Client Key")
    fits = hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)
    return fits and prepared != ""


def fake_verifier(username: str, secret: bytes, iterations: int = ITERATIONS) -> ScramVerifier:
    """A verifier nobody can satisfy, always the same for the same name (RFC 5802 §9)."""
    name = username.lower().encode("utf-8", "surrogatepass")
    return ScramVerifier(
        _hmac(secret, b"salt " + name)[:16],
        iterations,
        _hmac(secret, b"stored " + name),
        _hmac(secret, b"server " + name),
    )


class ScramServer:
    """The server's side of one exchange: `first`, `challenge`, `final`, in this order.

    Args:
        nonce: the server's own, fresh, printable, without comma.
        exporter: the connection's tls-exporter octets, or None.
        plus: is this SCRAM-SHA-256-PLUS?
        plus_offered: did this server offer -PLUS on this connection?
    """

    def __init__(
        self, *, nonce: str, exporter: bytes | None, plus: bool, plus_offered: bool
    ) -> None:
        self.username = ""
        self.authzid = ""
        self._nonce = nonce
        self._exporter = exporter
        self._plus = plus
        self._plus_offered = plus_offered
        self._binding = b""
        self._said = ""  # client-first-bare, then with server-first
        self._verifier: ScramVerifier | None = None

    def first(self, message: bytes) -> None:
        """Read client-first; sets `username` and `authzid`."""
        match = _match(_CLIENT_FIRST, message, "client-first")
        self.username = _prepared(_unescape(match["name"]))
        self.authzid = _prepared(_unescape(match["authzid"])) if match["authzid"] else ""
        self._check_binding(match["flag"], match["binding"])
        self._binding = match["header"].encode()
        if self._plus:
            self._binding += self._exporter or b""
        self._nonce = match["nonce"] + self._nonce
        self._said = match["bare"]

    def _check_binding(self, flag: str, binding: str | None) -> None:
        if self._plus != (binding is not None):
            raise SaslSyntaxError("Channel binding and mechanism do not go together.")
        if binding is not None and (binding != _EXPORTER or self._exporter is None):
            raise SaslSyntaxError("The only channel binding here is tls-exporter.")
        if flag == "y" and self._plus_offered:  # RFC 5802 §6: somebody took -PLUS away
            raise SaslRefusedError("Channel binding was offered and not seen.", self.username)

    def challenge(self, verifier: ScramVerifier) -> bytes:
        """The server-first message for the user's verifier."""
        self._verifier = verifier
        salt = b64encode(verifier.salt).decode()
        first = f"r={self._nonce},s={salt},i={verifier.iterations}"
        self._said += f",{first},"
        return first.encode()

    def final(self, message: bytes) -> bytes:
        """Check client-final; the server-final message that proves us."""
        assert self._verifier is not None
        match = _match(_CLIENT_FINAL, message, "client-final")
        proof = _unbase64(match["proof"])
        said = (self._said + match["bare"]).encode()
        signature = _hmac(self._verifier.stored_key, said)
        if len(proof) != len(signature):
            raise SaslSyntaxError("The proof has the wrong length.")
        client_key = _xor(proof, signature)
        if not (
            hmac.compare_digest(_unbase64(match["binding"]), self._binding)
            and hmac.compare_digest(match["nonce"], self._nonce)
            and hmac.compare_digest(hashlib.sha256(client_key).digest(), self._verifier.stored_key)
        ):
            raise SaslRefusedError("The proof does not match.", self.username)
        return b"v=" + b64encode(_hmac(self._verifier.server_key, said))


class ScramClient:
    """The client's side: `first`, `final`, `check`, in this order.

    Args:
        nonce: the client's own, fresh, printable, without comma.
        exporter: the connection's tls-exporter octets, or None where there are none.
        plus: use -PLUS (the server offered it, and there is an exporter).
    """

    def __init__(
        self,
        username: str,
        password: str,
        *,
        nonce: str,
        exporter: bytes | None = None,
        plus: bool = False,
    ) -> None:
        if plus and exporter is None:
            raise ValueError("-PLUS needs the tls-exporter octets of the connection")
        self.mechanism = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
        self._password = saslprep(password)
        self._nonce = nonce
        flag = f"p={_EXPORTER}" if plus else "y" if exporter is not None else "n"
        self._header = f"{flag},,".encode()
        self._binding = self._header + (exporter if plus and exporter else b"")
        name = saslprep(username).replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={nonce}"
        self._server_signature = b""

    def first(self) -> bytes:
        """The client-first message: AUTH's initial response."""
        return self._header + self._bare.encode()

    def final(self, server_first: bytes) -> bytes:
        """The client-final message. Raises ProtocolError."""
        match = _SERVER_FIRST.fullmatch(server_first.decode("utf-8", "replace"))
        if match is None or not match["nonce"].startswith(self._nonce):
            raise ProtocolError("The server's first SCRAM message is malformed.")
        if len(match["nonce"]) == len(self._nonce):
            raise ProtocolError("The server added no nonce of its own to the SCRAM exchange.")
        count = int(match["count"])
        if not ITERATIONS <= count <= _MAX_ITERATIONS:
            raise ProtocolError(f"The server asks for {count} SCRAM iterations.")
        try:
            salt = _unbase64(match["salt"])
        except SaslSyntaxError as error:
            raise ProtocolError("The server's SCRAM salt is not base64.") from error
        salted = _salted(self._password, salt, count)
        client_key = _hmac(salted, b"Client Key")
        bare = f"c={b64encode(self._binding).decode()},r={match['nonce']}"
        said = f"{self._bare},{match.string},{bare}".encode()
        signature = _hmac(hashlib.sha256(client_key).digest(), said)
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), said)
        return bare.encode() + b",p=" + b64encode(_xor(client_key, signature))

    def check(self, server_final: bytes) -> None:
        """Does the server know the secret? Raises ProtocolError where it does not."""
        expected = b"v=" + b64encode(self._server_signature)
        given = server_final.partition(b",")[0]
        if not self._server_signature or not hmac.compare_digest(given, expected):
            raise ProtocolError("The server did not prove that it knows the secret.")


def _match(pattern: re.Pattern[str], message: bytes, name: str) -> re.Match[str]:
    try:
        match = pattern.fullmatch(message.decode())
    except UnicodeDecodeError as error:
        raise SaslSyntaxError(f"The {name} message is not UTF-8.") from error
    if match is None:
        raise SaslSyntaxError(f"The {name} message is malformed.")
    return match


def _unescape(name: str) -> str:
    def plain(match: re.Match[str]) -> str:
        if match[1] is None:
            raise SaslSyntaxError("The name has an = that is neither =2C nor =3D.")
        return "," if match[1] == "2C" else "="

    return _ESCAPE.sub(plain, name)


def _prepared(name: str) -> str:
    try:
        return saslprep(name)
    except ValueError as error:
        raise SaslRefusedError("The name holds a character that is not allowed.") from error


def _unbase64(text: str) -> bytes:
    if len(text) % 4:  # the strict mode below does not see every = too many
        raise SaslSyntaxError("A part of the message is not base64.")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise SaslSyntaxError("A part of the message is not base64.") from error


def _salted(prepared: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", prepared.encode(), salt, iterations)


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
