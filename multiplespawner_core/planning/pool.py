"""The pool: one instance of every configured provider and authenticator, for the whole hub."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from traitlets import TraitError
from traitlets.config import Config

from multiplespawner_core.contracts import (
    Authenticator,
    ConfigurationError,
    Kind,
    Plugin,
    Provider,
)
from multiplespawner_core.plugins.registry import Registry

P = TypeVar("P", bound=Plugin)

STARTUP_TIMEOUT = 60.0
"""Seconds that a component's `startup` may take."""

_log = logging.getLogger(__name__)


class Pool:
    """Makes providers, authenticators and configurers, and starts and ends what is kept.

    Args:
        registry: knows their classes.
        config: the hub's; components read their own sections of it.
        state_dir: each kept component gets a private directory below it.
        installation_id: marks everything that this hub owns.
    """

    def __init__(
        self, registry: Registry, config: Config, state_dir: Path, installation_id: str
    ) -> None:
        self.registry = registry
        self.config = config
        self._state_dir = state_dir
        self._installation_id = installation_id
        self._kept: dict[str, Plugin] = {}
        self._started: dict[str, asyncio.Task[None]] = {}

    def provider(self, name: str, resource_type: str) -> Provider:
        """The provider of that name for that type.

        Raises:
            ConfigurationError: no plugin in use offers it, or it cannot be made.
        """
        component = self.registry.resolve(Kind.PROVIDER, name, resource_type)
        cls: type[Provider] = self.registry.load(Kind.PROVIDER, component)
        return self._keep(f"provider-{component.target}", cls, component.name, {})

    def providers(self) -> list[Provider]:
        """Every provider that was made."""
        return [kept for kept in self._kept.values() if isinstance(kept, Provider)]

    def authenticator(
        self, template: str, cls: type[Authenticator], kwargs: Mapping[str, Any]
    ) -> Authenticator:
        """The authenticator of a template, kept while the hub runs.

        Another one for each version of the template: what an earlier version made is cleaned up
        by that version.
        """
        made_with = json.dumps(kwargs, sort_keys=True, default=repr)
        key = f"authenticator-{template}-{cls.__module__}.{cls.__qualname__}-{made_with}"
        return self._keep(key, cls, template, kwargs)

    def make(self, cls: type[P], name: str, kwargs: Mapping[str, Any]) -> P:
        """A component for one use.

        Raises:
            ConfigurationError: its class does not take these arguments.
        """
        try:
            return cls(
                component=name,
                state_dir=self.directory(name),
                installation_id=self._installation_id,
                config=self.config,
                **kwargs,
            )
        except (TypeError, ValueError, TraitError, OSError) as error:
            msg = f"{cls.__name__} for {name!r} cannot be made: {error}"
            raise ConfigurationError(msg) from error

    def directory(self, name: str) -> Path:
        """Where a component of that name keeps what must survive the hub; made where missing."""
        directory = self.place(name)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    def place(self, name: str) -> Path:
        """The path of that directory, made or not."""
        return self._state_dir / "plugins" / re.sub(r"[^A-Za-z0-9_-]", "_", name)

    async def ready(self, plugin: P) -> P:
        """The component, once its `startup` has run; a failed one is tried anew at the next use."""
        key = next((key for key, kept in self._kept.items() if kept is plugin), None)
        if key is None:
            await plugin.startup()
            return plugin
        task = self._started.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            starting = asyncio.wait_for(plugin.startup(), STARTUP_TIMEOUT)
            task = self._started[key] = asyncio.ensure_future(starting)
        await asyncio.shield(task)
        return plugin

    async def shutdown(self) -> None:
        """End every component that was started."""
        for key in self._started:
            try:
                await self._kept[key].shutdown()
            except Exception:  # noqa: BLE001 - the others are to be ended as well
                _log.exception("%s did not shut down", type(self._kept[key]).__name__)

    def _keep(self, key: str, cls: type[P], name: str, kwargs: Mapping[str, Any]) -> P:
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = self.make(cls, name, kwargs)
        assert isinstance(kept, cls)  # noqa: S101 - the key holds the class's path
        return kept


class Onlooker(Pool):
    """A pool beside the hub, for looking alone: it makes no directories in the hub's.

    Args:
        registry: knows the classes.
        config: the hub's.
        state_dir: the hub's; what a component keeps there is seen where there is something.
        empty: directory that takes the place of what is not there.
    """

    def __init__(self, registry: Registry, config: Config, state_dir: Path, empty: Path) -> None:
        super().__init__(registry, config, state_dir, uuid.uuid4().hex)
        self._empty = empty

    def directory(self, name: str) -> Path:
        """The component's directory, if the hub has made it.

        Raises:
            ConfigurationError: it cannot be read.
        """
        place = self.place(name)
        try:
            next(place.iterdir(), None)
        except FileNotFoundError:
            place = self._empty / place.name
            place.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            msg = f"{place} cannot be read ({error.strerror}): be the user that the hub runs as"
            raise ConfigurationError(msg) from error
        return place


__all__ = ("Onlooker", "Pool")
