"""A child spawner without a JupyterHub around it."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from multiplespawner_core.contracts import Provider

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner

_SERVER = (sys.executable, "-c", "import time; time.sleep(3600)")


def standalone(base: type[Spawner]) -> type[Spawner]:
    """A subclass of `base` that needs no hub: no token, no URL of the API."""

    def get_env(self: Any) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), **self.environment}

    def get_args(_: Any) -> list[str]:
        return []

    names = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "get_env": get_env,
        "get_args": get_args,
    }
    metaclass: Any = type(base)
    made: type[Spawner] = metaclass(base.__name__, (base,), names)
    return made


def built(
    base: type[Spawner],
    provider: Provider,
    given: Mapping[str, Any],
    folder: Path,
    kwargs: Mapping[str, Any],
) -> Spawner:
    """A child as the core builds it, with something that runs for an hour as its server.

    Args:
        base: the class that a template names.
        provider: may have a class of its own.
        given: by the provider, wins over the rest.
        folder: for home directories.
        kwargs: what a template says.
    """
    made = provider.child_class(standalone(base))
    traits = {"cmd": list(_SERVER), **kwargs, **given}
    if "home_dir_template" in made.class_trait_names():
        # By default a directory outside of the test's own.
        traits.setdefault("home_dir_template", str(folder / "home" / "{username}"))
    return made(user=SimpleNamespace(name=getpass.getuser(), url="/user/ada/"), **traits)


__all__ = ("built", "standalone")
