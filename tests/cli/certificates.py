"""Certificates that are not well."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

__all__ = ["pair", "pair_signed_with_sha1", "weak_pair"]

_RSA_SIGNATURE = bytes.fromhex("2a864886f70d0101")

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def pair(
    key: Key,
    host: str,
    begins: float,
    ends: float,
    *,
    issuer: str | None = None,
) -> tuple[bytes, bytes]:
    """A certificate of `key` for `host`, valid from and to these Unix seconds, and the key; PEM.

    It signs itself, by SHA-256; with `issuer` it says that another did.
    """
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(host))
        .issuer_name(_name(issuer or host))
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


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pair_signed_with_sha1() -> tuple[bytes, bytes]:
    """One for localhost whose RSA signature says it is over SHA-1, by some authority."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, key_pem = pair(key, "localhost", 1_700_000_000, 4_000_000_000, issuer="An authority")
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    # Nothing makes such signatures any more: sha256WithRSAEncryption becomes sha1With….
    said = der.replace(_RSA_SIGNATURE + b"\x0b", _RSA_SIGNATURE + b"\x05")
    octets = x509.load_der_x509_certificate(said).public_bytes(serialization.Encoding.PEM)
    return octets, key_pem


def weak_pair() -> tuple[bytes, bytes]:
    """One of RSA with 1024 bits, for localhost and the years of this century."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return pair(key, "localhost", 1_700_000_000, 4_000_000_000)
