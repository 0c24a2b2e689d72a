"""Whose the ledger is and how many commits it confirmed; rows that are older than the truth."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("installation", sa.Column("writer", sa.String(32)))
    commits = sa.Column("commits", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("installation", commits)
    op.create_table(
        "setbacks",
        sa.Column("noticed_at", sa.Float, primary_key=True, autoincrement=False),
        sa.Column("expected", sa.BigInteger, nullable=False),
        sa.Column("found", sa.BigInteger, nullable=False),
    )
    op.add_column("intents", sa.Column("doubted_at", sa.Float))


def downgrade() -> None:
    op.drop_column("intents", "doubted_at")
    op.drop_table("setbacks")
    op.drop_column("installation", "commits")
    op.drop_column("installation", "writer")
