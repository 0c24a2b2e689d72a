"""What is told of the end of a server, and how far it may be moved."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes import FakeProvider
from resources.parts import Hub

from multiplespawner_core.catalogue.limits import MOST, Limits, combine
from multiplespawner_core.contracts import ConfigurationError, Storage
from multiplespawner_core.resources import policy
from multiplespawner_core.resources.failures import NotExtended
from multiplespawner_core.web.lifetime import Lifetime, extend, iso, lifetime_of

HOUR = 3600.0
NOON = 1_800_000_000.0


class Site:
    """Of the site only what is asked for a running server."""

    def __init__(self, **lifetime):
        self.limits_of = {"fake": combine(Limits.model_validate({"lifetime": lifetime}), Limits())}

    def limits(self, template):
        return self.limits_of.get(template, {})

    def storage(self, template, provider):
        return provider.capabilities().storage[0]


class Pool:
    def __init__(self, provider):
        self.made = provider

    def provider(self, name, resource_type):
        if self.made is None:
            msg = f"no enabled plugin offers {name}"
            raise ConfigurationError(msg)
        return self.made


@pytest.fixture
async def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(policy, "pause", lambda failures, error=None: 0.01)
    hub = Hub(tmp_path / "state")
    yield hub
    await hub.manager.shutdown()


def runtime(hub, provider=None, **limits):
    pool = Pool(provider or FakeProvider())
    return SimpleNamespace(manager=hub.manager, site=Site(**limits), pool=pool)


async def test_what_is_told_of_a_running_server(hub):
    resource = await hub.running(lifetime=HOUR)
    told = lifetime_of(runtime(hub, max=90), resource)
    started = resource.record.created_at
    assert told == Lifetime(
        started_at=started,
        ends_at=started + HOUR,
        latest_end=started + 90 * 60,
        storage=Storage.EPHEMERAL,
        on_end="At the end the machine is deleted with every file on it.",
    )
    assert told.model() == {
        "started_at": iso(started),
        "ends_at": iso(started + HOUR),
        "latest_end": iso(started + 90 * 60),
        "storage": "ephemeral",
        "on_end": told.on_end,
    }


async def test_nothing_is_told_of_what_does_not_run(hub):
    resource = await hub.running(lifetime=HOUR)
    hub.manager.begin_release(resource, "it was stopped")
    assert lifetime_of(runtime(hub), resource) is None


async def test_where_nothing_limits_it_there_is_no_latest_end(hub):
    resource = await hub.running(lifetime=HOUR)
    assert lifetime_of(runtime(hub), resource).latest_end is None


async def test_what_has_no_end_has_no_latest_one(hub):
    told = lifetime_of(runtime(hub, max=90), await hub.running())
    assert told.ends_at is told.latest_end is None
    assert told.spare() == told.spare(beyond=True) == 0


async def test_a_user_who_may_not_choose_a_lifetime_may_not_move_its_end(hub):
    resource = await hub.running(lifetime=HOUR)
    closed = runtime(hub)
    closed.site.limits_of["fake"] = combine(Limits.model_validate({"lifetime": None}), Limits())
    gone = runtime(hub)
    gone.site.limits_of.clear()
    for case in (closed, gone):
        assert lifetime_of(case, resource).latest_end == resource.record.expires_at
        with pytest.raises(NotExtended, match="No more minutes: the server may run until"):
            await extend(case, resource, 1, by="user ada")
        # It is an administrator's decision.
        before = resource.record.expires_at
        await extend(case, resource, 1, by="user root", beyond=True)
        assert resource.record.expires_at == before + 60


async def test_what_nobody_knows_is_not_promised(hub):
    resource = await hub.running(lifetime=HOUR)
    missing = runtime(hub)
    missing.pool.made = None
    assert lifetime_of(missing, resource).storage is Storage.EPHEMERAL


async def test_an_end_that_an_administrator_moved_beyond_the_limit_moves_no_limit(hub):
    resource = await hub.running(lifetime=HOUR)
    limited = runtime(hub, max=60)
    latest = lifetime_of(limited, resource).latest_end
    await extend(limited, resource, 600, by="user root", beyond=True)
    told = lifetime_of(limited, resource)
    assert told.latest_end == latest
    assert told.spare() == 0
    with pytest.raises(NotExtended, match="No more minutes"):
        await extend(limited, resource, 1, by="user ada")


async def test_the_log_says_who_moved_which_end(hub, caplog):
    caplog.set_level("INFO")
    resource = await hub.running(lifetime=HOUR)
    limited = runtime(hub, max=90)
    end = resource.record.expires_at
    await extend(limited, resource, 30, by="user ada")
    await extend(limited, resource, 30, by="service cron", beyond=True)
    shown = [iso(end + seconds) for seconds in (0, 1800, 3600)]
    assert [r.getMessage() for r in caplog.records if "moved the end" in r.getMessage()] == [
        f"user ada moved the end of ada from {shown[0]} to {shown[1]}",
        f"service cron moved the end of ada from {shown[1]} to {shown[2]}, beyond its limit",
    ]


async def test_what_was_seen_must_still_be_so(hub):
    resource = await hub.running(lifetime=HOUR)
    seen = iso(resource.record.expires_at)
    await extend(runtime(hub), resource, 30, by="user ada", seen=seen)
    with pytest.raises(NotExtended, match="moved meanwhile"):
        await extend(runtime(hub), resource, 30, by="user ada", seen=seen)


def test_a_limit_is_reached_exactly_whatever_floating_point_says():
    """A start at any moment, its limit in pieces: none is refused, and none is left over."""
    random.seed(7)
    for _ in range(10_000):
        started = NOON + random.random() * 1e9
        pieces = [random.randint(1, 10_000) for _ in range(5)]
        told = Lifetime(
            started, started + pieces[0] * 60, started + sum(pieces) * 60, Storage.KEEP, ""
        )
        for piece in pieces[1:]:
            assert told.spare() >= piece
            told = replace(told, ends_at=told.ends_at + piece * 60)
        assert told.spare() == 0


def test_the_longest_life_is_reached_exactly_as_well():
    """A century on, a float holds fewer digits of a second than today."""
    random.seed(11)
    for _ in range(1_000):
        started = NOON + random.random() * 1e8
        told = Lifetime(started, started + 60 * 60, None, Storage.KEEP, "")
        assert told.spare() == MOST["lifetime"] - 60
        told = replace(told, ends_at=told.ends_at + (MOST["lifetime"] - 60) * 60)
        assert told.spare() == 0
