"""The provider keeps the contract."""

from jupyterhub.spawner import SimpleLocalProcessSpawner
from multiplespawner_example.provider import DirectoryProvider

from multiplespawner_core import Specification
from multiplespawner_core.testing import ProviderConformance

pytest_plugins = ["multiplespawner_core.testing"]


class TestDirectoryProvider(ProviderConformance):
    provider = DirectoryProvider
    specification = Specification("bare_metal")
    child = SimpleLocalProcessSpawner
    plugin = "multiplespawner_example"
    sdk = ("psutil",)
