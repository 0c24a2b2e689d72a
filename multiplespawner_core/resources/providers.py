"""What the manager needs to know of providers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from multiplespawner_core.contracts import ConfigurationError, Kind, Provider, Scope
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.resources.timing import bounded

_TIMEOUT = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class Reach:
    """A place in which resources of one type can be.

    Args:
        scope: where.
        resource_type: one of `RESOURCE_TYPES`; a name may mean another provider for another one.
    """

    scope: Scope
    resource_type: str


class Providers(Protocol):
    """Finds providers, also those that no template names any more."""

    async def of(self, name: str, resource_type: str) -> Provider:
        """A provider, started.

        Raises:
            ConfigurationError: its plugin is missing.
        """

    def missing(self, name: str, resource_type: str) -> str:
        """Why no plugin can be asked about resources of that provider; empty if one can."""

    async def reached(self) -> Sequence[Reach]:
        """Where the providers that are configured now can make resources; those that answer."""


class PooledProviders:
    """The providers of a hub: what configuration, plugins and ledger rows name.

    Args:
        pool: makes them.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of(self, name: str, resource_type: str) -> Provider:
        return await self._pool.ready(self._pool.provider(name, resource_type))

    def missing(self, name: str, resource_type: str) -> str:
        return missing(self._pool.registry, name, resource_type)

    async def reached(self) -> list[Reach]:
        found = await asyncio.gather(*map(self._reach, self._pool.providers()))
        return [reach for reaches in found for reach in reaches]

    async def _reach(self, provider: Provider) -> list[Reach]:
        try:
            await self._pool.ready(provider)
            scopes = await bounded(_scopes(provider), _TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the ledger knows what was ever used
            _log.warning("%s cannot say where it acts: %r", provider.component, error)
            return []
        types = provider.capabilities().resource_types
        return [Reach(scope, one) for scope in scopes for one in types]


def missing(registry: Registry, name: str, resource_type: str) -> str:
    """Why no plugin offers that provider; empty if one does."""
    try:
        registry.resolve(Kind.PROVIDER, name, resource_type)
    except ConfigurationError as error:
        return str(error)
    return ""


async def _scopes(provider: Provider) -> list[Scope]:
    return list(await provider.scopes())


__all__ = ("PooledProviders", "Providers", "Reach", "missing")
