"""The store: SQLite now, PostgreSQL by the same statements, behind the ports."""

from smtpplus.store.store import Store, open_store, open_store_blocking, run, upgrade

__all__ = ["Store", "open_store", "open_store_blocking", "run", "upgrade"]
