"""What is imported when, seen from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import multiplespawner_core
from multiplespawner_core import Kind, contracts

HEAVY = ("jupyterhub", "sqlalchemy", "tornado", "pydantic", "alembic", "psutil")

DISCOVERING = """
from multiplespawner_core.plugins.discovery import discover, installed
assert "local" in [plugin.name for plugin in discover(installed()) if plugin.declared]
"""


def imported_by(code):
    """Those of `HEAVY` that `code` imports."""
    report = f"\nimport json, sys; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "code",
    [
        "import multiplespawner_core; multiplespawner_core.Provider",
        "from multiplespawner_core import Component, Plugins, hookimpl",
        "from multiplespawner_core.plugins import registry",
        "import multiplespawner_local.plugin",
        "import multiplespawner_core.testing.cloud.provider",
        DISCOVERING,
    ],
)
def test_nothing_heavy_is_imported(code):
    assert imported_by(code) == []


def test_an_sdk_is_imported_only_where_its_component_is_loaded(site, source):
    site.module("fake_sdk", "")
    site.module(
        "fake_probe_target",
        "import fake_sdk\nfrom multiplespawner_core import Provider\nclass Probe(Provider): pass\n",
    )
    site.plugin("probe", source(providers=["'probe', 'fake_probe_target:Probe'"]))
    registry = site.registry()
    component = registry.resolve(Kind.PROVIDER, "probe", "virtual_machine")
    assert "fake_probe" in sys.modules
    assert not {"fake_sdk", "fake_probe_target"} & set(sys.modules)
    registry.load(Kind.PROVIDER, component)
    assert {"fake_sdk", "fake_probe_target"} <= set(sys.modules)


@pytest.mark.parametrize("name", contracts.__all__)
def test_the_contracts_are_public(name):
    assert getattr(multiplespawner_core, name) is getattr(contracts, name)


def test_the_rest_of_the_public_names():
    from multiplespawner_core.plugins import spec
    from multiplespawner_core.spawner.multiple import MultipleSpawner

    assert multiplespawner_core.MultipleSpawner is MultipleSpawner
    assert multiplespawner_core.Plugins is spec.Plugins
    assert multiplespawner_core.hookimpl is spec.hookimpl


def test_an_unknown_name():
    with pytest.raises(AttributeError) as caught:
        _ = multiplespawner_core.Provder
    assert str(caught.value) == "module 'multiplespawner_core' has no attribute 'Provder'"


def test_private_names_are_not_looked_for():
    with pytest.raises(AttributeError):
        _ = multiplespawner_core._nothing
