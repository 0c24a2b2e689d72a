"""Without a hub: its part on the ledger, under its lock, for as long as the command takes."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from multiplespawner_core.catalogue.load import load
from multiplespawner_core.cli.resources.door import Model
from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.planning.site import Site
from multiplespawner_core.resources.cleanup import clean_up
from multiplespawner_core.resources.inventory import Inventory
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import Manager
from multiplespawner_core.resources.providers import PooledProviders
from multiplespawner_core.spawner.assembly import Assembly

_PAUSE = 0.2


class Alone(Inventory):
    """The inventory of a hub that is down.

    Args:
        manager: holds no row yet; each is taken up where it is asked for.
        providers: know which plugins are missing.
    """

    def __init__(self, manager: Manager, providers: PooledProviders) -> None:
        super().__init__(manager, providers)
        self._held = manager

    async def discard(self, given: str, by: str) -> Model:
        """Delete a quarantined thing: no sweep has been made yet that knows of it."""
        reconciler = self._held.reconciler
        reconciler.latest = await reconciler.sweep(dry_run=True)
        return await super().discard(given, by)

    async def reconcile(self, *, dry_run: bool = False) -> Model:
        """Sweep all scopes, and do what a hub does when it starts: releases go on."""
        if not dry_run:
            self._held.resume(None)
        return await super().reconcile(dry_run=dry_run)

    async def finish(self, seconds: float) -> None:
        """Wait for what is being given back: once this ends, nobody goes on with it."""
        deadline = time.monotonic() + seconds
        while (left := await self._under_way()) and time.monotonic() < deadline:
            await asyncio.sleep(_PAUSE)
        if left:
            message = f"{left} are still being given back; the hub goes on with that when it starts"
            print(f"multiplespawner: {message}", file=sys.stderr)

    async def _under_way(self) -> int:
        """How many are being given back or stopped of those whose providers can be asked."""
        rows = (await self.list())["resources"]
        ending = ("stopping", "releasing")
        return sum(row["phase"] in ending and not row["unreachable"] for row in rows)


@asynccontextmanager
async def opened(assembly: Assembly) -> AsyncIterator[Alone]:
    """Hold the ledger's lock; what was begun and is not done goes on when the hub starts.

    Raises:
        LedgerInUse: the hub runs.
        ConfigurationError: there is no hub's ledger, or it is not this user's.
    """
    place = state_dir(assembly)
    _require_own(place)
    _speak()
    ledger = Ledger.open(assembly.settings.ledger_url, place)
    try:
        pool = Pool(assembly.registry, assembly.config, place, ledger.installation_id)
        # Makes the providers that are configured now: where they act is looked as well.
        Site(assembly.resolve(load(assembly.locate())), pool)
        providers = PooledProviders(pool)
        manager = Manager(ledger, providers, partial(clean_up, pool), lambda _: None)
    except BaseException:
        ledger.close()
        raise
    try:
        yield Alone(manager, providers)
    finally:
        # Who called has waited for as long as they wanted.
        await manager.shutdown(0)
        await pool.shutdown()


def state_dir(assembly: Assembly) -> Path:
    """Where the hub keeps its ledger."""
    return Path(assembly.settings.state_dir).expanduser().absolute()


def caller() -> str:
    """Who calls the command, for the ledger."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"account {name}"


def _require_own(place: Path) -> None:
    """What is made there has to be the hub's: it could not open what is another user's."""
    file = place / "installation_id"
    try:
        owner = file.stat().st_uid
    except OSError as error:
        msg = (
            f"no hub has ever used c.MultipleSpawner.state_dir {place} ({error.strerror}: {file});"
            " call the command in the directory in which the hub is started, as the user that the"
            " hub runs as"
        )
        raise ConfigurationError(msg) from error
    if owner != os.geteuid():
        msg = f"{place} belongs to the user with the id {owner}: call the command as that user"
        raise ConfigurationError(msg)


def _speak() -> None:
    """What the hub would log goes to the standard error, without tracebacks."""
    logging.getLogger("multiplespawner_core").addHandler(_Plain(logging.WARNING))


class _Plain(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"multiplespawner: {record.getMessage()}", file=sys.stderr)


__all__ = ("Alone", "caller", "opened", "state_dir")
