"""Whether a stored pid is still the process that it was: the kernel gives numbers out again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from multiplespawner_local.limits.base import is_group_of
from multiplespawner_local.machine import boot_id
from multiplespawner_local.processes import INTENT, protected

_TOLERANCE = 1.5
"""Seconds: the system's boot time, from which psutil reckons, is rounded."""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Identity:
    """What tells a server's process from another one that has got its number.

    Args:
        intent_id: the mark in its environment and the name of its control groups.
        boot_id: when it was started.
        created: seconds from that boot to its start, whatever was done to the clock meanwhile;
            None where nobody knows.
    """

    intent_id: str = ""
    boot_id: str = ""
    created: float | None = None

    @classmethod
    def of(cls, pid: int, intent_id: str) -> Identity:
        """That of a process which was started just now."""
        try:
            return cls(intent_id, boot_id(), _look(pid)[1])
        except (psutil.Error, OSError, ValueError, RuntimeError):
            return cls(intent_id)

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Identity:
        """From what `dump` gave; what makes no sense identifies nothing."""
        intent_id, boot = state.get("pid_intent"), state.get("pid_boot")
        created = state.get("pid_created")
        return cls(
            intent_id if isinstance(intent_id, str) else "",
            boot if isinstance(boot, str) else "",
            created if type(created) in (int, float) else None,
        )

    def dump(self) -> dict[str, Any]:
        found = {"pid_intent": self.intent_id, "pid_boot": self.boot_id}
        return {**found, "pid_created": self.created}

    def fits(self, pid: int, *, same_user: bool) -> bool | None:
        """Whether the pid is surely this process, or one that it started; a zombie never is.

        Cheap, and never raises: None where the system could not be asked, for example since too
        many files are open.

        Args:
            pid: of any process, or of none.
            same_user: whether a mark counts on a process of the hub's own user.
        """
        try:
            process, created = _look(pid)
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return False
            return self._was_created(created) or self._marks(process, same_user=same_user)
        except (psutil.Error, ValueError, OverflowError):
            return False
        except (OSError, RuntimeError):
            return None

    def _was_created(self, created: float) -> bool:
        if self.created is None or self.boot_id != boot_id():
            return False
        return abs(created - self.created) <= _TOLERANCE

    def _marks(self, process: psutil.Process, *, same_user: bool) -> bool:
        if not self.intent_id or process.pid in protected():
            return False
        if self._holds(process.pid):
            return True
        if not same_user and process.uids().real == os.getuid():
            return False
        return process.environ().get(INTENT) == self.intent_id

    def _holds(self, pid: int) -> bool:
        """Whether it is in the server's control groups: only who may write there can be."""
        try:
            lines = (_PROC / str(pid) / "cgroup").read_text(errors="replace").splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False
        names = (Path(line.split(":", 2)[-1]) for line in lines)
        return any(
            is_group_of(group, self.intent_id) for name in names for group in (name, *name.parents)
        )


def _look(pid: int) -> tuple[psutil.Process, float]:
    """The process, and the seconds from the boot to its start."""
    if pid <= 0:
        raise psutil.NoSuchProcess(pid)
    # In this order: before its version 7, psutil reckons from the boot time that was last read.
    boot = psutil.boot_time()
    process = psutil.Process(pid)
    return process, process.create_time() - boot


__all__ = ("Identity",)
