"""Files that a template names: beside the configuration, or among those that are shipped."""

from __future__ import annotations

import difflib
from pathlib import Path

from multiplespawner_core import ConfigurationError

SHIPPED = Path(__file__).parent / "playbooks"


def absolute(name: str, directory: Path | None) -> Path:
    """The path that a template means; a relative one starts where the template's file is."""
    path = Path(name).expanduser()
    return path if path.is_absolute() else (directory or Path.cwd()) / path


def script(name: str, directory: Path | None) -> Path:
    """A script of the administrator's.

    Raises:
        ConfigurationError: there is none.
    """
    path = absolute(name, directory)
    if not path.is_file():
        raise ConfigurationError(f"there is no script {path}")
    return path


def playbook(name: str, directory: Path | None) -> Path:
    """A playbook of the administrator's, or else a shipped one of that name.

    Raises:
        ConfigurationError: there is neither.
    """
    path = absolute(name, directory)
    if path.is_file():
        return path
    if Path(name).name == name and (SHIPPED / name).is_file():
        return SHIPPED / name
    shipped = sorted(file.name for file in SHIPPED.glob("*.yml"))
    near = difflib.get_close_matches(Path(name).name, shipped, 1)
    hint = f"did you mean {near[0]}?" if near else f"shipped are: {', '.join(shipped)}"
    raise ConfigurationError(f"there is no playbook {path}, nor is one shipped; {hint}")


def inventory(name: str, directory: Path | None) -> Path:
    """An inventory of the administrator's: a file, or a directory of files.

    Raises:
        ConfigurationError: there is none.
    """
    path = absolute(name, directory)
    if not path.exists():
        raise ConfigurationError(f"there is no inventory {path}")
    return path


__all__ = ("SHIPPED", "inventory", "playbook", "script")
