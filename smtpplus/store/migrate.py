"""Versions of the tables: which one a store has, and the way to the newest.

Guarantees: a migration is one transaction: it happened or it did not. A store of a newer
version is never touched. There is no way back: take a backup first.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from smtpplus.store.dialects import StoreDialect
from smtpplus.store.schema import HEAD
from smtpplus.values.errors import UsageError

__all__ = ["check_version", "migrate", "version_of"]


def version_of(connection: Connection) -> str | None:
    """The version of the tables; None for an empty store."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def check_version(version: str | None) -> None:
    """Refuse a store that this version of smtpplus cannot use as it is.

    Raises:
        UsageError: it is empty, older or newer; the text says what to do.
    """
    if version == HEAD:
        return
    if version is None:
        raise UsageError("The store is empty: run `smtpplus migrate` to make its tables.")
    if version > HEAD:
        raise UsageError(
            f"The store has version {version} of the tables, this smtpplus knows {HEAD}: "
            "it was used by a newer smtpplus. Install that one again."
        )
    raise UsageError(
        f"The store has version {version} of the tables, this smtpplus needs {HEAD}: "
        "stop the service, take a backup and run `smtpplus migrate`."
    )


def migrate(
    connection: Connection, dialect: StoreDialect, to: str = HEAD
) -> tuple[str | None, str]:
    """Bring the store to version `to`, in one transaction: version before and after.

    Raises:
        UsageError: the store is of a newer version.
    """
    dialect.begin(connection)
    try:
        dialect.set_up(connection)
        before = version_of(connection)
        if before is not None and before > HEAD:
            check_version(before)
        if before != to:
            _run(connection, to)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return before, to


def _run(connection: Connection, to: str) -> None:
    from alembic import command  # noqa: PLC0415 - takes 0.2 s, needed once in a store's life
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "smtpplus.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
