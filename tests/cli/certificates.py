"""Certificates that are not well."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

__all__ = ["pair", "weak_pair"]

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def pair(key: Key, host: str, begins: float, ends: float) -> tuple[bytes, bytes]:
    """A certificate of `key` for `host`, valid from and to these Unix seconds, and the key; PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime.fromtimestamp(begins, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(ends, dt.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
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


def weak_pair() -> tuple[bytes, bytes]:
    """One of RSA with 1024 bits, for localhost and the years of this century."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return pair(key, "localhost", 1_700_000_000, 4_000_000_000)
