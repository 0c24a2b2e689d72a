"""What was done on a machine, written down there, so that it is not done again."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multiplespawner_ansible import __version__
from multiplespawner_ansible.machine import Machine
from multiplespawner_core import Intent

_BESIDE = ("files", "group_vars", "host_vars", "roles", "tasks", "templates", "vars")
_PLACE = "~/.local/state/multiplespawner/done"


class Fact:
    """That something was done, for one user by one template.

    A later and different one takes its place: what it says was done last. It is kept in the home
    directory of the account that is logged in to.

    Args:
        template: the component's name.
        intent: whose server it is.
        digest: of everything that decides what is done.
    """

    def __init__(self, template: str, intent: Intent, digest: str) -> None:
        subject = json.dumps([template, intent.owner.user])
        self._file = f"{_PLACE}/{hashlib.sha256(subject.encode()).hexdigest()}"
        self._digest = digest

    async def holds(self, machine: Machine) -> bool:
        """Whether exactly this was done last."""
        return (
            await machine.shell(f"cat {self._file} 2>/dev/null || true")
        ).strip() == self._digest

    async def forget(self, machine: Machine) -> None:
        """From now on something else is being done, which may end anywhere."""
        await machine.shell(f"rm -f {self._file}")

    @property
    def command(self) -> str:
        """Has a shell on the machine write it down."""
        return (
            f"umask 077; mkdir -p {_PLACE} && echo {shlex.quote(self._digest)} > {self._file}.new"
            f" && mv {self._file}.new {self._file}"
        )


def digest(settings: Any, paths: Iterable[Path]) -> str:
    """Of settings and files; of playbooks with what usually stands beside them."""
    found = hashlib.sha256(json.dumps([__version__, settings], sort_keys=True).encode())
    for path in paths:
        beside = (
            [path.parent / name for name in _BESIDE] if path.suffix in (".yml", ".yaml") else []
        )
        for place in (path, *beside):
            for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if file.is_file():
                    content = hashlib.sha256(file.read_bytes()).hexdigest()
                    found.update(f"{file.relative_to(path.parent)}\0{content}\n".encode())
    return found.hexdigest()


__all__ = ("Fact", "digest")
