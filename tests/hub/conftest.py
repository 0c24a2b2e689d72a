"""Puts `harness` on the path: with importlib's import mode pytest does not."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.fixtures import (
    chromium,
    hub_factory,
    page,
    pytest_runtest_makereport,
    screenshot,
)
from site_fixture import Site, remove_groups


@pytest.fixture(scope="session", autouse=True)
def groups():
    yield
    remove_groups()


@pytest.fixture
def site(hub_factory):
    return Site(hub_factory)


@pytest.fixture
def tidy_site(site):
    """The same, for hubs that leave no server behind when they end in order."""
    return lambda config="", **kwargs: site(
        f"c.JupyterHub.cleanup_servers = True\n{config}", **kwargs
    )


__all__ = ("chromium", "hub_factory", "page", "pytest_runtest_makereport", "screenshot")
