"""What a new hub on this machine starts from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from multiplespawner_core import Starter

_AS_USERS = (
    "# The hub runs as root, so LocalProcessSpawner starts each server as the account of its user,",
    "# which must exist on this machine. No notebook can read the keys of the hub.",
)
_AS_ITSELF = (
    "# The hub does not run as root, so it can start servers only as its own account, as",
    "# SimpleLocalProcessSpawner does. Every user can then read the hub's keys, cookies and",
    "# ledger, and stop the hub: keep it for yourself, or run the hub as root and name",
    "# LocalProcessSpawner in the templates.",
    "c.LocalProvider.allow_same_user = True",
)


def starter() -> Starter:
    """Servers under accounts of their own where that is possible, which only root can do."""
    root = os.geteuid() == 0
    spawner: dict[str, Any] = {"class": "jupyterhub.spawner.LocalProcessSpawner"}
    if not root:
        # By itself it takes a folder in /tmp, which is gone with the next boot.
        homes = {"home_dir_template": f"{Path.home()}/jupyterhub/{{unix_user}}"}
        spawner = {"class": "jupyterhub.spawner.SimpleLocalProcessSpawner", "kwargs": homes}
    return Starter(
        template={
            "name": "This machine",
            "resource_type": "bare_metal",
            "providers": ["local"],
            "spawner": spawner,
        },
        deployments=[
            {"name": "JupyterLab", "provider": "local", "default_url": "/lab"},
            {"name": "One document at a time", "provider": "local", "default_url": "/doc"},
        ],
        settings=_AS_USERS if root else _AS_ITSELF,
    )


__all__ = ("starter",)
