"""The words that failed, over all runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "quarantine",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("api", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("term", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_run", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("failed_at", sa.Float(53), nullable=False),
        sa.Column("quarantined_at", sa.Float(53)),
    )


def downgrade() -> None:
    """Drop it: every word is tried again."""
    op.drop_table("quarantine")
