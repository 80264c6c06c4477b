"""TLS contexts, for those who connect to us and for those we connect to.

Guarantees: the server side speaks TLS 1.2 and 1.3 with forward secrecy and AEAD only, never
renegotiates or compresses, and takes up replaced certificate files without dropping a session
(T8); the client side records what it saw of the peer's certificate and enforces nothing. One
context serves all connections, and idle ones hold no record buffers. Raises `ConfigError` at
the start where the certificate cannot be used; later a bad pair is logged and the good one
kept.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from smtpplus.net.certificates import CertificateFiles, CertificatePair
from smtpplus.ports import IClock
from smtpplus.values.errors import ConfigError
from smtpplus.values.outcome import TlsFacts

__all__ = ["OutboundTls", "ServerTls", "channel_binding"]

# TLS 1.2: forward secrecy and AEAD; TLS 1.3 has nothing else (RFC 9325 §4.2).
_SERVER_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
# Towards others plain text is the alternative, so that AES-CBC is better than nothing.
_CLIENT_CIPHERS = b"HIGH:!aNULL:!eNULL:!3DES:!RC4:!MD5:!PSK:!SRP"
_LOOK_SECONDS = 5.0  # at handshakes the files are looked at no more often
_POLL_SECONDS = 30.0  # and without any handshake this often (T8: 60 s)
_MAX_NAME = 300  # of a peer's certificate, kept for the page
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a1-\uffff]")


def channel_binding(connection: SSL.Connection) -> bytes | None:
    """The tls-exporter binding of an established session, None below TLS 1.3.

    # RFC 9266 §4.2: below TLS 1.3 it needs the extended master secret, which cannot be seen here.
    """
    if connection.get_protocol_version_name() != "TLSv1.3":
        return None
    return connection.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """What listeners need to shake hands, kept up with the certificate files."""

    def __init__(self, files: CertificateFiles, clock: IClock, log: Logger | None = None) -> None:
        self._files = files
        self._clock = clock
        self._log = log or Logger()
        self._mark = files.mark()
        self._use(files.read())
        self._looked_at = clock.monotonic()
        self._cancel: Callable[[], None] | None = None

    @property
    def not_after(self) -> float:
        """When the certificate in use expires, Unix seconds."""
        return self._not_after

    def start(self) -> None:
        """Look at the files from time to time, also without handshakes."""
        self._cancel = self._clock.call_later(_POLL_SECONDS, self._poll)

    def stop(self) -> None:
        """Look no more by timer."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def replace(self, files: CertificateFiles) -> None:
        """Read `files` now and keep to them.

        Raises:
            ConfigError: they cannot be used; the ones before stay.
        """
        mark = files.mark()
        self._use(files.read())
        self._files, self._mark = files, mark

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A session not begun, of the newest certificate."""
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._look(now)
        return SSL.Connection(self._context, None)

    def _poll(self) -> None:
        self._look(self._clock.monotonic())
        self.start()

    def _look(self, now: float) -> None:
        self._looked_at = now
        mark = self._files.mark()
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._use(self._files.read())
        except ConfigError as error:
            # Also seen between the writing of the two files: the next look finds both.
            self._log.error("The new certificate is not used: {error}", error=str(error))
        else:
            self._log.info("The certificate {path} was replaced", path=self._files.certificate)

    def _use(self, pair: CertificatePair) -> None:
        try:
            self._context = _server_context(pair)
        except SSL.Error as error:
            raise ConfigError(
                f"TLS does not accept the certificate {self._files.certificate}: {_reason(error)}."
            ) from error
        self._not_after = pair.not_after


class OutboundTls:
    """Opportunistic TLS towards other servers: verified for the record, never refused here.

    Args:
        trusted: a PEM file of the authorities to trust; None: the system's.
    """

    def __init__(self, trusted: str | None = None) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(_CLIENT_CIPHERS)
        _spare(context)
        if trusted is None:
            context.set_default_verify_paths()
        else:
            context.load_verify_locations(trusted)
        context.set_verify(SSL.VERIFY_PEER, _record_verification)
        self._context = context

    def wrap(self, server_name: str) -> IOpenSSLClientConnectionCreator:
        """What ``startTLS`` needs; `server_name`, a host name or address, goes into SNI."""
        return _OutboundConnection(self._context, server_name)

    def facts(self, connection: SSL.Connection, server_name: str) -> TlsFacts:
        """What an established session, made with `wrap`, is. Never raises."""
        version = connection.get_protocol_version_name()
        cipher = connection.get_cipher_name() or ""
        certificate = connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            return TlsFacts(version, cipher, trusted=False, peer_name_ok=False)
        return TlsFacts(
            version,
            cipher,
            subject=_text(certificate, lambda it: it.subject.rfc4514_string()),
            issuer=_text(certificate, lambda it: it.issuer.rfc4514_string()),
            not_after=_text(certificate, lambda it: it.not_valid_after_utc.isoformat()),
            fingerprint_sha256=_text(certificate, lambda it: it.fingerprint(hashes.SHA256()).hex()),
            trusted=isinstance(connection, _Recording) and not connection.errors,
            peer_name_ok=_is_named(connection, server_name),
        )


class _Recording(SSL.Connection):
    """A session that keeps what was wrong with the peer's certificates."""

    def __init__(self, context: SSL.Context, socket: None) -> None:
        super().__init__(context, socket)
        # Its application data is not ours: Twisted puts the protocol there.
        self.errors: list[int] = []


@implementer(IOpenSSLClientConnectionCreator)
class _OutboundConnection:
    __slots__ = ("_context", "_server_name")

    def __init__(self, context: SSL.Context, server_name: str) -> None:
        self._context = context
        self._server_name = server_name

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = _Recording(self._context, None)
        # RFC 6066 §3: no literal addresses, no final dot.
        name = self._server_name.rstrip(".")
        if name and name.isascii() and not _is_address(name):
            connection.set_tlsext_host_name(name.encode("ascii"))
        return connection


def _record_verification(
    connection: SSL.Connection, _certificate: object, error: int, _depth: int, is_ok: int
) -> bool:
    # One error is enough to know, a chain may be long.
    if not is_ok and isinstance(connection, _Recording) and len(connection.errors) < 8:
        connection.errors.append(error)
    return True


def _server_context(pair: CertificatePair) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_SERVER_CIPHERS)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    _spare(context)
    context.use_certificate(pair.chain[0])
    for certificate in pair.chain[1:]:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(pair.key)
    context.check_privatekey()
    return context


def _spare(context: SSL.Context) -> None:
    """Neither compress, nor keep sessions or record buffers in memory."""
    context.set_options(SSL.OP_NO_COMPRESSION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets need no memory here


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_named(connection: SSL.Connection, server_name: str) -> bool:
    name = server_name.rstrip(".")
    try:
        if _is_address(name):
            verify_ip_address(connection, name)
        else:
            verify_hostname(connection, name)
    except (CertificateError, VerificationError, ValueError):
        return False
    return True


def _text(certificate: x509.Certificate, read: Callable[[x509.Certificate], str]) -> str:
    """A field of a hostile certificate, cut, its control characters replaced."""
    try:
        return _UNPRINTABLE.sub("?", read(certificate))[:_MAX_NAME]
    except (ValueError, x509.UnsupportedGeneralNameType):
        return ""


def _reason(error: SSL.Error) -> str:
    queue = error.args[0] if error.args else ()
    return str(queue[-1][-1]) if queue else "no reason given"
