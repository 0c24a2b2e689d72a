"""Which children are allowed, and that they start inside their limits as the right user."""

from __future__ import annotations

import os
import pwd
from types import SimpleNamespace

import psutil
import pytest
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, Spawner
from multiplespawner_local import child
from multiplespawner_local.limits import tree
from traitlets.config import Config

from multiplespawner_core import ConfigurationError, InvalidSpecification, NotFound

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


class Plain:
    """Without a hub: no token, no URL of the API."""

    def get_env(self):
        return {"PATH": os.environ["PATH"], **self.environment}

    def get_args(self):
        return []


class Simple(Plain, SimpleLocalProcessSpawner):
    pass


class AsUser(Plain, LocalProcessSpawner):
    pass


class Careless(AsUser):
    """Forgets to change the user."""

    def make_preexec_fn(self, name):
        return lambda: None


@pytest.fixture
async def start(keys, make_intent, request):
    """Start a child as the core does."""
    spawners = []

    async def start(provider, base, user="nobody", cmd=("/bin/sleep", "60"), cpu=None, **traits):
        intent = make_intent(cpu=cpu)
        handle = await provider.create(intent, keys)
        given = provider.child_traits(intent, handle)
        spawner = provider.child_class(base)(
            user=SimpleNamespace(name=user), cmd=list(cmd), **{**traits, **given}
        )
        spawners.append(spawner)
        await spawner.start()
        return spawner, handle

    yield start
    for spawner in spawners:
        if spawner.proc is not None:
            spawner.proc.kill()
            spawner.proc.wait()


def test_only_local_processes(make_provider):
    with pytest.raises(ConfigurationError, match="starts no processes on this machine"):
        make_provider().child_class(Spawner)


def test_the_hub_s_own_user_is_refused(make_provider, monkeypatch):
    provider = make_provider(allow_same_user=False)
    with pytest.raises(ConfigurationError) as raised:
        provider.child_class(SimpleLocalProcessSpawner)
    assert str(raised.value) == (
        "jupyterhub.spawner.SimpleLocalProcessSpawner would run notebooks as the hub's own user,"
        " who can read the hub's keys and ledger: it starts them as the user that the hub runs as."
        " Use LocalProcessSpawner with a hub that runs as root; if every user may read the hub's"
        " keys, set c.LocalProvider.allow_same_user = True"
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigurationError, match="the hub is not root"):
        provider.child_class(LocalProcessSpawner)


def test_the_subclass_is_configured_as_its_base(make_provider):
    provider = make_provider()
    made = provider.child_class(SimpleLocalProcessSpawner)
    assert made is provider.child_class(SimpleLocalProcessSpawner)
    assert issubclass(made, SimpleLocalProcessSpawner)
    assert (made.__name__, made.__module__) == ("SimpleLocalProcessSpawner", "jupyterhub.spawner")
    config = Config({"SimpleLocalProcessSpawner": {"home_dir_template": "/home/x"}})
    config.LocalProcessSpawner.term_timeout = 7
    spawner = made(config=config)
    assert (spawner.home_dir_template, spawner.term_timeout) == ("/home/x", 7)


async def test_starts_inside_its_groups(make_provider, limiter, start, scratch):
    provider = make_provider()
    spawner, handle = await start(provider, Simple, home_dir=str(scratch / "home"), cpu=0.5)
    groups = provider.limiter.groups(handle.id)
    for group in groups:
        assert tree.processes([group]) == {spawner.pid}
    assert psutil.Process(spawner.pid).cwd() == str(scratch / "home")
    assert spawner.cpu_limit == 0.5
    await provider.delete(handle)
    assert spawner.proc.wait(5) == -9


@root_only
@pytest.mark.skipif("nobody" not in {p.pw_name for p in pwd.getpwall()}, reason="no user nobody")
async def test_starts_as_the_user(make_provider, limiter, start):
    provider = make_provider(allow_same_user=False)
    spawner, handle = await start(provider, AsUser)
    assert psutil.Process(spawner.pid).uids().real == pwd.getpwnam("nobody").pw_uid
    assert tree.processes(provider.limiter.groups(handle.id)) == {spawner.pid}


@root_only
async def test_a_user_s_tree_is_ended_without_groups(make_provider, start):
    provider = make_provider(allow_same_user=False, limits="none")
    spawner, handle = await start(provider, AsUser)
    await provider.delete(handle)
    assert spawner.proc.wait(5) == -9


@root_only
@pytest.mark.parametrize("name", ["root", "nobody-at-all"])
async def test_some_accounts_may_not(make_provider, start, name):
    provider = make_provider(allow_same_user=False)
    with pytest.raises(InvalidSpecification, match=name):
        await start(provider, AsUser, user=name)


@root_only
async def test_a_child_that_keeps_the_hub_s_user_is_ended(make_provider, start):
    provider = make_provider(allow_same_user=False)
    with pytest.raises(ConfigurationError, match="would have run as the hub's own user"):
        await start(provider, Careless)


async def test_the_administrator_s_popen_kwargs_are_kept(make_provider, limiter, start, scratch):
    provider = make_provider()

    def preexec():
        (scratch / "called").touch()

    kwargs = {"preexec_fn": preexec, "cwd": str(scratch), "start_new_session": False}
    spawner, handle = await start(provider, Simple, popen_kwargs=kwargs)
    assert (scratch / "called").exists()
    assert spawner.popen_kwargs == kwargs
    assert psutil.Process(spawner.pid).cwd() == str(scratch)
    assert tree.processes(provider.limiter.groups(handle.id)) == {spawner.pid}


async def test_shell_and_no_preexec(make_provider, limiter, start, scratch):
    provider = make_provider()
    kwargs = {"preexec_fn": None, "shell": True}
    spawner, handle = await start(provider, Simple, cmd=["sleep 60"], popen_kwargs=kwargs)
    assert spawner.pid in tree.processes(provider.limiter.groups(handle.id))


async def test_popen_must_not_change_the_user_too_early(make_provider, limiter, start):
    with pytest.raises(ConfigurationError, match="popen_kwargs sets user"):
        await start(make_provider(), Simple, popen_kwargs={"user": "nobody"})


async def test_without_a_reservation_nothing_starts(make_provider, user):
    made = make_provider().child_class(Simple)
    with pytest.raises(NotFound):
        await made(user=user, cmd=["/bin/true"]).start()
    with pytest.raises(NotFound):
        await made(user=user, cmd=["/bin/true"], environment={child.INTENT: "x"}).start()
