"""Limits by control groups of version 1: one hierarchy for each controller."""

from __future__ import annotations

from pathlib import Path

from multiplespawner_local.limits.base import GroupLimiter

PERIOD = 100_000
MINIMUM = 1_000
"""Microseconds: the kernel accepts no smaller quota."""


class CgroupV1(GroupLimiter):
    """Needs the controllers memory and cpu; with freezer, trees end at one blow."""

    name = "cgroup-v1"

    def _build(self, key: str, cpu: float | None, memory_bytes: int | None) -> None:
        for controller, base in self._bases.items():
            group = base / key
            group.mkdir(parents=True, exist_ok=True)
            if controller == "memory":
                _limit_memory(group, memory_bytes)
            if controller == "cpu":
                (group / "cpu.cfs_period_us").write_text(str(PERIOD))
                quota = -1 if cpu is None else max(MINIMUM, round(cpu * PERIOD))
                (group / "cpu.cfs_quota_us").write_text(str(quota))


def _limit_memory(group: Path, memory_bytes: int | None) -> None:
    swap = group / "memory.memsw.limit_in_bytes"
    limit = str(-1 if memory_bytes is None else memory_bytes)
    if swap.exists():
        swap.write_text("-1")  # never below the limit of memory alone, which may rise
    (group / "memory.limit_in_bytes").write_text(limit)
    if swap.exists():
        swap.write_text(limit)


__all__ = ("CgroupV1",)
