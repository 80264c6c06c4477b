"""Certificates as files, and a self-signed one for a trial.

`CertificateFiles` reads a pair of PEM files and notices when they are replaced (T8). Raises
`ConfigError` where a pair cannot be used, naming the file and what is wrong with it. Does not
obtain or renew certificates.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from smtpplus.values.errors import ConfigError

__all__ = ["CertificateFiles", "CertificatePair", "PrivateKey", "self_signed"]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_TRIAL_DAYS = 825  # what clients accept of a certificate of their own installing


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """A certificate chain, leaf first, and the leaf's key."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def not_after(self) -> float:
        """When the leaf expires, Unix seconds."""
        return self.chain[0].not_valid_after_utc.timestamp()


class CertificateFiles:
    """A certificate chain file and its key file, PEM, perhaps the same file."""

    __slots__ = ("certificate", "private_key")

    def __init__(self, certificate: Path | str, private_key: Path | str) -> None:
        self.certificate = Path(certificate)
        self.private_key = Path(private_key)

    def mark(self) -> tuple[object, ...]:
        """What changes when a file is replaced or rewritten: two calls of stat, no reading."""
        return _mark(self.certificate) + _mark(self.private_key)

    def read(self) -> CertificatePair:
        """The pair as it is on the disk now.

        Raises:
            ConfigError: a file is missing, unreadable or no PEM, or they do not belong together.
        """
        chain = _read_chain(self.certificate)
        key = _read_key(self.private_key)
        if key.public_key() != chain[0].public_key():
            raise ConfigError(
                f"The private key {self.private_key} does not belong to the certificate"
                f" {self.certificate}: give the key that the certificate was issued for."
            )
        return CertificatePair(chain, key)


def self_signed(hostname: str, now: float) -> tuple[bytes, bytes]:
    """A certificate for `hostname` (and localhost) that nobody vouches for, and its key.

    Args:
        hostname: a domain name or an IP address.
        now: Unix seconds; the certificate is valid from a day before for 825 days.

    Returns:
        The certificate and the key, each PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    start = dt.datetime.fromtimestamp(now, dt.UTC) - dt.timedelta(days=1)
    names = dict.fromkeys([hostname, "localhost", "127.0.0.1", "::1"])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=_TRIAL_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _mark(path: Path) -> tuple[object, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116 - called at handshakes, Path.stat costs more
    except OSError as error:
        return (error.errno,)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def _read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(_contents(path)))
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate in PEM form ({error}).") from error


def _read_key(path: Path) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(_contents(path), None)
    except TypeError as error:
        raise ConfigError(
            f"The private key {path} is encrypted: remove its passphrase, the service starts"
            " without anybody who could type it."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} holds no private key in PEM form ({error}).") from error
    if not isinstance(key, PrivateKey):
        raise ConfigError(
            f"{path} holds a key of a kind that TLS clients do not know: use RSA or EC."
        )
    return key
