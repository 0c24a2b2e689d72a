"""The small cloud on disk: one file an instance, written before a request is answered."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from multiplespawner_core.testing.cloud.records import Instance
from multiplespawner_core.testing.cloud.settings import Settings


class Store:
    """A directory, of mode 0700 since what machines are told at their first boot is in it.

    Args:
        directory: made where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._instances = directory / "instances"
        self._instances.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)

    def load(self) -> list[Instance]:
        """Every instance that was kept."""
        paths = sorted(self._instances.glob("*.json"))
        return [Instance.from_json(json.loads(path.read_text("utf-8"))) for path in paths]

    def save(self, instance: Instance) -> None:
        """Keep an instance as it is now."""
        write(self._instances / f"{instance.id}.json", instance.to_json())

    def settings(self) -> Settings | None:
        """Those that were kept."""
        found = self.read("settings")
        return None if found is None else Settings.from_json(found)

    def save_settings(self, settings: Settings) -> None:
        write(self.directory / "settings.json", settings.to_json())

    def read(self, name: str) -> Any:
        """What was written under a name, None if nothing was."""
        with contextlib.suppress(FileNotFoundError):
            return json.loads((self.directory / f"{name}.json").read_text("utf-8"))
        return None

    def write(self, name: str, value: Any) -> None:
        write(self.directory / f"{name}.json", value)


def write(path: Path, value: Any) -> None:
    """The whole file or nothing of it: whoever is killed meanwhile leaves the old one."""
    text = value if isinstance(value, str) else json.dumps(value)
    new = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


__all__ = ("Store", "write")
