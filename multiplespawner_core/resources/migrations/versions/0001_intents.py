"""The ledger's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("installation", sa.Column("id", sa.String(32), primary_key=True))
    op.create_table(
        "intents",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("installation_id", sa.String(32), nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("server_name", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("authenticator", sa.Text),
        sa.Column("scope_key", sa.Text, nullable=False),
        sa.Column("offer", sa.JSON, nullable=False),
        sa.Column("specification", sa.JSON, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("phase_deadline", sa.Float),
        sa.Column("expires_at", sa.Float),
        sa.Column("handle", sa.JSON),
        sa.Column("child", sa.JSON, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("exit_status", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("closed_at", sa.Float),
    )
    live = sa.text("phase NOT IN ('releasing', 'closed')")
    op.create_index("ix_intents_phase", "intents", ["phase"])
    op.create_index("ix_intents_scope", "intents", ["provider", "scope_key"])
    op.create_index(
        "uq_intents_live_server",
        "intents",
        ["installation_id", "user_name", "server_name"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )


def downgrade() -> None:
    op.drop_table("intents")
    op.drop_table("installation")
