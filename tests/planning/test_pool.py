"""A pool beside a hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes import FakeProvider
from traitlets.config import Config

from multiplespawner_core.contracts import Component, ConfigurationError
from multiplespawner_core.planning.pool import Onlooker, Pool


class Provider(FakeProvider):
    def __init__(self, *, component, state_dir, installation_id, config):
        super().__init__()
        self.state_dir, self.installation_id = state_dir, installation_id


class Registry:
    def resolve(self, kind, name, resource_type=""):
        return Component(name=name, target="fake:Provider")

    def load(self, kind, component):
        return Provider


@pytest.fixture
def onlooker(tmp_path):
    (tmp_path / "empty").mkdir()
    return Onlooker(Registry(), Config(), tmp_path / "state", tmp_path / "empty")


def test_what_the_hub_has_is_seen(onlooker, tmp_path):
    hub = Pool(Registry(), Config(), tmp_path / "state", "i" * 32).provider("one", "container")
    seen = onlooker.provider("one", "container")
    assert seen.state_dir == hub.state_dir
    assert seen.installation_id != hub.installation_id


def test_what_is_not_there_is_not_made(onlooker, tmp_path):
    seen = onlooker.provider("one/../two", "container")
    assert seen.state_dir.parent == tmp_path / "empty"
    assert seen.state_dir.is_dir()
    assert not (tmp_path / "state").exists()


def test_what_cannot_be_read_is_said(onlooker, tmp_path, monkeypatch):
    (tmp_path / "state" / "plugins").mkdir(parents=True)
    place = tmp_path / "state" / "plugins" / "one"
    place.touch()
    with pytest.raises(ConfigurationError) as refused:
        onlooker.provider("one", "container")
    why = os.strerror(20)
    assert str(refused.value) == (
        f"{place} cannot be read ({why}): be the user that the hub runs as"
    )

    def forbidden(self):
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        onlooker.provider("one", "container")
