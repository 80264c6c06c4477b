"""``backup`` and ``restore``: one tar with all that an installation is.

In the tar: ``manifest.json``, ``smtpplus.toml``, ``secret.key``, the certificate and key where
they lie beside the configuration, and the store: ``store.sqlite3`` and ``queue/x/y/ID.eml`` for
each waiting large message, or ``tables/NAME.copy`` for each table in PostgreSQL.
"""

from smtpplus.backup.archive import Contained
from smtpplus.backup.restore import restore
from smtpplus.backup.take import back_up

__all__ = ["Contained", "back_up", "restore"]
