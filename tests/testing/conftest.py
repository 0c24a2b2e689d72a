import pytest
from testing.parts import CALM, Site

from multiplespawner_core.testing.cloud.client import SmallCloud
from multiplespawner_core.testing.cloud.process import CloudProcess


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def site_with(tmp_path):
    return lambda **changes: Site(tmp_path, **changes)


@pytest.fixture
def server(tmp_path):
    """The cloud's server, calm, without machines."""
    with CloudProcess(tmp_path, CALM, seed=1) as server:
        yield server


@pytest.fixture
async def client_of(tmp_path):
    """Makes providers that talk to a server."""
    made = []

    def make(server, **kwargs):
        given = {
            "component": "small",
            "state_dir": tmp_path,
            "installation_id": "i" * 32,
            "url": server.url,
            "secret_file": str(server.secret_file),
            "list_grace": 0.0,
            **kwargs,
        }
        made.append(SmallCloud(**given))
        return made[-1]

    yield make
    for provider in made:
        await provider.shutdown()
