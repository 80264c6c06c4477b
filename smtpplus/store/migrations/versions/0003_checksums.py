"""A checksum beside each message, so that a content which a disk has changed is not sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("message", sa.Column("crc32", sa.BigInteger()))
