"""Runs the ledger's revisions on the connection that `Ledger.open` hands over."""

from __future__ import annotations

from alembic import context

from multiplespawner_core.resources.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="multiplespawner_version",
)
with context.begin_transaction():
    context.run_migrations()
