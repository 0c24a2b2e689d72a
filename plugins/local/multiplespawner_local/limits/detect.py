"""Which way of limiting works here: found by trying, never by guessing from versions."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from multiplespawner_core import GB, ConfigurationError
from multiplespawner_local.limits.base import (
    GroupLimiter,
    Limiter,
    LimiterUnavailable,
    NoLimiter,
    remove_groups,
)
from multiplespawner_local.limits.cgroup_v1 import CgroupV1
from multiplespawner_local.limits.cgroup_v2 import CONTROLLERS, CgroupV2
from multiplespawner_local.limits.hierarchy import SELF, own_group, v2_root
from multiplespawner_local.limits.watchdog import WatchdogLimiter

_log = logging.getLogger(__name__)

AUTO = "auto"
KINDS = (AUTO, "cgroup-v1", "cgroup-v2", "watchdog", "none")


def choose(kind: str, root: Path, installation_id: str, proc: Path = SELF) -> Limiter:
    """The limiter that the administrator names, or the best that works.

    Raises:
        ConfigurationError: the named one does not work here; the message says why.
    """
    makers: Mapping[str, Callable[[], Limiter]] = {
        "cgroup-v1": lambda: _version_1(root, installation_id, proc),
        "cgroup-v2": lambda: _version_2(root, installation_id, proc),
        "watchdog": _watchdog,
        "none": NoLimiter,
    }
    if kind != AUTO:
        return _named(kind, makers[kind])
    for name, make in makers.items():
        try:
            return make()
        except LimiterUnavailable as error:
            _log.info("no limits by %s: %s", name, error)
    return NoLimiter()


def _named(kind: str, make: Callable[[], Limiter]) -> Limiter:
    try:
        return make()
    except LimiterUnavailable as error:
        message = f"c.LocalProvider.limits = {kind!r} does not work on this machine: {error}"
        raise ConfigurationError(message) from error


def _version_1(root: Path, installation_id: str, proc: Path) -> Limiter:
    parents: dict[str, Path] = {}
    for controller in ("memory", "cpu"):
        parent = own_group(root, controller, proc)
        if parent is None:
            raise LimiterUnavailable(f"no controller {controller} is mounted below {root}")
        parents[controller] = parent
    freezer = own_group(root, "freezer", proc)
    if freezer is not None and os.access(freezer, os.W_OK):
        parents["freezer"] = freezer
    return _tried(CgroupV1(parents, installation_id))


def _version_2(root: Path, installation_id: str, proc: Path) -> Limiter:
    group = own_group(root, "", proc)
    if group is None:
        raise LimiterUnavailable(f"cgroup v2 is not mounted at {root}")
    reasons = []
    for parent in (group, *_delegated(group, v2_root(root))):
        missing = set(CONTROLLERS) - set((parent / "cgroup.controllers").read_text().split())
        if missing:
            reasons.append(f"{parent} has no controller {' and '.join(sorted(missing))}")
            continue
        try:
            return _tried(CgroupV2({"": parent}, installation_id))
        except LimiterUnavailable as error:
            reasons.append(str(error))
    reasons.append("with systemd, set Delegate=yes and DelegateSubgroup=hub in the hub's unit")
    raise LimiterUnavailable("; ".join(reasons))


def _delegated(group: Path, mount: Path | None) -> tuple[Path, ...]:
    """The group above, if systemd gave it to the hub: it holds no processes of its own."""
    if group == mount:
        return ()
    for name in ("trusted.delegate", "user.delegate"):
        try:
            if os.getxattr(group.parent, name) == b"1":
                return (group.parent,)
        except (OSError, AttributeError):
            continue
    return ()


def _tried(limiter: GroupLimiter) -> Limiter:
    """Make and remove a group with limits."""
    key = f"probe-{os.getpid()}"
    try:
        limiter.prepare(key, 0.5, GB // 8)
    except OSError as error:
        raise LimiterUnavailable(str(error)) from error
    finally:
        remove_groups(limiter.groups(key))
    return limiter


def _watchdog() -> Limiter:
    try:
        psutil.Process().environ()
        psutil.Process().memory_info()
    except (psutil.Error, OSError, AttributeError) as error:
        raise LimiterUnavailable(f"processes cannot be examined: {error}") from error
    return WatchdogLimiter()


__all__ = ("AUTO", "KINDS", "choose")
