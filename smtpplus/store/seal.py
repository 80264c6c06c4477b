"""Seals what must not be read from a copy of the database: private keys.

AES-256-GCM under a key drawn from the installation's secret (HKDF-SHA-256); what the octets
belong to is bound in, so that a sealed key moved to another row does not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from smtpplus.values.errors import UsageError

__all__ = ["Seal"]

_NONCE_OCTETS = 12
_LEAST_SECRET_OCTETS = 16


class Seal:
    """Closes and opens with the key of one installation and one `purpose`."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        if len(secret) < _LEAST_SECRET_OCTETS:
            raise UsageError(
                f"The installation's secret needs at least {_LEAST_SECRET_OCTETS} octets."
            )
        key = HKDF(SHA256(), 32, salt=None, info=b"smtpplus seal " + purpose.encode())
        self._cipher = AESGCM(key.derive(secret))

    def close(self, octets: bytes, belongs_to: str) -> bytes:
        """`octets`, sealed."""
        nonce = os.urandom(_NONCE_OCTETS)
        return nonce + self._cipher.encrypt(nonce, octets, belongs_to.encode())

    def open(self, sealed: bytes, belongs_to: str) -> bytes:
        """What `close` took.

        Raises:
            UsageError: sealed under another secret, for something else, or damaged.
        """
        nonce, rest = sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:]
        try:
            return self._cipher.decrypt(nonce, rest, belongs_to.encode())
        except (InvalidTag, ValueError) as error:
            raise UsageError(
                f"The key of {belongs_to} does not open with this installation's secret: "
                "the secret file is not the one it was stored under."
            ) from error
