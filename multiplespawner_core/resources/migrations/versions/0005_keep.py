"""Whether a resource is stopped rather than deleted, and when it was started again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("intents", sa.Column("started_at", sa.Float))
    keeps = sa.Column("keeps", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("intents", keeps)


def downgrade() -> None:
    op.drop_column("intents", "keeps")
    op.drop_column("intents", "started_at")
