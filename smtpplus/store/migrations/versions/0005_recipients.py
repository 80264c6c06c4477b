"""Campaigns, recipients, subscriptions, suppressions; counters by campaign and provider."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _columns()
    _priorities()
    _counters()
    _campaigns_and_recipients()
    if op.get_bind().dialect.name != "sqlite":
        _tidied_often_on_postgresql()


def _columns() -> None:
    added: dict[str, list[tuple[str, sa.types.TypeEngine[Any]]]] = {
        "sender_domain": [("tracking_host", sa.Text())],
        "message": [
            ("campaign_name", sa.Text()),
            ("options", sa.Text()),
            ("deliver_by", sa.Text()),
            ("mt_priority", sa.Integer()),
        ],
        "delivery": [
            ("name", sa.Text()),
            ("fields", sa.Text()),
            ("withheld", sa.Text()),
            ("provider", sa.Text()),
            ("opened_at", sa.Float()),
            ("clicked_at", sa.Float()),
        ],
    }
    for table, columns in added.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind))


def _priorities() -> None:
    """What can be claimed is found by priority."""
    kind = sa.Integer()
    op.add_column("delivery", sa.Column("priority", kind, nullable=False, server_default="3"))
    op.execute(
        "UPDATE delivery SET priority ="
        " (SELECT message.priority FROM message WHERE message.id = delivery.message_id)"
        " WHERE state IN ('queued', 'held') AND EXISTS (SELECT 1 FROM message"
        " WHERE message.id = delivery.message_id AND message.priority BETWEEN 1 AND 5)"
    )
    op.drop_index("ix_delivery_claimable", "delivery")
    claimable = sa.text("state = 'queued' AND lease_node IS NULL")
    op.create_index(
        "ix_delivery_claimable",
        "delivery",
        ["priority", "due_at", "id", "domain"],
        sqlite_where=claimable,
        postgresql_where=claimable,
    )


def _number(name: str, kind: sa.types.TypeEngine[int] = _ID) -> sa.Column[int]:
    return sa.Column(name, kind, autoincrement=False, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _counted(table: str, *key: sa.Column[Any]) -> None:
    """A table of counters by `key`, metric and node."""
    columns = [*key, _text("metric"), _number("node", sa.Integer())]
    names = [column.name for column in columns]
    op.create_table(
        table,
        *columns,
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*names, name=op.f(f"pk_{table}")),
        sqlite_with_rowid=False,
    )


def _counters() -> None:
    """What was counted so far becomes the sums by hour, as it is, and the rest is made of it."""
    op.drop_index("ix_counter_hour", "counter")
    op.drop_index("ix_counter_user_id_metric_hour", "counter")
    op.rename_table("counter", "counter_before")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("ALTER TABLE counter_before DROP CONSTRAINT pk_counter")
    hour, day = sa.BigInteger(), sa.BigInteger()
    _counted(
        "counter",
        *(_number("account_id"), _number("hour", hour), _number("list_id"), _number("user_id")),
        *(_text("campaign"), _text("provider")),
    )
    _counted(
        "counter_hour",
        *(_number("account_id"), _number("hour", hour), _number("list_id"), _number("user_id")),
    )
    _counted(
        "counter_day",
        *(_number("account_id"), _number("day", day), _number("list_id"), _number("user_id")),
    )
    _counted(
        "counter_day_campaign",
        *(_number("account_id"), _number("day", day), _number("list_id"), _text("campaign")),
    )
    _counted("counter_day_provider", _number("account_id"), _number("day", day), _text("provider"))
    _counted("counter_campaign", _number("account_id"), _number("list_id"), _text("campaign"))
    for fill in _FILL:
        op.execute(fill)
    op.drop_table("counter_before")
    op.create_index(
        op.f("ix_counter_hour_user_id_metric_hour"), "counter_hour", ["user_id", "metric", "hour"]
    )


_FILL = (
    (
        "INSERT INTO counter"
        " (account_id, hour, list_id, user_id, campaign, provider, metric, node, n)"
        " SELECT account_id, hour, list_id, user_id, '', '', metric, node, n FROM counter_before"
    ),
    (
        "INSERT INTO counter_hour (account_id, hour, list_id, user_id, metric, node, n)"
        " SELECT account_id, hour, list_id, user_id, metric, node, n FROM counter_before"
    ),
    (
        "INSERT INTO counter_day (account_id, day, list_id, user_id, metric, node, n)"
        " SELECT account_id, hour - hour % 86400, list_id, user_id, metric, node, sum(n)"
        " FROM counter_before"
        " GROUP BY account_id, hour - hour % 86400, list_id, user_id, metric, node"
    ),
    (
        "INSERT INTO counter_day_campaign (account_id, day, list_id, campaign, metric, node, n)"
        " SELECT account_id, hour - hour % 86400, list_id, '', metric, node, sum(n)"
        " FROM counter_before GROUP BY account_id, hour - hour % 86400, list_id, metric, node"
    ),
    (
        "INSERT INTO counter_day_provider (account_id, day, provider, metric, node, n)"
        " SELECT account_id, hour - hour % 86400, '', metric, node, sum(n)"
        " FROM counter_before GROUP BY account_id, hour - hour % 86400, metric, node"
    ),
    (
        "INSERT INTO counter_campaign (account_id, list_id, campaign, metric, node, n)"
        " SELECT account_id, list_id, '', metric, node, sum(n) FROM counter_before"
        " GROUP BY account_id, list_id, metric, node"
    ),
)


def _campaigns_and_recipients() -> None:
    op.create_table(
        "campaign",
        _number("list_id"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.Column("merged_into", sa.Text()),
        sa.PrimaryKeyConstraint("list_id", "key", name=op.f("pk_campaign")),
    )
    op.create_index(op.f("ix_campaign_account_id_last_at"), "campaign", ["account_id", "last_at"])
    op.create_index(op.f("ix_campaign_last_at"), "campaign", ["last_at"])
    op.create_index(op.f("ix_campaign_list_id_merged_into"), "campaign", ["list_id", "merged_into"])
    op.create_table(
        "link",
        _number("list_id"),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        _number("node", sa.Integer()),
        sa.Column("persons", sa.BigInteger(), nullable=False),
        sa.Column("others", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "campaign", "target", "node", name=op.f("pk_link")),
        sqlite_with_rowid=False,
    )
    _recipients()
    op.create_table(
        "subscription",
        _number("list_id"),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "address_key", name=op.f("pk_subscription")),
    )
    op.create_index(op.f("ix_subscription_address_key"), "subscription", ["address_key"])
    op.create_table(
        "suppression",
        _number("id"),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("list_id", _ID),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float()),
        sa.Column("lifted_at", sa.Float()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("lifted_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
    )
    op.create_index(op.f("ix_suppression_account_id_id"), "suppression", ["account_id", "id"])
    op.create_index(op.f("ix_suppression_address_key"), "suppression", ["address_key"])
    op.create_table(
        "once",
        _number("user_id"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("message_id", _ID, nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "name", name=op.f("pk_once")),
    )
    op.create_index(op.f("ix_once_until"), "once", ["until"])


def _recipients() -> None:
    op.create_table(
        "recipient",
        _number("id"),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("first_mail_at", sa.Float(), nullable=False),
        sa.Column("last_mail_at", sa.Float(), nullable=False),
        sa.Column("last_delivery_at", sa.Float()),
        sa.Column("last_open_at", sa.Float()),
        sa.Column("last_click_at", sa.Float()),
        sa.Column("complained_at", sa.Float()),
        sa.Column("mails", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("bounced", sa.BigInteger(), nullable=False),
        sa.Column("opens", sa.BigInteger(), nullable=False),
        sa.Column("clicks", sa.BigInteger(), nullable=False),
        sa.Column("soft", sa.Integer(), nullable=False),
        sa.Column("soft_full", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipient")),
        sa.UniqueConstraint(
            "account_id", "address_key", name=op.f("uq_recipient_account_id_address_key")
        ),
    )
    op.create_index(op.f("ix_recipient_account_id_id"), "recipient", ["account_id", "id"])


def _tidied_often_on_postgresql() -> None:
    """What is changed with every mail, as revision 0002 has it for the other tables."""
    counters = ("", "_hour", "_day", "_day_campaign", "_day_provider", "_campaign")
    for table in (*(f"counter{one}" for one in counters), "recipient"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02,"
            " autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05)"
        )
