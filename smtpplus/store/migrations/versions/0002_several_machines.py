"""Several machines on one store: leases of nodes, large contents in rows, counters per node."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("node", sa.Column("holder", sa.Text()))
    op.add_column("node", sa.Column("lease_until", sa.Float()))
    op.create_table(
        "content_part",
        sa.Column("message_id", _ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "number", name=op.f("pk_content_part")),
    )
    if op.get_bind().dialect.name == "sqlite":
        _counters_on_sqlite()
    else:
        _counters_on_postgresql()
        _storage_on_postgresql()


def _counters_on_sqlite() -> None:
    """A primary key cannot be changed there: the table is made anew."""
    op.drop_index("ix_counter_hour")
    op.drop_index("ix_counter_user_id_metric_hour")
    op.rename_table("counter", "counter_before")
    op.create_table(
        "counter",
        sa.Column("account_id", _ID, autoincrement=False, nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("list_id", _ID, autoincrement=False, nullable=False),
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("node", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "hour", "list_id", "user_id", "metric", "node", name=op.f("pk_counter")
        ),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO counter (account_id, hour, list_id, user_id, metric, node, n)"
        " SELECT account_id, hour, list_id, user_id, metric, 0, n FROM counter_before"
    )
    op.drop_table("counter_before")
    op.create_index(op.f("ix_counter_hour"), "counter", ["hour"])
    op.create_index(
        op.f("ix_counter_user_id_metric_hour"), "counter", ["user_id", "metric", "hour"]
    )


def _counters_on_postgresql() -> None:
    op.add_column(
        "counter", sa.Column("node", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )
    op.alter_column("counter", "node", server_default=None)
    op.drop_constraint("pk_counter", "counter")
    op.create_primary_key(
        "pk_counter", "counter", ["account_id", "hour", "list_id", "user_id", "metric", "node"]
    )


def _storage_on_postgresql() -> None:
    """What is read in pieces is not compressed; what is short-lived is tidied often."""
    for table in ("content", "content_part", "sandbox_mail"):
        column = "content" if table == "sandbox_mail" else "octets"
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")
    for table in ("content", "content_part", "delivery", "message", "counter"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02,"
            " autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05)"
        )
