"""What this machine is and has, as far as this process may use it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from multiplespawner_core import GB
from multiplespawner_local.limits.hierarchy import ancestry, own_group, v2_root


@dataclass(frozen=True)
class Size:
    """vCPUs and GB."""

    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{number(self.cpu)} CPU{'' if self.cpu == 1 else 's'} and {number(self.memory)} GB"


def number(value: float) -> str:
    """For people: two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


@cache
def machine_id() -> str:
    """The same after every restart, different on every machine."""
    try:
        return Path("/etc/machine-id").read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()


@cache
def boot_id() -> str:
    """Changes with every boot: what was started under another one has ended."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))


def usable_cpu(root: Path) -> float:
    """The CPUs that the hub may run on, or its control group's quota if that is lower."""
    return min([float(_processors()), *_quotas(root)])


def usable_memory(root: Path) -> float:
    """Physical memory in GB, or the limit of the hub's control group if that is lower."""
    return min([psutil.virtual_memory().total, *_memory_limits(root)]) / GB


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    for group in ancestry(root / "cpu", own_group(root, "cpu")):
        quota = _integer(group / "cpu.cfs_quota_us")
        period = _integer(group / "cpu.cfs_period_us")
        if quota and period and quota > 0:
            yield quota / period
    for group in ancestry(v2_root(root), own_group(root, "")):
        fields = _words(group / "cpu.max")
        if len(fields) == 2 and fields[0].isdigit():  # noqa: PLR2004 - "quota period"
            yield int(fields[0]) / int(fields[1])


def _memory_limits(root: Path) -> Iterator[int]:
    for group in ancestry(root / "memory", own_group(root, "memory")):
        yield from filter(None, [_integer(group / "memory.limit_in_bytes")])
    for group in ancestry(v2_root(root), own_group(root, "")):
        yield from filter(None, [_integer(group / "memory.max")])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _integer(path: Path) -> int | None:
    try:
        return int(_words(path)[0])
    except (IndexError, ValueError):
        return None


__all__ = ("Size", "boot_id", "machine_id", "number", "usable_cpu", "usable_memory")
