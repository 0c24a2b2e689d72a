import pytest
from testing.parts import Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def site_with(tmp_path):
    return lambda **changes: Site(tmp_path, **changes)
