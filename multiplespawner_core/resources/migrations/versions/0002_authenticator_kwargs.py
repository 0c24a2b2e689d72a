"""What an authenticator was made with: it cleans up after its template is changed or gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("authenticator_kwargs", sa.JSON, nullable=False, server_default="{}")
    op.add_column("intents", column)


def downgrade() -> None:
    op.drop_column("intents", "authenticator_kwargs")
