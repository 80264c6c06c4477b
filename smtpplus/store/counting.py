"""A count is added to each table of counters: on SQLite by one statement.

Six statements would give the interpreter away and ask for it back six times a transaction, which
beside a busy reactor takes longer than what they do. So a connection that writes has a view that
takes counts, and a trigger that puts each of them into all the tables; both are the connection's
own and end with it.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Table

from smtpplus.store.schema import COUNTERS

__all__ = ["COUNTING_COLUMNS", "adding", "make_counting"]

COUNTING_COLUMNS = (
    "account_id",
    "hour",
    "day",
    "list_id",
    "user_id",
    "campaign",
    "provider",
    "metric",
    "node",
    "n",
)


def adding(table: Table) -> str:
    """The end of an insert: where such a row is there, it grows."""
    key = ", ".join(column.name for column in table.primary_key)
    return f" ON CONFLICT ({key}) DO UPDATE SET n = {table.name}.n + excluded.n"


def make_counting(driver: sqlite3.Connection) -> None:
    """Let the connection know ``counting``, which takes rows of `COUNTING_COLUMNS`."""
    nothing = ", ".join(f"NULL AS {name}" for name in COUNTING_COLUMNS)
    inserts = "; ".join(_insert(table) for table in COUNTERS)
    driver.execute(f"CREATE TEMP VIEW IF NOT EXISTS counting AS SELECT {nothing}")
    driver.execute(
        "CREATE TEMP TRIGGER IF NOT EXISTS count_in_all INSTEAD OF INSERT ON counting"
        f" BEGIN {inserts}; END"
    )


def _insert(table: Table) -> str:
    names = [column.name for column in table.columns]
    values = ", ".join(f"NEW.{name}" for name in names)
    into = f"{table.name} ({', '.join(names)})"
    return f"INSERT INTO {into} VALUES ({values}){adding(table)}"  # noqa: S608 - names of ours
