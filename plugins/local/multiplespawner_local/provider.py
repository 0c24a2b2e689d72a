"""This machine as a provider: a resource is a place on it, and the child's processes fill it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from traitlets import Bool, Enum, Float, Unicode, default

from multiplespawner_core import (
    GB,
    Availability,
    Capabilities,
    Endpoint,
    Handle,
    IdempotentCreate,
    Intent,
    InvalidSpecification,
    Keys,
    MadeBy,
    NotFound,
    Observation,
    Offer,
    Owned,
    Provider,
    ResourceState,
    Scope,
    Specification,
    Starter,
    Storage,
    Transient,
)
from multiplespawner_local import child, processes, starting
from multiplespawner_local.admission import Admission, check, lacking
from multiplespawner_local.limits import tree
from multiplespawner_local.limits.base import Limiter, is_group_of, remove_groups
from multiplespawner_local.limits.detect import AUTO, KINDS, choose
from multiplespawner_local.limits.watchdog import Watchdog, held_by
from multiplespawner_local.machine import Size, machine_id, usable_cpu, usable_memory
from multiplespawner_local.reservations import Reservation, Store, free

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner

_T = TypeVar("_T")

_THREADS = 4
_ADDRESS = Endpoint("127.0.0.1")


class LocalProvider(Provider):
    """Servers on the hub's own machine, each held to its size with everything that it starts."""

    cpu = Float(
        min=0,
        help="""vCPUs to give away in total.

        By default those that the hub may use itself. A server without a size of its own counts
        as none: set a limit for it, or leave some room here.
        """,
    ).tag(config=True)

    memory = Float(
        min=0,
        help="""GB of memory (2**30 bytes) to give away in total; by default what the hub may use.
        """,
    ).tag(config=True)

    allow_same_user = Bool(
        default_value=False,
        help="""Let servers run as the user that the hub itself runs as.

        Every user can then read the hub's keys, cookies and ledger, and stop the hub: for
        demonstrations and for hubs with one user.
        """,
    ).tag(config=True)

    limits = Enum(
        KINDS,
        AUTO,
        help="""How servers are held to their size.

        ``cgroup-v1`` and ``cgroup-v2`` are enforced by the kernel; ``watchdog`` looks at the
        memory every second and ends what holds too much (best effort, no CPU); with ``none``
        no sizes are offered; ``auto`` takes the first of these that works here.
        """,
    ).tag(config=True)

    cgroup_root = Unicode(
        "/sys/fs/cgroup",
        help="""Where control groups are mounted; servers' groups are made below the hub's own.
        """,
    ).tag(config=True)

    def __init__(
        self, *, component: str, state_dir: Path, installation_id: str, **kwargs: Any
    ) -> None:
        super().__init__(
            component=component, state_dir=state_dir, installation_id=installation_id, **kwargs
        )
        self._store = Store(Path(state_dir) / "reservations")
        # One thread keeps reserving and giving back in order, even where a call was cancelled.
        self._desk = ThreadPoolExecutor(1, thread_name_prefix="local-desk")
        self._workers = ThreadPoolExecutor(_THREADS, thread_name_prefix="local")
        self._scanner = processes.Scanner(self._workers)
        self._children: dict[type[Spawner], type[Spawner]] = {}
        self._watchdog: asyncio.Task[None] | None = None

    @default("cpu")
    def _default_cpu(self) -> float:
        return usable_cpu(Path(self.cgroup_root))

    @default("memory")
    def _default_memory(self) -> float:
        return usable_memory(Path(self.cgroup_root))

    @cached_property
    def limiter(self) -> Limiter:
        """Found at the first use, by trying."""
        return choose(self.limits, Path(self.cgroup_root), self.installation_id)

    @property
    def total(self) -> Size:
        return Size(self.cpu, self.memory)

    @property
    def scope(self) -> Scope:
        return Scope(self.component, machine_id())

    async def startup(self) -> None:
        name = self.limiter.name
        self.log.info("local: %s to give away, limits by %s", self.total, name)
        if name == "watchdog":
            self.log.warning("local: memory limits are best effort, CPU is not limited")
            watchdog = Watchdog(self._memory_limits, self._usage, self._end_marked)
            self._watchdog = asyncio.create_task(watchdog.run())

    async def shutdown(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watchdog
        for executor in (self._desk, self._workers):
            executor.shutdown(wait=False)

    @classmethod
    def starter(cls) -> Starter:
        return starting.starter()

    def capabilities(self) -> Capabilities:
        return Capabilities(
            resource_types=("bare_metal",),
            made_by=MadeBy.CHILD,
            idempotent_create=IdempotentCreate.NAME,
            list_grace=0,
            sizes=self.limiter.sizes,
            # Home directories are the machine's, and stay.
            storage=(Storage.KEEP,),
            create_timeout=10,
            ready_timeout=10,
            poll_interval=1.0,
        )

    async def scopes(self) -> Sequence[Scope]:
        return [self.scope]

    async def offers(self, specification: Specification) -> Sequence[Offer]:
        if specification.resource_type != "bare_metal":
            raise InvalidSpecification(f"This machine is no {specification.resource_type}.")
        if specification.gpu:
            raise InvalidSpecification("This machine gives no GPUs to servers.")
        cpu, memory = specification.cpu, specification.memory
        check(self.total, self.limiter, cpu, memory)
        left = free(self.total, await self._at_desk(self._store.all))
        reason = lacking(self.total, left, cpu, memory)
        return [
            Offer(
                scope=self.scope,
                shape=socket.gethostname(),
                cpu=cpu,
                memory=memory,
                availability=Availability.NO_CAPACITY if reason else Availability.AVAILABLE,
                reason=reason,
            )
        ]

    async def create(self, intent: Intent, keys: Keys) -> Handle:  # noqa: ARG002 - no use for it here
        self._require_here(intent.offer.scope)
        admission = Admission(self.total, self._store, self.limiter, same_user=self.allow_same_user)
        reservation = await self._at_desk(admission.admit, intent)
        return self._handle(intent.id, reservation)

    async def find(self, intent: Intent, scope: Scope) -> Sequence[Handle]:
        self._require_here(scope)
        reservation = await self._at_desk(self._store.get, intent.id)
        handle = self._handle(intent.id, reservation)
        return [handle] if reservation is not None or await self._is_there(handle) else []

    async def describe(self, handle: Handle) -> Observation:
        self._require_here(handle.scope)
        if await self._is_there(handle):
            return Observation(ResourceState.READY, _ADDRESS)
        return Observation(ResourceState.GONE)

    async def delete(self, handle: Handle) -> None:
        """End the whole tree, the hard way; stopping it gently is the child's business."""
        self._require_here(handle.scope)
        groups, same_user = await self._place(handle)
        ended = await self._in_thread(_end, groups)
        # Nothing can enter the groups any more; what was not in them has the mark. Looked for
        # together with others that are deleted now.
        snapshot = await self._snapshot()
        if processes.members(snapshot, handle.id, same_user=same_user):
            kill = partial(processes.kill_marked, handle.id, same_user=same_user)
            ended = await self._in_thread(kill) and ended
        if not ended:
            raise Transient("Some processes of this server have not ended yet.")
        await self._at_desk(self._store.remove, handle.id)

    async def list_owned(self, installation_id: str, scope: Scope) -> Sequence[Owned]:
        self._require_here(scope)
        # The running first: what starts meanwhile has its reservation already.
        snapshot = await self._snapshot()
        marked = processes.strays(snapshot, installation_id, same_user=self.allow_same_user)
        grouped: set[str] = set()
        if installation_id == self.installation_id:
            grouped = set(await self._in_thread(self.limiter.keys))
        reserved = {
            held.intent_id: held
            for held in await self._at_desk(self._store.all)
            if not held.readable or held.installation_id == installation_id
        }
        handles = [
            self._handle(intent_id, reserved.get(intent_id))
            for intent_id in sorted({*reserved, *marked, *grouped})
        ]
        return [Owned(one, one.id, await self._state(one, snapshot)) for one in handles]

    def child_traits(self, intent: Intent, handle: Handle) -> Mapping[str, Any]:  # noqa: ARG002 - no use for it here
        traits: dict[str, Any] = {
            "environment": {
                processes.INTENT: intent.id,
                processes.INSTALLATION: intent.installation_id,
            }
        }
        if intent.offer.cpu is not None:
            traits["cpu_limit"] = intent.offer.cpu
        if intent.offer.memory is not None:
            traits["mem_limit"] = round(intent.offer.memory * GB)
        return traits

    def child_class(self, base: type[Spawner]) -> type[Spawner]:
        if base not in self._children:
            self._children[base] = child.limited(base, self)
        return self._children[base]

    def join_files(self, intent_id: str) -> Sequence[Path]:
        """The files by which a process enters its groups; for the child, before it forks.

        Raises:
            NotFound: nothing is reserved: the server was released meanwhile.
        """
        reservation = self._store.get(intent_id) if intent_id else None
        if reservation is None:
            raise NotFound("This server has no place on this machine any more.")
        return [tree.entrance(group) for group in _recorded(intent_id, reservation.groups)]

    def _handle(self, intent_id: str, reservation: Reservation | None) -> Handle:
        groups = list(reservation.groups) if reservation else []
        return Handle(intent_id, self.scope, _ADDRESS, {"groups": groups})

    async def _place(self, handle: Handle) -> tuple[list[Path], bool]:
        """Every group that the resource can have, and whether its processes may be the hub's."""
        reservation = await self._at_desk(self._store.get, handle.id)
        recorded = [*handle.data.get("groups", ()), *(reservation.groups if reservation else ())]
        groups = {*self.limiter.groups(handle.id), *_recorded(handle.id, recorded)}
        same_user = self.allow_same_user or (reservation is not None and reservation.same_user)
        return sorted(groups), same_user

    async def _is_there(self, handle: Handle, snapshot: processes.Snapshot | None = None) -> bool:
        groups, same_user = await self._place(handle)
        inside = await self._in_thread(tree.processes, groups)
        if inside:
            return True
        if snapshot is None:
            snapshot = await self._snapshot()
        return bool(processes.members(snapshot, handle.id, same_user=same_user))

    async def _state(self, handle: Handle, snapshot: processes.Snapshot) -> ResourceState:
        there = await self._is_there(handle, snapshot)
        return ResourceState.READY if there else ResourceState.PENDING

    def _require_here(self, scope: Scope) -> None:
        if scope.key != machine_id():
            message = (
                f"This is the machine {machine_id()}, which cannot see the machine {scope.key}."
            )
            raise Transient(message)

    async def _memory_limits(self) -> Mapping[str, int]:
        held = await self._at_desk(self._store.all)
        return {one.intent_id: round(one.memory * GB) for one in held if one.memory is not None}

    async def _usage(self, intent_id: str, limit: int) -> int:
        _, same_user = await self._place(self._handle(intent_id, None))
        snapshot = await self._snapshot()
        found = processes.members(snapshot, intent_id, same_user=same_user)
        return await self._in_thread(held_by, found, limit)

    async def _end_marked(self, intent_id: str) -> None:
        _, same_user = await self._place(self._handle(intent_id, None))
        await self._in_thread(partial(processes.kill_marked, intent_id, same_user=same_user))

    async def _snapshot(self) -> processes.Snapshot:
        with _told():
            return await self._scanner.snapshot()

    async def _at_desk(self, call: Callable[..., _T], *arguments: Any) -> _T:
        return await _run(self._desk, call, *arguments)

    async def _in_thread(self, call: Callable[..., _T], *arguments: Any) -> _T:
        return await _run(self._workers, call, *arguments)


async def _run(executor: Executor, call: Callable[..., _T], *arguments: Any) -> _T:
    with _told():
        return await asyncio.get_running_loop().run_in_executor(executor, call, *arguments)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the operating system refuses proves nothing, and may work the next time."""
    try:
        yield
    except OSError as error:
        raise Transient(f"This machine refused: {error.strerror}.") from error


def _recorded(intent_id: str, groups: Sequence[str]) -> list[Path]:
    return [path for path in map(Path, groups) if is_group_of(path, intent_id)]


def _end(groups: Sequence[Path]) -> bool:
    """Kill, then take the groups away, so that nothing can enter them."""
    ended = tree.kill(groups)
    return remove_groups(groups) and ended


__all__ = ("LocalProvider",)
