"""The tables, as SQLAlchemy Core knows them.

Guarantees: the same tables on SQLite and PostgreSQL; `HEAD` is the newest revision of
``migrations/versions``, and a migrated store equals this metadata (a test holds them together).
Ids of message, delivery, attempt and event come from `IdSource` and so are in order of time.
Times are Unix seconds, ``hour`` the Unix time of an hour's start.

No enum types, no JSON types, no foreign keys on what is written with every message: checks
live where the rows are made, and a later version may add a value without a migration.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "COUNTERS",
    "HEAD",
    "METADATA",
    "account",
    "attempt",
    "campaign",
    "content",
    "content_part",
    "counter",
    "counter_campaign",
    "counter_day",
    "counter_day_campaign",
    "counter_day_provider",
    "counter_hour",
    "delivery",
    "dkim_key",
    "event",
    "installation",
    "link",
    "mail_list",
    "message",
    "node",
    "once",
    "person",
    "recipient",
    "sandbox_mail",
    "sender_domain",
    "session",
    "sign_in",
    "smtp_user",
    "subscription",
    "suppression",
]

HEAD = "0008"

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite makes a table's rows the primary key's tree only where the type is INTEGER itself.
_Id = BigInteger().with_variant(Integer, "sqlite")


def _made_id() -> Column[int]:
    """A primary key that the database counts up; never given twice."""
    return Column("id", _Id, primary_key=True, autoincrement=True)


def _given_id(name: str = "id") -> Column[int]:
    """A primary key that comes with the row."""
    return Column(name, _Id, primary_key=True, autoincrement=False)


# ---------------------------------------------------------------- who may send what

account = Table(
    "account",
    METADATA,
    _made_id(),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),  # lower case: what must be unique
    Column("created_at", Float, nullable=False),
    UniqueConstraint("name_key"),
    sqlite_autoincrement=True,
)

mail_list = Table(
    "list",
    METADATA,
    _made_id(),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("settings", Text, nullable=False),  # a JSON object
    Column("created_at", Float, nullable=False),
    Column("learnt", Text),  # JSON of subject_sql.py; null: nothing
    Column("learnt_at", Float),
    Column("changed_at", Float),  # settings or stream; null: never, or before that was kept
    UniqueConstraint("account_id", "name_key"),
    sqlite_autoincrement=True,
)

smtp_user = Table(
    "smtp_user",
    METADATA,
    _made_id(),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("list_id", _Id, ForeignKey("list.id"), nullable=False),
    Column("username", Text, nullable=False),
    Column("username_key", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("iterations", Integer, nullable=False),
    Column("stored_key", LargeBinary, nullable=False),
    Column("server_key", LargeBinary, nullable=False),
    Column("domains", Text, nullable=False),  # JSON arrays of strings
    Column("senders", Text, nullable=False),
    Column("networks", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("limit_hour", Integer),
    Column("limit_day", Integer),
    Column("duplicates", Float, nullable=False),
    Column("recall", Float, nullable=False),
    Column("status", Text, nullable=False),
    Column("blocked_until", Float),
    Column("block_reason", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("changed_at", Float),  # what holds for its messages; null as in `list`
    Column("settings", Text),  # JSON, of its list's settings those that are its own; null: none
    UniqueConstraint("username_key"),
    sqlite_autoincrement=True,
)

sender_domain = Table(
    "sender_domain",
    METADATA,
    _made_id(),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("domain", Text, nullable=False),  # lower-case A-labels
    Column("verified_at", Float),
    Column("created_at", Float, nullable=False),
    Column("tracking_host", Text),  # null: the installation's
    UniqueConstraint("domain"),
    sqlite_autoincrement=True,
)

dkim_key = Table(
    "dkim_key",
    METADATA,
    _made_id(),
    Column("domain", Text, nullable=False),  # a sender domain, or the installation's own
    Column("selector", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # the private PEM, see seal.py
    Column("public_b64", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("domain", "selector"),
    sqlite_autoincrement=True,
)

# ---------------------------------------------------------------- people

person = Table(
    "person",
    METADATA,
    _made_id(),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("account_id", _Id, ForeignKey("account.id")),
    Column("password_hash", Text),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("email_key"),
    sqlite_autoincrement=True,
)

sign_in = Table(
    "sign_in",
    METADATA,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("person_id", _Id, ForeignKey("person.id"), nullable=False),
    Column("expires_at", Float, nullable=False),
)

session = Table(
    "session",
    METADATA,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("person_id", _Id, ForeignKey("person.id"), nullable=False),
    Column("csrf", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
)

# ---------------------------------------------------------------- the queue

# What is searched and counted stands in front: SQLite reads a row from its beginning.
message = Table(
    "message",
    METADATA,
    _given_id(),
    Column("account_id", _Id, nullable=False),
    Column("list_id", _Id, nullable=False),
    Column("user_id", _Id, nullable=False),
    Column("recipients", Integer, nullable=False),
    Column("remaining", Integer, nullable=False),  # deliveries that are not final
    Column("in_file", Boolean, nullable=False),
    Column("search", Text, nullable=False),  # lower case: subject, sender, first recipients
    Column("sender", Text),  # null: <>
    Column("sender_key", Text),
    Column("received_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("body", Text, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
    Column("ret", Text),
    Column("envid", Text),
    Column("declared_bytes", BigInteger, nullable=False),
    Column("header_from", Text, nullable=False),
    Column("from_domain", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("header_message_id", Text, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("head_octets", Integer, nullable=False),
    Column("cuts", Text, nullable=False),  # JSON, empty for none
    Column("eight_bit", Boolean, nullable=False),
    Column("long_lines", Boolean, nullable=False),
    Column("utf8_head", Boolean, nullable=False),
    Column("client_ip", Text, nullable=False),
    Column("hello", Text, nullable=False),
    Column("tls", Text, nullable=False),
    Column("mechanism", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("reports_on", _Id),
    Column("prepend", LargeBinary, nullable=False),
    Column("crc32", BigInteger),  # of the content; null: accepted before it was kept
    Column("campaign_name", Text),  # null: as `campaign`
    Column("options", Text),  # JSON of values.options.Options, without recipients; null: none
    Column("deliver_by", Text),  # BY= of MAIL as given
    Column("mt_priority", Integer),
    Index(None, "account_id", "id"),
    Index(None, "user_id", "id"),
    Index(None, "sender_key", "id"),
)
# Where an index holds some rows only, the migrations say so for PostgreSQL: said here, it would
# load SQLAlchemy's whole dialect, 2 MiB, into every process.
_IN_FILE = text("in_file")
Index("ix_message_in_file", message.c.id, sqlite_where=_IN_FILE)

content = Table(
    "content",
    METADATA,
    _given_id("message_id"),
    Column("octets", LargeBinary, nullable=False),  # mostly compressed, see compression.py
)

# A large content where the database keeps it (PostgreSQL): pieces in their order.
content_part = Table(
    "content_part",
    METADATA,
    _given_id("message_id"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("octets", LargeBinary, nullable=False),
)

delivery = Table(
    "delivery",
    METADATA,
    _given_id(),
    Column("message_id", _Id, nullable=False),
    Column("account_id", _Id, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("lease_node", Integer),  # null: nobody works on it; how long it holds: node.lease_until
    Column("lease_until", Float),  # as it was foreseen when it was given
    Column("domain", Text, nullable=False),  # lower-case A-labels
    Column("attempts", Integer, nullable=False),
    Column("address", Text, nullable=False),
    Column("address_key", Text, nullable=False),
    Column("notify", Text),
    Column("orcpt", Text),
    Column("delay_reported", Boolean, nullable=False),
    Column("settled_at", Float),
    Column("last_outcome", Text),  # JSON of values.outcome.Outcome
    Column("name", Text),  # of the recipient, as the message says; null: none
    Column("fields", Text),  # a JSON object; null: none
    Column("withheld", Text),  # why it was never to be mailed; null: it was
    Column("provider", Text),  # whose servers took it or spoke last (rules.providers)
    Column("opened_at", Float),  # by a person, first
    Column("clicked_at", Float),
    Column("priority", Integer, nullable=False, server_default=text("3")),  # 1 to 5
    Index(None, "message_id", "id"),
    Index(None, "state", "message_id", "account_id"),
    Index(None, "address_key", "message_id"),
)

# What is fresh is leased from birth and never enters the index of what can be claimed.
_CLAIMABLE = text("state = 'queued' AND lease_node IS NULL")
Index(
    "ix_delivery_claimable",
    delivery.c.priority,
    delivery.c.due_at,
    delivery.c.id,
    delivery.c.domain,
    sqlite_where=_CLAIMABLE,
)
_WAITING = text("state IN ('queued', 'held')")
Index(
    "ix_delivery_waiting",
    delivery.c.due_at,
    delivery.c.id,
    sqlite_where=_WAITING,
)

attempt = Table(
    "attempt",
    METADATA,
    _given_id(),
    Column("delivery_id", _Id, nullable=False),
    Column("message_id", _Id, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("result", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("facts", LargeBinary, nullable=False),  # rows.py: attempt and outcome
    Index(None, "message_id", "id"),
)

event = Table(
    "event",
    METADATA,
    _given_id(),
    Column("type", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("account_id", _Id, nullable=False),
    Column("list_id", _Id, nullable=False),
    Column("user_id", _Id, nullable=False),
    Column("message_id", _Id, nullable=False),
    Column("delivery_id", _Id),
    Column("n", Integer, nullable=False),  # deliveries this fact is about
    Column("detail", Text, nullable=False),  # a JSON object, empty for none
    Index(None, "message_id", "id"),
)

# ---------------------------------------------------------------- counters

# D16: accepted is the sum of delivered, bounced, expired, cancelled and what still waits; all
# count deliveries. ``messages`` counts the submissions of people, not our own reports. Each node
# has rows of its own, so that none waits for another's commit: a count is a sum over nodes.
# `counter` has everything; the others are its sums, so that a page reads few rows.
counter = Table(
    "counter",
    METADATA,
    Column("account_id", _Id, primary_key=True, autoincrement=False),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("list_id", _Id, primary_key=True, autoincrement=False),
    Column("user_id", _Id, primary_key=True, autoincrement=False),
    Column("campaign", Text, primary_key=True),  # "": counted before there were campaigns
    Column("provider", Text, primary_key=True),  # "": no server was spoken to
    Column("metric", Text, primary_key=True),
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

counter_hour = Table(
    "counter_hour",
    METADATA,
    Column("account_id", _Id, primary_key=True, autoincrement=False),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("list_id", _Id, primary_key=True, autoincrement=False),
    Column("user_id", _Id, primary_key=True, autoincrement=False),
    Column("metric", Text, primary_key=True),
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    Index(None, "user_id", "metric", "hour"),
    sqlite_with_rowid=False,
)

counter_day = Table(
    "counter_day",
    METADATA,
    Column("account_id", _Id, primary_key=True, autoincrement=False),
    Column("day", BigInteger, primary_key=True, autoincrement=False),  # its start, UTC
    Column("list_id", _Id, primary_key=True, autoincrement=False),
    Column("user_id", _Id, primary_key=True, autoincrement=False),
    Column("metric", Text, primary_key=True),
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

counter_day_campaign = Table(
    "counter_day_campaign",
    METADATA,
    Column("account_id", _Id, primary_key=True, autoincrement=False),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("list_id", _Id, primary_key=True, autoincrement=False),
    Column("campaign", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

counter_day_provider = Table(
    "counter_day_provider",
    METADATA,
    Column("account_id", _Id, primary_key=True, autoincrement=False),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("provider", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

counter_campaign = Table(
    "counter_campaign",
    METADATA,
    Column("account_id", _Id, primary_key=True, autoincrement=False),
    Column("list_id", _Id, primary_key=True, autoincrement=False),
    Column("campaign", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

COUNTERS = (
    counter,
    counter_hour,
    counter_day,
    counter_day_campaign,
    counter_day_provider,
    counter_campaign,
)

# What was clicked in a campaign's mails: clicks by persons, and by everything else.
link = Table(
    "link",
    METADATA,
    Column("list_id", _Id, primary_key=True, autoincrement=False),
    Column("campaign", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("persons", BigInteger, nullable=False),
    Column("others", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# ---------------------------------------------------------------- campaigns and recipients

campaign = Table(
    "campaign",
    METADATA,
    Column("list_id", _Id, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),  # what message.campaign says
    Column("account_id", _Id, nullable=False),
    Column("name", Text, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),  # within a minute; without those merged into it
    Column("merged_into", Text),  # the key of another one of the list, which is not merged
    Index(None, "account_id", "last_at"),
    Index(None, "last_at"),
    Index(None, "list_id", "merged_into"),
)

recipient = Table(
    "recipient",
    METADATA,
    _given_id(),
    Column("account_id", _Id, nullable=False),
    Column("address_key", Text, nullable=False),
    Column("search", Text, nullable=False),  # lower case: address, name
    Column("address", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("fields", Text, nullable=False),  # a JSON object, empty for none
    Column("first_mail_at", Float, nullable=False),
    Column("last_mail_at", Float, nullable=False),
    Column("last_delivery_at", Float),
    Column("last_open_at", Float),
    Column("last_click_at", Float),
    Column("complained_at", Float),
    Column("mails", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("bounced", BigInteger, nullable=False),
    Column("opens", BigInteger, nullable=False),
    Column("clicks", BigInteger, nullable=False),
    Column("soft", Integer, nullable=False),  # soft failures in a row (rules.soft_bounces)
    Column("soft_full", Integer, nullable=False),  # full mailboxes since a delivery
    UniqueConstraint("account_id", "address_key"),
    Index(None, "account_id", "id"),
)

# No row: active, since the list's first mail to the address.
subscription = Table(
    "subscription",
    METADATA,
    Column("list_id", _Id, primary_key=True, autoincrement=False),
    Column("address_key", Text, primary_key=True),
    Column("account_id", _Id, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("since", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "address_key"),
)

# An erased address is kept as a keyed hash: ``address_key`` is that, ``address`` is empty.
suppression = Table(
    "suppression",
    METADATA,
    _given_id(),
    Column("account_id", _Id, nullable=False),
    Column("list_id", _Id),  # null: the whole account
    Column("address_key", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("expires_at", Float),
    Column("lifted_at", Float),
    Column("detail", Text, nullable=False),
    Column("set_by", Text, nullable=False),  # who asked for it, empty: the system
    Column("lifted_by", Text, nullable=False),
    Index(None, "account_id", "id"),
    Index(None, "address_key"),
)

# Submissions that are not to be accepted twice, see Accepted.once.
once = Table(
    "once",
    METADATA,
    Column("user_id", _Id, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("message_id", _Id, nullable=False),
    Column("until", Float, nullable=False),
    Index(None, "until"),
)

# ---------------------------------------------------------------- machinery

installation = Table(
    "installation",
    METADATA,
    Column("name", Text, primary_key=True),  # "secret": its fingerprint (secret_check.py)
    Column("value", LargeBinary, nullable=False),
)

node = Table(
    "node",
    METADATA,
    _given_id("number"),  # what IdSource puts into every id, 0 to 255
    Column("name", Text, nullable=False),
    Column("process", Integer, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("holder", Text),  # the process that is this node: a number it drew at its start
    Column("lease_until", Float),  # by the database's clock; null: its leases were taken away
    UniqueConstraint("name"),
)

sandbox_mail = Table(
    "sandbox_mail",
    METADATA,
    _given_id(),
    Column("received_at", Float, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("search", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("header_from", Text, nullable=False),
    Column("tls", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
