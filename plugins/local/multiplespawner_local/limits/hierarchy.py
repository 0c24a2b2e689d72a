"""Where the control groups are mounted, and in which of them the hub itself is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SELF = Path("/proc/self/cgroup")


def own_group(root: Path, controller: str, proc: Path = SELF) -> Path | None:
    """The directory of this process's group; `controller` is empty for cgroup v2.

    Args:
        root: where control groups are mounted, such as ``/sys/fs/cgroup``.
        controller: ``memory``, ``cpu``, ``freezer`` or empty.
        proc: the kernel's list of this process's groups.
    """
    mount = root / controller if controller else v2_root(root)
    if mount is None or not mount.is_dir():
        return None
    name = _listed(controller, proc)
    if name is None:
        return None
    group = mount / name.lstrip("/")
    # In a container the list may show the host's path while the mount shows only our part of it.
    return group if group.is_dir() else mount


def v2_root(root: Path) -> Path | None:
    """The mount point of cgroup v2, if there is one."""
    for place in (root, root / "unified"):
        if (place / "cgroup.controllers").is_file():
            return place
    return None


def ancestry(mount: Path | None, group: Path | None) -> Iterator[Path]:
    """The group and those above it, up to the mount point."""
    while mount is not None and group is not None:
        yield group
        if group == mount or mount not in group.parents:
            return
        group = group.parent


def _listed(controller: str, proc: Path) -> str | None:
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controller in controllers.split(","):
            return name
    return None


__all__ = ("ancestry", "own_group", "v2_root")
