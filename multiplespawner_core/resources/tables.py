"""The ledger's tables. A change here needs a revision under ``migrations/versions``."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()

installation = Table(
    "installation",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("writer", String(32)),
    Column("commits", BigInteger, nullable=False, server_default="0"),
)

setbacks = Table(
    "setbacks",
    metadata,
    Column("noticed_at", Float, primary_key=True, autoincrement=False),
    Column("expected", BigInteger, nullable=False),
    Column("found", BigInteger, nullable=False),
)

LIVE = text("phase NOT IN ('releasing', 'closed')")

intents = Table(
    "intents",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("installation_id", String(32), nullable=False),
    Column("user_name", Text, nullable=False),
    Column("server_name", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("template", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("authenticator", Text),
    Column("scope_key", Text, nullable=False),
    Column("offer", JSON, nullable=False),
    Column("specification", JSON, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("phase_deadline", Float),
    Column("expires_at", Float),
    Column("handle", JSON),
    Column("child", JSON, nullable=False),
    Column("url", Text),
    Column("exit_status", Integer),
    Column("reason", Text, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("closed_at", Float),
    Column("authenticator_kwargs", JSON, nullable=False, server_default="{}"),
    Column("doubted_at", Float),
    Column("started_at", Float),
    Column("keeps", Boolean, nullable=False, server_default=false()),
    Index("ix_intents_phase", "phase"),
    Index("ix_intents_scope", "provider", "scope_key"),
    # One live intent per server, held by the database itself.
    Index(
        "uq_intents_live_server",
        "installation_id",
        "user_name",
        "server_name",
        unique=True,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    ),
)

scopes = Table(
    "scopes",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("resource_type", String(32), primary_key=True),
    Column("scope_key", Text, primary_key=True),
)
"""Every one that was ever used, by the latest attempt of an intent or by an earlier one."""

__all__ = ("LIVE", "installation", "intents", "metadata", "scopes", "setbacks")
