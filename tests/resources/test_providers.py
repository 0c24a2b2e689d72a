"""Which providers are asked about what, and how often."""

from __future__ import annotations

from fakes import FakeProvider
from traitlets.config import Config

from multiplespawner_core.contracts import (
    Capabilities,
    Component,
    ConfigurationError,
    Scope,
)
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.resources.providers import PooledProviders, Reach

TYPES = ("virtual_machine", "container")
HERE, THERE, GONE = Scope("one", "here"), Scope("one", "there"), Scope("gone", "here")


class Provider(FakeProvider):
    def __init__(self, *, component, state_dir, installation_id, config):
        super().__init__()

    def capabilities(self):
        return Capabilities(TYPES)

    async def scopes(self):
        return [HERE, THERE]


class Registry:
    """One provider for two types, another one of the same name for the third, none of `gone`."""

    def resolve(self, kind, name, resource_type=""):
        if name == "gone":
            raise ConfigurationError("no plugin offers it")
        return Component(name=name, target=f"fake:{resource_type in TYPES}")

    def load(self, kind, component):
        return Provider


async def test_each_scope_of_a_provider_is_asked_once_whatever_its_types(tmp_path):
    pool = Pool(Registry(), Config(), tmp_path, "i" * 32)
    providers = PooledProviders(pool)
    pool.provider("one", "container")
    reached = await providers.reached()
    assert reached == [Reach(HERE, TYPES), Reach(THERE, TYPES)]
    known = [Reach(HERE, (one,)) for one in (*TYPES, "bare_metal")]
    missing = [Reach(GONE, (one,)) for one in TYPES]
    both = ("container", "virtual_machine")
    assert providers.merged([*reached, *known, *missing]) == [
        Reach(GONE, ("container",)),
        Reach(GONE, ("virtual_machine",)),
        Reach(HERE, ("bare_metal",)),
        Reach(HERE, both),
        Reach(THERE, both),
    ]
