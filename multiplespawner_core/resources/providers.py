"""What the manager needs to know of providers."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
    """A place in which resources of some types can be.

    Args:
        scope: where.
        resource_types: some of `RESOURCE_TYPES`; a name may mean another provider for others.
    """

    scope: Scope
    resource_types: tuple[str, ...]


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

    def merged(self, reaches: Iterable[Reach]) -> Sequence[Reach]:
        """One of each scope and provider: asked once, it answers for all of its types."""


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

    def merged(self, reaches: Iterable[Reach]) -> list[Reach]:
        types: dict[tuple[Scope, object], set[str]] = defaultdict(set)
        for reach in reaches:
            for one in reach.resource_types:
                types[reach.scope, self._made(reach.scope.provider, one)].add(one)
        return sorted(Reach(scope, tuple(sorted(found))) for (scope, _), found in types.items())

    def _made(self, name: str, resource_type: str) -> object:
        """What stands for a provider; where there is none, each type stands by itself."""
        try:
            return self._pool.provider(name, resource_type)
        except Exception:  # noqa: BLE001 - who asks it is told why, and no other scope is held up
            return resource_type

    async def _reach(self, provider: Provider) -> list[Reach]:
        try:
            await self._pool.ready(provider)
            scopes = await bounded(_scopes(provider), _TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the ledger knows what was ever used
            _log.warning("%s cannot say where it acts: %r", provider.component, error)
            return []
        types = tuple(provider.capabilities().resource_types)
        return [Reach(scope, types) for scope in scopes]


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
