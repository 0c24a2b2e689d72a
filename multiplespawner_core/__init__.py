"""multiplespawner: let every user choose where the notebook server runs.

The names below are the public ones; each is imported when it is first used, so that a plugin
which needs `Provider` loads neither JupyterHub nor SQLAlchemy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from multiplespawner_core.contracts import *  # noqa: F403 - the same names, for type checkers
    from multiplespawner_core.contracts.accounts import unix_user as unix_user
    from multiplespawner_core.hub import MultipleSpawner as MultipleSpawner
    from multiplespawner_core.plugins.spec import Plugins as Plugins
    from multiplespawner_core.plugins.spec import hookimpl as hookimpl

_CONTRACTS = "multiplespawner_core.contracts"
_HOMES = {
    "MultipleSpawner": "multiplespawner_core.hub",
    "Plugins": "multiplespawner_core.plugins.spec",
    "hookimpl": "multiplespawner_core.plugins.spec",
    "unix_user": "multiplespawner_core.contracts.accounts",
}


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    home = importlib.import_module(_HOMES.get(name, _CONTRACTS))
    try:
        value = getattr(home, name)
    except AttributeError:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg) from None
    globals()[name] = value
    return value
