"""Limits by control groups of version 2: one hierarchy, controllers handed down step by step."""

from __future__ import annotations

from pathlib import Path

from multiplespawner_local.limits.base import GroupLimiter

PERIOD = 100_000
MINIMUM = 1_000
"""Microseconds: the kernel accepts no smaller quota."""

CONTROLLERS = ("memory", "cpu")


class CgroupV2(GroupLimiter):
    """Needs a group whose controllers memory and cpu may be handed to its children."""

    name = "cgroup-v2"

    def _build(self, key: str, cpu: float | None, memory_bytes: int | None) -> None:
        for base in self._bases.values():
            group = base / key
            group.mkdir(parents=True, exist_ok=True)
            for directory in (base.parent.parent, base.parent, base):
                hand_down(directory)
            limit = "max" if memory_bytes is None else str(memory_bytes)
            (group / "memory.max").write_text(limit)
            if memory_bytes is not None and (group / "memory.swap.max").exists():
                (group / "memory.swap.max").write_text("0")
            quota = "max" if cpu is None else str(max(MINIMUM, round(cpu * PERIOD)))
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")


def hand_down(directory: Path) -> None:
    """Let the groups below use the controllers; the kernel refuses it where processes are."""
    control = directory / "cgroup.subtree_control"
    present = control.read_text().split() if control.exists() else []
    missing = [f"+{name}" for name in CONTROLLERS if name not in present]
    if missing:
        control.write_text(" ".join(missing))


__all__ = ("CONTROLLERS", "CgroupV2", "hand_down")
