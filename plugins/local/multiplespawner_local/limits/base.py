"""What every way of limiting a process tree has in common."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from multiplespawner_local.limits import tree

FOLDER = "multiplespawner"
_RACES = 5


class LimiterUnavailable(Exception):
    """This machine cannot limit processes in this way; the message says why."""


class Limiter(ABC):
    """Holds process trees to their sizes.

    A server's *groups* are directories of the kernel; they are recorded with its reservation, so
    that a later hub finds them wherever it runs itself.
    """

    name: ClassVar[str]
    sizes: ClassVar[frozenset[str]]
    """Which of ``cpu`` and ``memory`` it enforces."""

    @abstractmethod
    def groups(self, key: str) -> Sequence[Path]:
        """The directories of this server's groups, made or not."""

    @abstractmethod
    def prepare(self, key: str, cpu: float | None, memory_bytes: int | None) -> None:
        """Make the groups and write the limits into them; doing it again changes nothing."""

    @abstractmethod
    def keys(self) -> Sequence[str]:
        """The servers that have groups below the hub's own."""


class GroupLimiter(Limiter):
    """Common to both versions of control groups.

    Args:
        parents: by controller, the group below which servers' groups are made; one, under an
            empty name, on cgroup v2.
        installation_id: keeps the groups of several hubs apart.
    """

    sizes = frozenset({"cpu", "memory"})

    def __init__(self, parents: Mapping[str, Path], installation_id: str) -> None:
        self._bases = {
            controller: parent / FOLDER / installation_id[:8]
            for controller, parent in parents.items()
        }

    def groups(self, key: str) -> Sequence[Path]:
        return tuple(base / key for base in self._bases.values())

    def keys(self) -> Sequence[str]:
        found: set[str] = set()
        for base in self._bases.values():
            with contextlib.suppress(FileNotFoundError):
                found.update(entry.name for entry in base.iterdir() if entry.is_dir())
        return sorted(found)

    def prepare(self, key: str, cpu: float | None, memory_bytes: int | None) -> None:
        for attempt in range(1, _RACES + 1):
            try:
                self._build(key, cpu, memory_bytes)
            except (FileNotFoundError, PermissionError):
                # The directories above go with the last server in them, perhaps just now.
                if attempt == _RACES:
                    raise
            else:
                return

    @abstractmethod
    def _build(self, key: str, cpu: float | None, memory_bytes: int | None) -> None: ...


class NoLimiter(Limiter):
    """Limits nothing: sizes cannot be chosen."""

    name = "none"
    sizes = frozenset()

    def groups(self, key: str) -> Sequence[Path]:  # noqa: ARG002 - for subclasses
        return ()

    def prepare(self, key: str, cpu: float | None, memory_bytes: int | None) -> None:
        """Nothing to do."""

    def keys(self) -> Sequence[str]:
        return ()


def is_group_of(directory: Path, key: str) -> bool:
    """Whether a recorded directory can be a server's group: nothing else is ever touched."""
    parts = directory.parts
    return (
        directory.is_absolute()
        and ".." not in parts
        and directory.name == key
        and len(parts) > len((FOLDER, "installation", "key"))
        and parts[-3] == FOLDER
    )


def remove_groups(groups: Sequence[Path]) -> bool:
    """Remove a server's groups, and the directories above that it was the last one in."""
    removed = tree.remove(groups)
    for group in groups:
        tree.remove_empty(group.parent)
        tree.remove_empty(group.parent.parent)
    return removed


__all__ = (
    "GroupLimiter",
    "Limiter",
    "LimiterUnavailable",
    "NoLimiter",
    "is_group_of",
    "remove_groups",
)
