"""The provider keeps the contract."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import ClassVar

import pytest
from jupyterhub.spawner import SimpleLocalProcessSpawner
from multiplespawner_local.provider import LocalProvider

from multiplespawner_core import Specification
from multiplespawner_core.testing import LeftOut, ProviderConformance

pytestmark = pytest.mark.slow

pytest_plugins = ["multiplespawner_core.testing"]


class TestLocalProvider(ProviderConformance):
    provider = LocalProvider
    traits: ClassVar = {"allow_same_user": True}
    specification = Specification("bare_metal")
    child = SimpleLocalProcessSpawner
    plugin = "multiplespawner_local.plugin"
    sdk = ("psutil",)

    # That much is needed; what follows makes faults and looks past the provider.

    @contextlib.contextmanager
    def unreachable(self, provider):
        """The directory of the reservations cannot be read."""
        place = provider.state_dir / "reservations"
        aside = place.rename(place.with_suffix(".aside"))
        place.touch()
        try:
            yield
        finally:
            place.unlink()
            aside.rename(place)

    def unauthorized(self, provider):
        raise LeftOut("this machine asks for no credentials")

    async def inventory(self, provider):
        reservations = provider.state_dir.glob("reservations/*.json")
        key = provider.installation_id[:8]
        groups = [Path(path) for path, _, _ in os.walk("/sys/fs/cgroup")]
        return {*map(str, reservations), *(str(g) for g in groups if g.parent.name == key)}


class TestWatchdog(TestLocalProvider):
    traits: ClassVar = {"allow_same_user": True, "limits": "watchdog"}
    specification = Specification("bare_metal", memory=0.1)
