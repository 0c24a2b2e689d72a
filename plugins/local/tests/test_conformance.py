"""The provider keeps the contract."""

from __future__ import annotations

from typing import ClassVar

from jupyterhub.spawner import SimpleLocalProcessSpawner
from multiplespawner_local.provider import LocalProvider

from multiplespawner_core import Specification
from multiplespawner_core.testing import ProviderConformance

pytest_plugins = ["multiplespawner_core.testing"]


class TestLocalProvider(ProviderConformance):
    provider = LocalProvider
    traits: ClassVar = {"allow_same_user": True}
    specification = Specification("bare_metal")
    child = SimpleLocalProcessSpawner
    plugin = "multiplespawner_local.plugin"
    sdk = ("psutil",)
