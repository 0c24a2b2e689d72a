"""The README's plugin: found by its metadata, planned with, run by a manager and in a hub."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest
from fakes import FakeProviders
from importlib_metadata import Distribution
from snippets import PROJECT, README, snippets, toml
from traitlets.config import Config

from multiplespawner_core import Kind, Owner, ResourceState
from multiplespawner_core.catalogue import Paths, load, resolve
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.planning.site import Site
from multiplespawner_core.plugins.discovery import State, discover, read_metadata
from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import Manager
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.selection.request import User

EXAMPLE = PROJECT / "examples" / "plugin"
FILES = (
    "pyproject.toml",
    "multiplespawner_example/__init__.py",
    "multiplespawner_example/provider.py",
)
DEPLOYMENTS = {"bare_metal": [{"name": "scratch", "provider": "directory"}]}


def templates():
    """The template with which the README uses the plugin."""
    found = [json.loads(one.text) for one in snippets(README, language="json")]
    return next(
        one for one in found if isinstance(one, list) and one[0]["providers"] == ["directory"]
    )


@pytest.mark.parametrize("name", FILES)
def test_the_readme_shows_the_files(name):
    shown = [one.text for one in snippets(README)]
    assert (EXAMPLE / name).read_text() in shown


class Child:
    """Starts one process, with what the provider says that a child must be given."""

    def __init__(self, provider):
        self.provider = provider
        self.process = None

    async def start(self, launch):
        given = self.provider.child_traits(launch.intent, launch.handle)
        assert set(given) <= set(launch.plan.child_class.class_trait_names())
        self.process = subprocess.Popen(  # noqa: ASYNC220 - a test may block
            [sys.executable, "-c", "import time; time.sleep(600)"],
            cwd=given["home_dir_template"],
            env={**os.environ, **given["environment"]},
        )
        return f"http://{launch.access.endpoint.address}:8888"

    async def poll(self):
        return self.process.poll()

    async def stop(self):
        """Nothing: what is left is the provider's to end."""

    def snapshot(self):
        return {}

    async def notice(self):
        pass


@pytest.fixture
def registry(installed_example):
    found = read_metadata(Distribution.discover(path=[str(installed_example)]))
    simple = read_metadata(Distribution.discover()).spawners
    (plugin,) = discover(found)
    assert (plugin.name, plugin.state, plugin.reason) == ("example", State.OK, "")
    return Registry([plugin], simple)


@pytest.fixture
def ledger(tmp_path):
    return Ledger.open("", tmp_path / "state")


@pytest.fixture
def site(registry, ledger, tmp_path):
    paths = []
    for name, value in (("t.json", templates()), ("d.json", DEPLOYMENTS)):
        paths.append(tmp_path / name)
        paths[-1].write_text(json.dumps(value))
    catalogue = load(Paths(*paths))
    resolution = resolve(catalogue, registry)
    assert (catalogue.findings, resolution.findings) == ((), ())
    return Site(resolution, Pool(registry, Config(), tmp_path / "state", ledger.installation_id))


def test_nothing_is_imported_before_a_template_names_it(registry):
    component = registry.resolve(Kind.PROVIDER, "directory", "bare_metal")
    name = "multiplespawner_example"
    code = f"import sys, {name}; assert '{name}.provider' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=EXAMPLE)
    assert registry.load(Kind.PROVIDER, component).__name__ == "DirectoryProvider"


async def test_a_manager_runs_it_from_offer_to_gone(site, ledger):
    request, choice = site.select({}, User("ada"))
    assert choice.where == ("directory", "bare_metal", "scratch")
    plan = await site.plan([(request, choice)], Owner("ada"))
    provider = plan.provider

    async def cleanup(_):
        pass

    manager = Manager(ledger, FakeProviders(provider), cleanup, lambda _: None)
    child = Child(provider)

    async def planner():
        return plan

    resource = manager.begin(Owner("ada"), planner, child, EventLog())
    assert await asyncio.wait_for(asyncio.shield(resource.url), 10) == "http://127.0.0.1:8888"
    intent, scope = resource.record.intent(), resource.record.scope
    place = provider.state_dir / intent.id
    assert place.is_dir()
    (handle,) = await provider.find(intent, scope)
    (owned,) = await provider.list_owned(provider.installation_id, scope)
    assert (owned.intent_id, owned.state) == (intent.id, ResourceState.READY)
    assert await provider.list_owned("2" * 32, scope) == []
    again = await provider.create(intent, None)
    assert again.id == handle.id

    await manager.release(resource, "it was stopped")
    await asyncio.wait_for(resource.closed.wait(), 20)
    assert not place.exists()
    assert child.process.wait(5) < 0
    assert (await provider.describe(handle)).state is ResourceState.GONE
    await provider.delete(handle)
    (row,) = await ledger.history(Owner("ada"))
    assert row.phase is Phase.CLOSED
    await manager.shutdown()


CONFIG = """
c.JupyterHub.spawner_class = "multiplespawner.MultipleSpawner"
c.MultipleSpawner.template_file = "templates.json"
c.MultipleSpawner.deployment_file = "deployments.json"
c.MultipleSpawner.state_dir = str(Path("state").absolute())
c.MultipleSpawner.enabled_plugins = ["example"]
"""


@pytest.mark.hub
def test_a_hub_runs_it(hub_factory, installed_example):
    files = {"templates.json": json.dumps(templates()), "deployments.json": json.dumps(DEPLOYMENTS)}
    path = os.pathsep.join([str(installed_example), str(EXAMPLE)])
    hub = hub_factory(CONFIG, files=files, env={"PYTHONPATH": path})
    hub.client.start("ada", {"provider": "directory"})
    places = hub.folder / "state" / "plugins" / "directory"
    environment = hub.client.server_get("ada", "env").json()
    (place,) = places.iterdir()
    assert environment["HOME"] == str(place)
    assert environment["MULTIPLESPAWNER_EXAMPLE"] == place.name
    hub.client.stop("ada")
    assert not list(places.iterdir())
    assert not hub.server_processes()


def test_its_version_range_fits_this_core():
    (line,) = [
        line
        for line in toml(EXAMPLE / "pyproject.toml")["project"]["dependencies"]
        if line.startswith("multiplespawner-core")
    ]
    local = toml(PROJECT / "plugins" / "local" / "pyproject.toml")["project"]["dependencies"]
    assert line in local
