"""Contents may be compressed: the same tables, but an older version would take them for damaged."""

from __future__ import annotations

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing: contents that are there stay as they are and are read as they are."""
