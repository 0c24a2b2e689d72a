"""Fake distributions: real metadata directories and modules, in a directory of their own."""

from __future__ import annotations

import importlib
import sys
import textwrap

import pytest
from importlib_metadata import Distribution

from multiplespawner_core.plugins.discovery import discover, read_metadata
from multiplespawner_core.plugins.registry import Registry

DECLARING = """
from multiplespawner_core import Component, Plugins, hookimpl

class Declaring(Plugins):
{hooks}
plugin = Declaring()
"""

HOOK = """
    @hookimpl
    def multiplespawner_{hook}(self):
        return [{components}]
"""


def declaring(**hooks):
    """The source of a module whose `plugin` declares components, given as argument lists."""
    text = "".join(
        HOOK.format(hook=hook, components=", ".join(f"Component({c})" for c in components))
        for hook, components in hooks.items()
    )
    return DECLARING.format(hooks=text)


class Site:
    """A directory that distributions are installed into."""

    def __init__(self, path):
        self.path = path
        self.paths = [str(path)]

    def module(self, name, source):
        (self.path / f"{name}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()

    def install(self, name, version="1.0", *, plugins=None, spawners=None, requires=(), path=None):
        directory = (path or self.path) / f"{name.replace('-', '_')}-{version}.dist-info"
        directory.mkdir(parents=True)
        lines = [f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires]
        (directory / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
        points = []
        for group, entries in (("multiplespawner", plugins), ("jupyterhub.spawners", spawners)):
            points += [f"[{group}]"]
            points += [f"{entry} = {value}" for entry, value in (entries or {}).items()]
        (directory / "entry_points.txt").write_text("\n".join([*points, ""]))
        importlib.invalidate_caches()

    def plugin(self, name, source, *, module=None, dist=None, **kwargs):
        """A distribution with one module and one plugin called `name`."""
        module = module or f"fake_{name}"
        self.module(module, source)
        self.install(dist or f"dist-{name}", plugins={name: f"{module}:plugin"}, **kwargs)

    def found(self):
        return read_metadata(Distribution.discover(path=self.paths))

    def discover(self, **kwargs):
        return {plugin.distribution: plugin for plugin in discover(self.found(), **kwargs)}

    def registry(self, **kwargs):
        found = self.found()
        return Registry(discover(found, **kwargs), found.spawners)


@pytest.fixture
def site(tmp_path, monkeypatch):
    path = tmp_path / "site"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    before = set(sys.modules)
    yield Site(path)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(path)):
            del sys.modules[name]


@pytest.fixture
def source():
    return declaring
