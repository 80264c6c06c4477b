"""Lists keep what was learnt from their subjects; lists and SMTP users when they were changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What changed before is not known: null."""
    for name, kind in (
        ("learnt", sa.Text()),
        ("learnt_at", sa.Float()),
        ("changed_at", sa.Float()),
    ):
        op.add_column("list", sa.Column(name, kind))
    op.add_column("smtp_user", sa.Column("changed_at", sa.Float()))
