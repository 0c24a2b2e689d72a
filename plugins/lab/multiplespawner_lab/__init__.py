"""Warns inside JupyterLab in time before a server's lifetime ends: the part in Jupyter Server.

The part in JupyterLab is ``share/jupyter/labextensions/multiplespawner-lab``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "multiplespawner_lab"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    from multiplespawner_lab.extension import load  # noqa: PLC0415 - only where it is used

    load(server)


__all__ = ("__version__",)
