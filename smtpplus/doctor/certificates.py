"""The certificate: is it right for our name, strong enough, and valid now?"""

from __future__ import annotations

import time
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from smtpplus.config import Config
from smtpplus.doctor.findings import Finding, ok, problem, warning
from smtpplus.installation import BlockingClock
from smtpplus.net.certificates import CertificateFiles
from smtpplus.net.tls import ServerTls

__all__ = ["certificate"]

_DAY = 86_400.0
_SOON_DAYS = 14
_LEAST_RSA_BITS = 2048  # RFC 9325 §4.5, and what public authorities issue
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # what TLS 1.3 and authorities know
_WEAK_HASHES = (hashes.MD5, hashes.SHA1)
_NEW_KEY = "Get a certificate for a new key: RSA with 2048 bits, or EC on P-256."


def certificate(config: Config) -> Iterator[Finding]:
    """Is it right for us, and for how long?"""
    section = config.submission
    if section.certificate is None or section.private_key is None:
        yield problem(
            "certificate",
            "There is none: TLS is not offered, and nobody can sign in.",
            "Set submission.certificate and submission.private_key.",
        )
        return
    files = CertificateFiles(section.certificate, section.private_key)
    chain = files.read().chain
    weak = [found for number, one in enumerate(chain) for found in _strength(one, number)]
    yield from weak
    if not weak:
        ServerTls(files, BlockingClock())  # does TLS take them?
    yield _validity(chain[0])
    host = str(config.server.hostname)
    covered = _names_in(chain[0])
    if not any(_covers(name, host) for name in covered):
        yield problem(
            "certificate",
            f"It is for {', '.join(covered) or 'nobody'}, not for {host}.",
            f"Get one for {host}, or set server.hostname.",
        )
    if chain[0].issuer == chain[0].subject and config.relay.deliver != "sandbox":
        yield warning(
            "certificate",
            "It is self-signed: clients that check will refuse it.",
            "Get one of a public authority, such as Let's Encrypt.",
        )


def _validity(leaf: x509.Certificate) -> Finding:
    now = time.time()
    left = (leaf.not_valid_after_utc.timestamp() - now) / _DAY
    until = f"{leaf.not_valid_after_utc:%Y-%m-%d}"
    if leaf.not_valid_before_utc.timestamp() > now:
        return problem(
            "certificate",
            f"It is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC.",
            "Use the one before until then; if the time has come, set this machine's clock.",
        )
    if left < 0:
        return problem("certificate", f"It expired on {until}.", "Renew it.")
    if left < _SOON_DAYS:
        return warning("certificate", f"It expires on {until}.", "See why it was not renewed.")
    return ok("certificate", f"It is valid until {until}.")


def _strength(one: x509.Certificate, number: int) -> Iterator[Finding]:
    """Keys and signatures that TLS libraries refuse; of the chain's `number`, the leaf is 0."""
    which = "It" if number == 0 else f"The chain's certificate {number + 1}"
    mend = _NEW_KEY if number == 0 else "Take the chain that the authority gives now."
    try:
        key = one.public_key()
        signed_by = one.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError) as error:
        yield problem("certificate", f"{which} cannot be judged: {error}.", mend)
        return
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        yield problem(
            "certificate",
            f"{which} has an RSA key of {key.key_size} bits, which TLS refuses as too weak.",
            mend,
        )
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(key.curve, _CURVES):
        yield problem(
            "certificate",
            f"{which} has an EC key on {key.curve.name}, which clients do not know or refuse.",
            mend,
        )
    # What signs itself is trusted, or not, for its own sake, whatever its signature is.
    if isinstance(signed_by, _WEAK_HASHES) and one.issuer != one.subject:
        yield problem(
            "certificate",
            f"{which} is signed with {signed_by.name.upper()}, which clients refuse as too weak.",
            "Get a new one: authorities sign with SHA-256.",
        )


def _names_in(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in found.get_values_for_type(x509.DNSName)]


def _covers(name: str, host: str) -> bool:
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])
