"""Asking a hub over HTTP, with everything that goes wrong there."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timezone

import pytest
from certipy import Certipy
from lab_parts import TOKEN, in_minutes, said
from multiplespawner_lab import hub as module
from multiplespawner_lab.hub import FRESH, HubError, from_environment, home

from multiplespawner_core.web.home import ANCHOR

PATH = "/hub/api/multiplespawner/users/ada/server/lifetime"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hub(fake_hub, clock):
    return module.Hub(f"http://127.0.0.1:{fake_hub.port}{PATH}", TOKEN, clock=clock)


def environment(**changes):
    found = {
        "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JUPYTERHUB_USER": "ada",
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_BASE_URL": "/",
    }
    return {**found, **changes}


async def test_the_server_asks_with_its_own_token(fake_hub, hub):
    fake_hub.answer = said(in_minutes(30))
    answer = await hub.answer()
    assert answer.lifetime.dump() == fake_hub.answer
    ((path, headers),) = fake_hub.requests
    assert path == PATH
    assert headers["Authorization"] == f"token {TOKEN}"


async def test_times_are_compared_with_the_clock_of_the_hub(fake_hub, hub, clock):
    fake_hub.clock = "Thu, 01 Jan 2026 10:00:00 GMT"
    # The hub's clock says no fractions: rather a second early than late.
    assert (await hub.answer()).now == datetime(2026, 1, 1, 10, 0, 1, tzinfo=timezone.utc)
    clock.now += 10
    assert (await hub.answer()).now == datetime(2026, 1, 1, 10, 0, 11, tzinfo=timezone.utc)


async def test_without_a_date_the_own_clock_counts(fake_hub, hub):
    fake_hub.clock = "nonsense"
    off = (await hub.answer()).now - datetime.now(timezone.utc)
    assert abs(off.total_seconds()) < 10


async def test_an_answer_counts_for_a_while(fake_hub, hub, clock):
    for pause in (0, FRESH - 1, 1):
        clock.now += pause
        await hub.answer()
    assert len(fake_hub.requests) == 2


async def test_many_pages_ask_once(fake_hub, hub):
    await asyncio.gather(*(hub.answer() for _ in range(20)))
    assert len(fake_hub.requests) == 1


async def test_a_page_that_goes_away_disturbs_no_other(fake_hub, hub):
    fake_hub.free.clear()
    pages = [asyncio.create_task(hub.answer()) for _ in range(3)]
    while not fake_hub.requests:
        await asyncio.sleep(0.01)
    pages[0].cancel()
    fake_hub.free.set()
    first, *others = await asyncio.gather(*pages, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert all(other.lifetime is not None for other in others)


async def test_a_hub_without_multiplespawner_says_nothing(fake_hub, hub):
    fake_hub.answer = 404
    assert (await hub.answer()).lifetime is None


FAULTS = {
    401: "The hub answered 401.",
    403: "The hub answered 403.",
    500: "The hub answered 500.",
    503: "The hub answered 503.",
    302: "The hub answered 302.",
    b"<html>": "The hub's answer was not understood: Expecting value: line 1 column 1 (char 0).",
    b"\xff": None,
    b"[]": "The hub's answer was not understood: not an object but list.",
    b'{"ends_at": "x"}': "The hub's answer was not understood: Invalid isoformat string: 'x'.",
}


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_faults_are_errors_without_secrets(fake_hub, hub, fault, caplog):
    fake_hub.answer = fault
    with caplog.at_level(logging.DEBUG), pytest.raises(HubError) as raised:
        await hub.answer()
    if FAULTS[fault]:
        assert str(raised.value) == FAULTS[fault]
    assert str(raised.value) in caplog.text
    assert TOKEN not in caplog.text
    assert [path for path, _ in fake_hub.requests] == [PATH], "no redirect is followed"


async def test_a_hub_that_is_down_is_an_error(fake_hub, hub):
    fake_hub.stop()
    with pytest.raises(HubError, match=r"^The hub cannot be reached: .*refused"):
        await hub.answer()


async def test_a_hub_that_hangs_is_an_error(fake_hub, hub, monkeypatch):
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    fake_hub.free.clear()
    with pytest.raises(HubError, match=r"^The hub cannot be reached: .*[Tt]imeout"):
        await hub.answer()


async def test_a_failure_counts_for_a_while_too(fake_hub, hub, clock):
    fake_hub.answer = 500
    for _ in range(3):
        with pytest.raises(HubError):
            await hub.answer()
    assert len(fake_hub.requests) == 1
    fake_hub.answer = said()
    clock.now += FRESH
    assert (await hub.answer()).lifetime is not None


@pytest.mark.parametrize("fault", [404, 500])
async def test_what_is_known_stays_known(fake_hub, hub, clock, fault, caplog):
    """A proxy answers 404 while the hub restarts; the end is as near as before."""
    fake_hub.clock = "Thu, 01 Jan 2026 10:00:00 GMT"
    fake_hub.answer = said(in_minutes(5))
    known = (await hub.answer()).lifetime
    fake_hub.answer = fault
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            clock.now += FRESH
            assert (await hub.answer()).lifetime == known
        assert (await hub.answer()).now == datetime(2026, 1, 1, 10, 0, 46, tzinfo=timezone.utc)
        fake_hub.answer = said(in_minutes(50))
        clock.now += FRESH
        assert (await hub.answer()).lifetime.dump() == fake_hub.answer
    assert caplog.messages == [
        f"multiplespawner_lab: The hub answered {fault}.",
        "multiplespawner_lab: the hub answers again",
    ]


def test_the_address_of_the_default_server():
    url = "http://hub:8081/hub/api/multiplespawner/users/ada/server/lifetime"
    assert from_environment(environment()).url == url


def test_the_address_of_a_named_server():
    found = from_environment(environment(JUPYTERHUB_SERVER_NAME="big"))
    assert found.url == "http://hub:8081/hub/api/multiplespawner/users/ada/servers/big/lifetime"


def test_names_cannot_leave_their_place():
    found = from_environment(environment(JUPYTERHUB_USER="../x?y", JUPYTERHUB_SERVER_NAME="a/b"))
    assert found.url.endswith("/users/..%2Fx%3Fy/servers/a%2Fb/lifetime")


@pytest.mark.parametrize("name", ["API_URL", "API_TOKEN", "USER"])
def test_without_a_hub_nobody_is_asked(name):
    assert from_environment(environment(**{f"JUPYTERHUB_{name}": ""})) is None
    assert from_environment({}) is None


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "/hub/home"),
        ({"JUPYTERHUB_BASE_URL": "/jupyter/"}, "/jupyter/hub/home"),
        ({"JUPYTERHUB_HOST": "https://hub.example.org"}, "https://hub.example.org/hub/home"),
        ({"JUPYTERHUB_PUBLIC_HUB_URL": "https://e.org/j/hub/"}, "https://e.org/j/hub/home"),
    ],
)
def test_the_page_on_which_it_is_extended(changes, url):
    assert home(environment(**changes)) == f"{url}#{ANCHOR}"


@pytest.fixture
def certificates(tmp_path):
    """certificates(CA, NAME) -> files, as JupyterHub makes them with the same library."""
    store = Certipy(store_dir=str(tmp_path))
    authorities = {}

    def make(ca, name):
        authority = authorities[ca] = authorities.get(ca) or store.create_ca(ca)
        names = ["DNS:localhost", "IP:127.0.0.1"]
        files = store.create_signed_pair(name, ca, alt_names=names)["files"]
        return {
            "JUPYTERHUB_SSL_KEYFILE": files["key"],
            "JUPYTERHUB_SSL_CERTFILE": files["cert"],
            "JUPYTERHUB_SSL_CLIENT_CA": authority["files"]["cert"],
        }

    return make


async def test_with_internal_ssl_both_sides_show_certificates(fake_hub, certificates):
    mine, hubs = certificates("ours", "server"), certificates("ours", "hub")
    fake_hub.encrypt(hubs)
    answer = await from_environment(environment(JUPYTERHUB_API_URL=fake_hub.url, **mine)).answer()
    assert answer.lifetime.dump() == fake_hub.answer


@pytest.mark.parametrize("ca", ["theirs", None])
async def test_a_hub_with_another_certificate_is_sent_no_token(fake_hub, certificates, ca):
    fake_hub.encrypt(certificates("ours", "hub"))
    mine = certificates(ca, "server") if ca else {}
    with pytest.raises(HubError, match="certificate verify failed"):
        await from_environment(environment(JUPYTERHUB_API_URL=fake_hub.url, **mine)).answer()
    assert fake_hub.requests == []
