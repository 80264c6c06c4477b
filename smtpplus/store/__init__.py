"""The store: SQLite, and PostgreSQL by the same statements, behind the ports.

`smtpplus.store.store` opens it. Nothing is imported here: the writer (`write_service.py`) needs a
part of it.
"""
