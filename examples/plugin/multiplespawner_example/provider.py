"""A directory for each server, deleted with it. Only an example: servers run as the hub's user."""

import asyncio
import contextlib
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

import multiplespawner_core as ms

MARK = "MULTIPLESPAWNER_EXAMPLE"


class DirectoryProvider(ms.Provider):
    def capabilities(self) -> ms.Capabilities:
        return ms.Capabilities(("bare_metal",), ms.MadeBy.CHILD, ms.IdempotentCreate.NAME)

    async def scopes(self) -> Sequence[ms.Scope]:
        return [ms.Scope(self.component, platform.node())]

    async def offers(self, specification: ms.Specification) -> Sequence[ms.Offer]:
        if specification.resource_type != "bare_metal":
            raise ms.InvalidSpecification("Directories are on bare metal.")
        return [ms.Offer(scope, "directory") for scope in await self.scopes()]

    async def create(self, intent: ms.Intent, keys: ms.Keys) -> ms.Handle:
        (self.state_dir / intent.id).mkdir(exist_ok=True)
        return ms.Handle(intent.id, intent.offer.scope, ms.Endpoint("127.0.0.1"))

    async def find(self, intent: ms.Intent, scope: ms.Scope) -> Sequence[ms.Handle]:
        owned = await self.list_owned(intent.installation_id, scope)
        return [one.handle for one in owned if one.intent_id == intent.id]

    async def describe(self, handle: ms.Handle) -> ms.Observation:
        _require_here(handle.scope)
        there = (self.state_dir / handle.id).exists()
        return ms.Observation(ms.ResourceState.READY if there else ms.ResourceState.GONE)

    async def delete(self, handle: ms.Handle) -> None:
        _require_here(handle.scope)
        await asyncio.to_thread(_end, handle.id, self.state_dir / handle.id)

    async def list_owned(self, installation_id: str, scope: ms.Scope) -> Sequence[ms.Owned]:
        _require_here(scope)
        places = self.state_dir.iterdir() if installation_id == self.installation_id else ()
        handles = [ms.Handle(place.name, scope) for place in places]
        return [ms.Owned(one, one.id, ms.ResourceState.READY) for one in handles]

    def child_traits(self, intent: ms.Intent, handle: ms.Handle) -> Mapping[str, Any]:
        place = str(self.state_dir / handle.id)
        return {"home_dir_template": place, "environment": {MARK: handle.id}}


def _require_here(scope: ms.Scope) -> None:
    """What is not here may well be on the machine that is meant: this proves nothing."""
    if scope.key != platform.node():
        raise ms.Transient(f"This machine, {platform.node()}, cannot see {scope.key}.")


def _end(intent_id: str, place: Path) -> None:
    """The directory goes last: once `describe` says GONE, no process may be left."""
    while marked := [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get(MARK) == intent_id
    ]:
        for process in marked:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(place)
