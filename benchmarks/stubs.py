"""Machines and servers that cost nothing, so that what a hub does with many of them is measured.

A hub's configuration names these classes. All servers are one: `crowds` runs it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import Bool, Unicode

import multiplespawner_core as ms
from benchmarks.probe import PROBE

MACHINES = "machines"
"""The file in which the provider keeps its machines."""


class StubSpawner(Spawner):
    """The bare child, and the child of ours."""

    url = Unicode(help="Where every server answers.").tag(config=True)

    alone = Bool(True, help="Whether no provider has waited for its machine.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._runs = False

    async def start(self) -> str:
        self._runs = True
        if self.alone:
            PROBE.boots.begin(self.user.name)
            await PROBE.boots.wait(self.user.name)
        return str(self.url)

    async def poll(self) -> int | None:
        return None if self._runs else 0

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002 - JupyterHub's signature
        self._runs = False

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "runs": self._runs}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._runs = state.get("runs", False)

    def clear_state(self) -> None:
        super().clear_state()
        self._runs = False


class StubProvider(ms.Provider):
    """Its machines stand in a file, and so outlive the hub. The probe counts what it is asked."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._file: Path = self.state_dir / MACHINES
        self._machines: set[str] = set()
        if self._file.exists():
            for line in self._file.read_text().splitlines():
                machine, there = json.loads(line)
                self._take(machine, there=there)

    def capabilities(self) -> ms.Capabilities:
        return ms.Capabilities(
            ("virtual_machine",), idempotent_create=ms.IdempotentCreate.NAME, ready_timeout=600
        )

    async def scopes(self) -> Sequence[ms.Scope]:
        return [ms.Scope(self.component, "here")]

    async def offers(self, specification: ms.Specification) -> Sequence[ms.Offer]:  # noqa: ARG002 - no use for it here
        return [ms.Offer(scope, "machine") for scope in await self.scopes()]

    async def create(self, intent: ms.Intent, keys: ms.Keys) -> ms.Handle:  # noqa: ARG002 - no use for it here
        PROBE.calls["create"] += 1
        if intent.id not in self._machines:
            PROBE.boots.begin(intent.id)
            self._write(intent.id, there=True)
        return ms.Handle(intent.id, intent.offer.scope)

    async def find(self, intent: ms.Intent, scope: ms.Scope) -> Sequence[ms.Handle]:
        PROBE.calls["find"] += 1
        return [ms.Handle(intent.id, scope)] if intent.id in self._machines else []

    async def describe(self, handle: ms.Handle) -> ms.Observation:
        PROBE.calls["describe"] += 1
        state = self._state(handle.id)
        ready = state is ms.ResourceState.READY
        return ms.Observation(state, ms.Endpoint("127.0.0.1") if ready else None)

    async def delete(self, handle: ms.Handle) -> None:
        PROBE.calls["delete"] += 1
        if handle.id in self._machines:
            self._write(handle.id, there=False)

    async def list_owned(self, installation_id: str, scope: ms.Scope) -> Sequence[ms.Owned]:
        PROBE.calls["list_owned"] += 1
        mine = self._machines if installation_id == self.installation_id else ()
        return [ms.Owned(ms.Handle(one, scope), one, self._state(one)) for one in mine]

    def _state(self, machine: str) -> ms.ResourceState:
        if machine not in self._machines:
            return ms.ResourceState.GONE
        up = PROBE.boots.is_up(machine)
        return ms.ResourceState.READY if up else ms.ResourceState.PENDING

    def _write(self, machine: str, *, there: bool) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps([machine, there]) + "\n")
        self._take(machine, there=there)

    def _take(self, machine: str, *, there: bool) -> None:
        (self._machines.add if there else self._machines.discard)(machine)


__all__ = ("MACHINES", "StubProvider", "StubSpawner")
