"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _accounts()
    _domains()
    _people()
    _messages()
    _deliveries()
    _facts()
    _machinery()


def _accounts() -> None:
    op.create_table(
        "account",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name_key", name=op.f("uq_account_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "list",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_list_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_list")),
        sa.UniqueConstraint("account_id", "name_key", name=op.f("uq_list_account_id_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "smtp_user",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("list_id", _ID, nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("username_key", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("iterations", sa.Integer(), nullable=False),
        sa.Column("stored_key", sa.LargeBinary(), nullable=False),
        sa.Column("server_key", sa.LargeBinary(), nullable=False),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.Column("senders", sa.Text(), nullable=False),
        sa.Column("networks", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("limit_hour", sa.Integer()),
        sa.Column("limit_day", sa.Integer()),
        sa.Column("duplicates", sa.Float(), nullable=False),
        sa.Column("recall", sa.Float(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("blocked_until", sa.Float()),
        sa.Column("block_reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_smtp_user_account_id")
        ),
        sa.ForeignKeyConstraint(["list_id"], ["list.id"], name=op.f("fk_smtp_user_list_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smtp_user")),
        sa.UniqueConstraint("username_key", name=op.f("uq_smtp_user_username_key")),
        sqlite_autoincrement=True,
    )


def _domains() -> None:
    op.create_table(
        "sender_domain",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("verified_at", sa.Float()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_sender_domain_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sender_domain")),
        sa.UniqueConstraint("domain", name=op.f("uq_sender_domain_domain")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "dkim_key",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("public_b64", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dkim_key")),
        sa.UniqueConstraint("domain", "selector", name=op.f("uq_dkim_key_domain_selector")),
        sqlite_autoincrement=True,
    )


def _people() -> None:
    op.create_table(
        "person",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("account_id", _ID),
        sa.Column("password_hash", sa.Text()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_person_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("email_key", name=op.f("uq_person_email_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sign_in",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_sign_in_person_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sign_in")),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_session_person_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_session")),
    )


def _messages() -> None:
    op.create_table(
        "message",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("list_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("in_file", sa.Boolean(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text()),
        sa.Column("sender_key", sa.Text()),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("smtputf8", sa.Boolean(), nullable=False),
        sa.Column("ret", sa.Text()),
        sa.Column("envid", sa.Text()),
        sa.Column("declared_bytes", sa.BigInteger(), nullable=False),
        sa.Column("header_from", sa.Text(), nullable=False),
        sa.Column("from_domain", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("header_message_id", sa.Text(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("head_octets", sa.Integer(), nullable=False),
        sa.Column("cuts", sa.Text(), nullable=False),
        sa.Column("eight_bit", sa.Boolean(), nullable=False),
        sa.Column("long_lines", sa.Boolean(), nullable=False),
        sa.Column("utf8_head", sa.Boolean(), nullable=False),
        sa.Column("client_ip", sa.Text(), nullable=False),
        sa.Column("hello", sa.Text(), nullable=False),
        sa.Column("tls", sa.Text(), nullable=False),
        sa.Column("mechanism", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("reports_on", _ID),
        sa.Column("prepend", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_index(op.f("ix_message_account_id_id"), "message", ["account_id", "id"])
    op.create_index(
        "ix_message_in_file",
        "message",
        ["id"],
        sqlite_where=sa.text("in_file"),
        postgresql_where=sa.text("in_file"),
    )
    op.create_index(op.f("ix_message_sender_key_id"), "message", ["sender_key", "id"])
    op.create_index(op.f("ix_message_user_id_id"), "message", ["user_id", "id"])
    op.create_table(
        "content",
        sa.Column("message_id", _ID, autoincrement=False, nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_content")),
    )


def _deliveries() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("message_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("lease_node", sa.Integer()),
        sa.Column("lease_until", sa.Float()),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("notify", sa.Text()),
        sa.Column("orcpt", sa.Text()),
        sa.Column("delay_reported", sa.Boolean(), nullable=False),
        sa.Column("settled_at", sa.Float()),
        sa.Column("last_outcome", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
    )
    op.create_index(
        op.f("ix_delivery_address_key_message_id"), "delivery", ["address_key", "message_id"]
    )
    op.create_index(
        "ix_delivery_claimable",
        "delivery",
        ["due_at", "id", "domain"],
        sqlite_where=sa.text("state = 'queued' AND lease_node IS NULL"),
        postgresql_where=sa.text("state = 'queued' AND lease_node IS NULL"),
    )
    op.create_index(op.f("ix_delivery_message_id_id"), "delivery", ["message_id", "id"])
    op.create_index(
        op.f("ix_delivery_state_message_id_account_id"),
        "delivery",
        ["state", "message_id", "account_id"],
    )
    op.create_index(
        "ix_delivery_waiting",
        "delivery",
        ["due_at", "id"],
        sqlite_where=sa.text("state IN ('queued', 'held')"),
        postgresql_where=sa.text("state IN ('queued', 'held')"),
    )
    op.create_table(
        "attempt",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("delivery_id", _ID, nullable=False),
        sa.Column("message_id", _ID, nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index(op.f("ix_attempt_message_id_id"), "attempt", ["message_id", "id"])


def _facts() -> None:
    op.create_table(
        "event",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("list_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("message_id", _ID, nullable=False),
        sa.Column("delivery_id", _ID),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_message_id_id"), "event", ["message_id", "id"])
    op.create_table(
        "counter",
        sa.Column("account_id", _ID, autoincrement=False, nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("list_id", _ID, autoincrement=False, nullable=False),
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "hour", "list_id", "user_id", "metric", name=op.f("pk_counter")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_counter_hour"), "counter", ["hour"])
    op.create_index(
        op.f("ix_counter_user_id_metric_hour"), "counter", ["user_id", "metric", "hour"]
    )


def _machinery() -> None:
    op.create_table(
        "node",
        sa.Column("number", _ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("process", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_node")),
        sa.UniqueConstraint("name", name=op.f("uq_node_name")),
    )
    op.create_table(
        "sandbox_mail",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("header_from", sa.Text(), nullable=False),
        sa.Column("tls", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_mail")),
    )
