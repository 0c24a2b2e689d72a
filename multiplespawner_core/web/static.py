"""The files that our parts of JupyterHub's pages load; nothing comes from elsewhere."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers.static import CacheControlStaticFilesHandler

from multiplespawner_core.selection.form import STATIC, STATIC_PATH


def handlers() -> list[tuple[Any, ...]]:
    """What JupyterHub answers by us, below its own prefix."""
    return [(rf"/{STATIC_PATH}/(.*)", CacheControlStaticFilesHandler, {"path": str(STATIC)})]


__all__ = ("handlers",)
