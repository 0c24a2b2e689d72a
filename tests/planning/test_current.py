"""The site as the files on disk have it, while a hub runs."""

from __future__ import annotations

import json
import threading
from typing import ClassVar

import pytest
from fakes import FakeProvider
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets.config import Config

from multiplespawner_core.catalogue import locate, resolve
from multiplespawner_core.contracts import Component, ConfigurationError, Kind
from multiplespawner_core.planning.current import CurrentSite
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.plugins.registry import UnknownComponent
from multiplespawner_core.selection.request import User

ADA = User("ada")


class Provider(FakeProvider):
    made_in: ClassVar = []

    def __init__(self, *, component, state_dir, installation_id, config):
        super().__init__()
        self.made_in.append(threading.current_thread())


class Registry:
    def resolve(self, kind, name, resource_type=""):
        if name == "missing":
            raise UnknownComponent("no enabled plugin offers it")
        return Component(name=name, target=f"fake:{name}")

    def load(self, kind, component):
        return SimpleLocalProcessSpawner if kind is Kind.SPAWNER else Provider


class Files:
    """Both files, and the site that follows them."""

    def __init__(self, folder):
        self.folder = folder
        self.reads = 0
        self.error = None
        self.write()

    def write(self, *deployments, text=None, templates=1, **changes):
        template = {
            "name": "T",
            "resource_type": "virtual_machine",
            "providers": ["fake"],
            "spawner": {"class": "simple"},
            **changes,
        }
        (self.folder / "t.json").write_text(text or json.dumps([template] * templates))
        images = [{"name": name} for name in deployments or ("image",)]
        (self.folder / "d.json").write_text(json.dumps({"virtual_machine": images}))

    def locate(self):
        return locate({}, str(self.folder / "t.json"), str(self.folder / "d.json"))

    def resolve(self, catalogue):
        self.reads += 1
        if self.error is not None:
            raise self.error
        return resolve(catalogue, Registry())

    def open(self):
        pool = Pool(Registry(), Config(), self.folder, "i" * 32)
        return CurrentSite(self.locate, self.resolve, pool)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


async def offered(current):
    return [choice.deployment for choice in (await current.fresh()).choices(ADA)]


async def test_a_change_counts_from_the_next_start(files):
    current = files.open()
    assert await offered(current) == ["image"]
    files.write("image", "another")
    assert await offered(current) == ["image", "another"]
    files.write("another")
    assert await offered(current) == ["another"]


async def test_files_that_did_not_change_are_not_read_again(files):
    current = files.open()
    for _ in range(3):
        await current.fresh()
    assert files.reads == 1


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"text": "[{"}, "t.json:1:3: "),
        ({"text": "[]"}, "t.json:1:1: no template is there"),
        ({"provders": ["fake"]}, "[0].provders: unknown key (did you mean 'providers'?)"),
        ({"spawner": {"class": "missing"}}, "[0].spawner.class: no enabled plugin offers it"),
        ({"templates": 2}, "the name 'T' is taken"),
        ({"storage": "keep"}, "it has no storage of kind 'keep'; allowed: ephemeral"),
    ],
)
async def test_a_broken_edit_keeps_the_last_good_version_and_says_why_once(
    files, caplog, broken, why
):
    current = files.open()
    caplog.clear()
    files.write("another", **broken)
    for _ in range(3):
        assert await offered(current) == ["image"]
    assert caplog.text.count(why) == 1
    assert caplog.text.count("the change is not taken over; the last good one stays") == 1
    files.write("repaired")
    assert await offered(current) == ["repaired"]


async def test_a_file_that_is_gone_for_a_moment_takes_nothing_away(files, caplog):
    current = files.open()
    (files.folder / "t.json").unlink()
    assert await offered(current) == ["image"]
    assert "cannot be read" in caplog.text
    files.write("image", "another")
    assert await offered(current) == ["image", "another"]


async def test_an_error_that_was_there_before_holds_up_no_change(files):
    files.write(text=json.dumps(
        [
            {
                "name": "needs a plugin",
                "resource_type": "virtual_machine",
                "providers": ["missing"],
                "spawner": {"class": "simple"},
            },
            {
                "name": "T",
                "resource_type": "virtual_machine",
                "providers": ["fake"],
                "spawner": {"class": "simple"},
            },
        ]
    ))  # fmt: skip
    text = (files.folder / "t.json").read_text()
    current = files.open()
    assert await offered(current) == ["image"]
    files.write("image", "another", text=f"\n\n{text}")
    assert await offered(current) == ["image", "another"]


async def test_what_the_hub_cannot_take_while_it_runs_is_refused(files, caplog):
    current = files.open()
    files.error = ConfigurationError("Forward must be there when the hub starts: restart needed")
    files.write("another")
    assert await offered(current) == ["image"]
    assert "the change is not taken over: Forward must be there" in caplog.text


def test_at_the_start_of_a_hub_whatever_is_right_is_in_use(files, caplog):
    files.write(text="[")
    assert not len(files.open().site)
    assert "nothing can be started" in caplog.text


async def test_providers_are_made_where_everybody_else_uses_the_pool(files):
    """On the event loop's thread: two threads could each make one of their own."""
    Provider.made_in.clear()
    current = files.open()
    files.write("another", name="U", providers=["fake", "other"])
    assert await offered(current) == ["another", "another"]
    assert len(Provider.made_in) == 2
    assert set(Provider.made_in) == {threading.current_thread()}


async def test_a_defect_of_a_plugin_takes_nothing_away(files, caplog):
    current = files.open()
    files.error = ZeroDivisionError("a defect")
    files.write("another")
    assert await offered(current) == ["image"]
    assert "the change is not taken over" in caplog.text
    files.error = None
    files.write("image", "another")
    assert await offered(current) == ["image", "another"]
