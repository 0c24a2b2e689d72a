"""Removing what an authenticator left for a resource, whatever became of its template."""

from __future__ import annotations

from multiplespawner_core.contracts import Authenticator, Kind
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.resources.record import Record


async def clean_up(pool: Pool, record: Record) -> None:
    """Let the row's authenticator clean up.

    Raises:
        ConfigurationError: its plugin is missing.
    """
    if record.authenticator is None:
        return
    component = pool.registry.resolve(Kind.AUTHENTICATOR, record.authenticator)
    cls: type[Authenticator] = pool.registry.load(Kind.AUTHENTICATOR, component)
    # Not the template's: it may have been changed or removed since.
    kept = pool.authenticator(record.template, cls, record.authenticator_kwargs)
    authenticator = await pool.ready(kept)
    await authenticator.cleanup(record.intent())


__all__ = ("clean_up",)
