"""The configuration of the hubs that JupyterHub's tests start, in files as any hub's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

_HUB = """
import tempfile

c = get_config()  # noqa: F821 - JupyterHub's
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.MultipleSpawner.template_file = {templates!r}
c.MultipleSpawner.deployment_file = {deployments!r}
c.MultipleSpawner.component_classes = {{"spawner": {classes!r}}}
c.MultipleSpawner.limits = {limits!r}
c.LocalProvider.allow_same_user = True
c.LocalProvider.limits = "none"
# Each hub of the session has its own.
c.MultipleSpawner.state_dir = tempfile.mkdtemp(prefix="state-", dir={folder!r})
"""


def write(folder: Path, mocks: Iterable[str]) -> Path:
    """Write the files for templates that start `mocks`; returns the hub's."""
    classes = {name: f"jupyterhub_suite.children.{name}" for name in mocks}
    templates = [
        {
            "name": name,
            "resource_type": "bare_metal",
            "providers": ["local"],
            "spawner": {"class": path},
            "allowed_groups": [name],
        }
        for name, path in classes.items()
    ]
    files = {
        "spawner_templates.json": templates,
        "spawner_deployment.json": {"bare_metal": [{"name": "local_machine"}]},
        # Some tests start a whole JupyterLab, which refuses to run as root.
        "home/.jupyter/jupyter_server_config.json": {"ServerApp": {"allow_root": True}},
    }
    (folder / "home" / ".jupyter").mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    hub = folder / "jupyterhub_config.py"
    hub.write_text(
        _HUB.format(
            folder=str(folder),
            home=str(folder / "home"),
            templates=str(folder / "spawner_templates.json"),
            deployments=str(folder / "spawner_deployment.json"),
            classes=list(classes.values()),
            # Nothing is left to set, so that there is no form where the mock has none.
            limits=dict.fromkeys(("cpu", "memory", "gpu", "lifetime")),
        )
    )
    return hub


__all__ = ("write",)
