"""Every scope that was ever used: a sweep asks there, whatever the configuration says by now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    scopes = op.create_table(
        "scopes",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("resource_type", sa.String(32), primary_key=True),
        sa.Column("scope_key", sa.Text, primary_key=True),
    )
    intents = sa.table(
        "intents",
        sa.column("provider", sa.Text),
        sa.column("scope_key", sa.Text),
        sa.column("specification", sa.JSON),
    )
    rows = op.get_bind().execute(sa.select(intents)).mappings()
    used = {
        (row["provider"], row["specification"]["resource_type"], row["scope_key"]) for row in rows
    }
    for provider, resource_type, scope_key in sorted(used):
        values = {"provider": provider, "resource_type": resource_type, "scope_key": scope_key}
        op.get_bind().execute(scopes.insert().values(**values))


def downgrade() -> None:
    op.drop_table("scopes")
