"""Puts the documentation's extension, the example plugin and the hub's harness on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "plugin"))
sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))
sys.path.insert(0, str(Path(__file__).parent))

from harness.fixtures import hub_factory, pytest_runtest_makereport
from snippets import PROJECT, toml


@pytest.fixture
def installed_example(tmp_path):
    """A folder for sys.path on which the example plugin counts as installed."""
    project = toml(PROJECT / "examples" / "plugin" / "pyproject.toml")["project"]
    requires = "".join(f"Requires-Dist: {line}\n" for line in project["dependencies"])
    name, version = project["name"], project["version"]
    info = tmp_path / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    )
    groups = project["entry-points"].items()
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in groups
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return info.parent


__all__ = ("hub_factory", "pytest_runtest_makereport")
