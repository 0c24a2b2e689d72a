"""What one hub has one of: registry, catalogue, pool, ledger and manager."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from jupyterhub.spawner import Spawner
from traitlets.config import Config

from multiplespawner_core.catalogue.check import Resolution
from multiplespawner_core.catalogue.load import Catalogue
from multiplespawner_core.contracts import Kind, Owner, Provider
from multiplespawner_core.planning.current import CurrentSite
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.planning.site import Site
from multiplespawner_core.resources.child import Child
from multiplespawner_core.resources.cleanup import clean_up
from multiplespawner_core.resources.inventory import Inventory
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import Manager, Serving
from multiplespawner_core.resources.providers import PooledProviders
from multiplespawner_core.resources.record import Record
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.spawner.assembly import assemble
from multiplespawner_core.spawner.child import ChildSpawner
from multiplespawner_core.spawner.late_handlers import LateHandlers

if TYPE_CHECKING:
    from multiplespawner_core.spawner.multiple import MultipleSpawner

_log = logging.getLogger(__name__)

Revive = Callable[[Owner], Spawner | None]


class Runtime:
    """Made when the hub starts; JupyterHub is one application a process, and so is this.

    Args:
        config: the hub's.
        revive: the Spawner that JupyterHub has for a server.
        log: the hub's, through which the core's and the plugins' loggers speak.

    Raises:
        ConfigurationError: the hub cannot start with this configuration; the message says why.
    """

    _current: ClassVar[Runtime | None] = None

    def __init__(self, config: Config, revive: Revive, log: logging.Logger) -> None:
        self._revive = revive
        _speak_through(log, {"multiplespawner_core"})
        self._assembly = assemble(config).required()
        self.settings, self.registry = self._assembly.settings, self._assembly.registry
        for plugin in self.registry.plugins:
            if plugin.reason:
                _log.warning("plugin %s is %s: %s", plugin, plugin.state.value, plugin.reason)
        _speak_through(log, self.registry.packages())
        state_dir = Path(self.settings.state_dir).expanduser().absolute()
        self.ledger = Ledger.open(self.settings.ledger_url, state_dir)
        try:
            self.pool = Pool(self.registry, config, state_dir, self.ledger.installation_id)
            self._late_handlers = LateHandlers()
            self._current_site = CurrentSite(self._assembly.locate, self._resolve, self.pool)
        except BaseException:
            self.ledger.close()
            raise
        providers = PooledProviders(self.pool)
        self.manager = Manager(self.ledger, providers, self._cleanup, self._child_of)
        self.inventory = Inventory(self.manager, providers)
        self._lost: set[str] = set()

    @classmethod
    def start(
        cls, config: Config, revive: Revive, serving: Serving, log: logging.Logger
    ) -> Runtime:
        """Make the runtime of this hub and take up what an earlier one left.

        Args:
            config: the hub's.
            revive: the Spawner that JupyterHub has for a server.
            serving: says for which intents JupyterHub's database shows running servers.
            log: the hub's.
        """
        runtime = cls(config, revive, log)
        cls._current = runtime
        runtime.manager.recover(serving, runtime.settings.sweep_interval)
        return runtime

    @classmethod
    def current(cls, spawner: MultipleSpawner) -> Runtime:
        """The hub's runtime.

        Where `hub.attach` did not run, it is made now, with the first Spawner that needs it.
        """
        if cls._current is None:
            _log.warning(
                "multiplespawner was not attached when the hub started; it starts with the first"
                " server, and what an earlier hub left is taken up only now"
            )
            cls.start(spawner.config, lambda _: None, spawner.serving, spawner.log)
        assert cls._current is not None  # noqa: S101 - made above
        return cls._current

    @property
    def site(self) -> Site:
        """What can be chosen here, as the files were read last."""
        return self._current_site.site

    async def fresh_site(self) -> Site:
        """The same, with the files read again if they have changed."""
        return await self._current_site.fresh()

    async def shutdown(self) -> None:
        """End with the hub: starts are given up, servers that run stay."""
        await self.manager.shutdown()
        await self.pool.shutdown()
        if Runtime._current is self:
            Runtime._current = None

    async def rename(self, owner: Owner, old_name: str, new_name: str) -> None:
        """Keep resources with a server that gets a new name."""
        old, new = Owner(owner.user, old_name), Owner(owner.user, new_name)
        await self.manager.rename(old, new)
        # The closed rows as well: `past_children` reads them.
        for record in await self.ledger.history(old):
            await self.ledger.update(record, owner=new)

    def relink(self, spawner: MultipleSpawner, resource: Resource) -> ChildSpawner | None:
        """Rebuild the child of a server that runs since before this hub did; None if it cannot be.

        Without its class the server is still shown; whether it runs its provider says, through
        which it is released.
        """
        record = resource.record
        if record is None or not record.child:
            return None
        try:
            child = ChildSpawner.restore(spawner, record.child, self._child_class(record))
            assert child.spawner is not None  # noqa: S101 - just built
            # A server that ended while the hub was down is never stopped through us.
            spawner.adopt(child.spawner)
        except Exception as error:  # noqa: BLE001 - load_state and poll must not raise
            if record.id not in self._lost:  # every poll and page tries again
                _log.warning(
                    "%s of %s: its spawner cannot be rebuilt", record.id, record.owner,
                    exc_info=error,
                )  # fmt: skip
            self._lost.add(record.id)
            return None
        self.manager.link(resource, child)
        return child

    async def past_children(self, spawner: MultipleSpawner) -> list[Spawner]:
        """One child of every kind that this server ever had, as it was last."""
        children: dict[tuple[str, ...], Spawner] = {}
        for record in reversed(await self.ledger.history(spawner.owner)):
            name = str(record.child.get("class", ""))
            kind = (name, record.template, record.deployment, record.provider, record.scope.key)
            if name and kind not in children:
                try:
                    cls = self._child_class(record)
                    child = ChildSpawner.restore(spawner, record.child, cls).spawner
                except Exception:  # noqa: BLE001 - the others are to be asked as well
                    _log.exception("%s: %s cannot be rebuilt", record.owner, name)
                else:
                    if child is not None:
                        children[kind] = child
        return list(children.values())

    def _child_class(self, record: Record) -> type[Spawner]:
        component = self.registry.resolve(Kind.SPAWNER, str(record.child["class"]))
        base: type[Spawner] = self.registry.load(Kind.SPAWNER, component)
        return self._provider(record).child_class(base)

    def _provider(self, record: Record) -> Provider:
        return self.pool.provider(record.provider, record.specification.resource_type)

    async def _cleanup(self, record: Record) -> None:
        await clean_up(self.pool, record)

    def _child_of(self, resource: Resource) -> Child | None:
        spawner = self._revive(resource.owner)
        if spawner is None:
            return None
        # Asking for its child links it.
        _ = spawner.child
        return resource.child

    def _resolve(self, catalogue: Catalogue) -> Resolution:
        with self._late_handlers.watched():
            resolution = self._assembly.resolve(catalogue)
        self._late_handlers.refuse(resolution)
        return resolution


def _speak_through(log: logging.Logger, packages: Collection[str]) -> None:
    """Give the packages' loggers the hub's handlers and level, as JupyterHub does tornado's."""
    for package in packages:
        logger = logging.getLogger(package)
        logger.parent = log
        logger.setLevel(log.getEffectiveLevel())


__all__ = ("Runtime",)
