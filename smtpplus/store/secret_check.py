"""Is the secret the one that this store was set up with?

Guarantees: a store knows a fingerprint of its installation's secret, from which nothing of the
secret can be learned; nobody works on it with another one, whose seals the others could not
open. A store without a fingerprint takes that of whoever comes first and opens its DKIM keys.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, delete, insert, select

from smtpplus.store.dialects import StoreDialect
from smtpplus.store.domain_sql import opens_a_key
from smtpplus.store.schema import installation
from smtpplus.store.seal import Seal
from smtpplus.values.errors import UsageError

__all__ = ["adopt_secret", "check_secret", "fingerprint"]

_NAME = "secret"


def fingerprint(secret: bytes) -> bytes:
    """32 octets that only this secret has."""
    return HKDF(SHA256(), 32, salt=None, info=b"smtpplus fingerprint").derive(secret)


def check_secret(connection: Connection, dialect: StoreDialect, secret: bytes) -> None:
    """Compare with the store's; leave ours where it has none.

    Raises:
        UsageError: it is another one; the text says what to do.
    """
    found = _known(connection)
    connection.rollback()
    if found is None:
        _leave(connection, dialect, secret)
    elif not hmac.compare_digest(found, fingerprint(secret)):
        raise _another()


def adopt_secret(connection: Connection, dialect: StoreDialect, secret: bytes) -> None:
    """Take `secret` for the store's from now on, whatever it was before."""
    dialect.begin(connection)
    dialect.set_up(connection)
    connection.execute(delete(installation).where(installation.c.name == _NAME))
    connection.execute(insert(installation), {"name": _NAME, "value": fingerprint(secret)})
    connection.commit()


def _leave(connection: Connection, dialect: StoreDialect, secret: bytes) -> None:
    dialect.begin(connection)
    dialect.set_up(connection)
    found, ours = _known(connection), fingerprint(secret)  # another may have come first
    if found is None and opens_a_key(connection, Seal(secret, "dkim")) is not False:
        connection.execute(insert(installation), {"name": _NAME, "value": ours})
        found = ours
    connection.commit()
    if found is None or not hmac.compare_digest(found, ours):
        raise _another()


def _known(connection: Connection) -> bytes | None:
    query = select(installation.c.value).where(installation.c.name == _NAME)
    found = connection.scalar(query)
    return None if found is None else bytes(found)


def _another() -> UsageError:
    return UsageError(
        "The secret.key here is not the one of this store: copy it from a machine that works on "
        "the store, or from a backup. If it is lost for good: `smtpplus migrate --new-secret`, "
        "and make new DKIM keys."
    )
