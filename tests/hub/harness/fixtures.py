"""Fixtures for tests of a real hub. A conftest.py imports them by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .hub import HubProcess

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture
def hub_factory(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., HubProcess]]:
    """Make and start hubs: hub_factory(config, start=True, may_leave=False, **HubProcess's).

    All of them end with the test. A hub that ends in good order and leaves processes behind fails
    the test, unless `may_leave`.
    """
    hubs: list[tuple[HubProcess, bool]] = []

    def factory(
        config: str = "", *, start: bool = True, may_leave: bool = False, **kwargs: Any
    ) -> HubProcess:
        hub = HubProcess(tmp_path / f"hub-{len(hubs)}", config, **kwargs)
        hubs.append((hub, may_leave))
        return hub.start() if start else hub

    yield factory
    left: list[str] = []
    for hub, may_leave in hubs:
        hub.close()
        left += [] if may_leave else hub.leftovers
        if request.node.stash.get(FAILED, False):
            sys.stdout.write(f"--- {hub.log_file}\n{hub.tail(200)}\n--- proxy\n")
            sys.stdout.write(hub.proxy_log[-2000:])
    assert not left, f"left behind: {left}"


@pytest.fixture
def chromium() -> Iterator[Any]:
    from . import browser

    with browser.chromium() as running:
        yield running


@pytest.fixture
def page(chromium: Any) -> Any:
    """A page in a fresh profile; 30 s for every wait."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    return context.new_page()


@pytest.fixture
def screenshot(page: Any) -> Callable[[str], Path]:
    from . import browser

    return lambda name: browser.screenshot(page, name)
