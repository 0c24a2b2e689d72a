"""The processes in control groups of any version: list them, end them, remove the groups."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from multiplespawner_local.processes import is_running, protected

_PAUSE = 0.02


def processes(groups: Sequence[Path]) -> set[int]:
    """The processes in the groups and below them, zombies not counted."""
    found: set[int] = set()
    for group in groups:
        for directory in _below(group):
            found.update(_members(directory))
    return {pid for pid in found if is_running(pid)}


def entrance(group: Path) -> Path:
    """The file by which a process that has one thread enters a group.

    Version 1 has one for threads. What is written to ``cgroup.procs`` waits until no process of
    the machine can fork, some 10 ms and more (``cgroup_procs_write_start`` in the kernel), and
    the hub's event loop waits for the child that it has forked.
    """
    thread = group / "tasks"
    return thread if thread.exists() else group / "cgroup.procs"


def kill(groups: Sequence[Path], timeout: float = 5) -> bool:
    """End every process in the groups, whatever it forks meanwhile; False if some remain."""
    deadline = time.monotonic() + timeout
    while remaining := processes(groups) - protected():
        if time.monotonic() > deadline:
            return False
        _strike(groups, remaining)
        time.sleep(_PAUSE)
    return True


def remove(groups: Iterable[Path], timeout: float = 5) -> bool:
    """Remove the groups and those below them; False if the kernel still holds one."""
    deadline = time.monotonic() + timeout
    for group in groups:
        while not _remove_all(group):
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
    return True


def remove_empty(directory: Path) -> None:
    """Remove a directory above servers' groups unless something is in it."""
    with contextlib.suppress(OSError):
        rmdir(directory)


def rmdir(directory: Path) -> None:
    """What removes a group; its files go with it."""
    directory.rmdir()


def _strike(groups: Sequence[Path], pids: Iterable[int]) -> None:
    """Kill all at once: frozen processes can neither fork nor leave their number to another."""
    if _kernel_kills(groups):
        return
    _freeze(groups, frozen=True)
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    finally:
        _freeze(groups, frozen=False)


def _kernel_kills(groups: Sequence[Path]) -> bool:
    """Let the kernel end the trees (cgroup v2 since Linux 5.14)."""
    switches = [group / "cgroup.kill" for group in groups if group.is_dir()]
    if not switches or not all(switch.exists() for switch in switches):
        return False
    if protected() & processes(groups):
        return False
    return all(_write(switch, "1") for switch in switches)


def _freeze(groups: Sequence[Path], *, frozen: bool) -> None:
    for group in groups:
        for name, value in (
            ("freezer.state", "FROZEN" if frozen else "THAWED"),
            ("cgroup.freeze", "1" if frozen else "0"),
        ):
            if (group / name).exists():
                _write(group / name, value)


def _write(path: Path, value: str) -> bool:
    try:
        path.write_text(value)
    except OSError:
        return False
    return True


def _members(directory: Path) -> list[int]:
    try:
        return [int(pid) for pid in (directory / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    except OSError as error:
        if error.errno == errno.ENODEV:  # removed while it was being read
            return []
        raise


def _below(group: Path) -> Iterator[Path]:
    """The group and those below it, innermost first."""
    for directory, _, _ in os.walk(group, topdown=False):
        yield Path(directory)


def _remove_all(group: Path) -> bool:
    for directory in _below(group):
        try:
            rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


__all__ = ("entrance", "kill", "processes", "remove", "remove_empty", "rmdir")
