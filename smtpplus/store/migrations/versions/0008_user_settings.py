"""SMTP users may have settings of their own in place of their list's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody has any yet: null."""
    op.add_column("smtp_user", sa.Column("settings", sa.Text()))
