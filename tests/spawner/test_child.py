"""The child gets its traits explicitly: what wrapspawner gets wrong, one by one."""

from __future__ import annotations

import asyncio
import functools
import threading
from dataclasses import replace

import pytest
from jupyterhub import orm
from spawner.parts import Child, TraitsProvider, launch, started
from traitlets import Bool, Dict, Unicode, default

from multiplespawner_core.contracts import Access, ConfigurationError, Endpoint
from multiplespawner_core.resources.failures import ChildFailed
from multiplespawner_core.spawner import child as child_module
from multiplespawner_core.spawner import traits
from multiplespawner_core.spawner.child import ChildSpawner
from multiplespawner_core.spawner.multiple import MultipleSpawner

GB = 2**30


class Notebook(Child):
    """A child class with defaults of its own, as DockerSpawner has."""

    remove = Bool(False).tag(config=True)
    volumes = Dict().tag(config=True)

    @default("ip")
    def _ip(self):
        return "0.0.0.0"

    @default("port")
    def _port(self):
        return 8888

    @default("cmd")
    def _cmd(self):
        return ["start-notebook.sh"]

    @default("env_keep")
    def _env_keep(self):
        return []

    @property
    def will_resume(self):
        return not self.remove


def given(**values):
    provider = TraitsProvider()
    provider.given = values
    return provider


def hook(outer, **values):
    """What a pre_spawn_hook does."""
    for name, value in values.items():
        setattr(outer, name, value)


# -- whose value stands -----------------------------------------------------------------------


async def test_the_defaults_of_the_childs_class_stand(ada):
    child = await started(ada.server(), Notebook)
    assert (child.ip, child.port) == ("0.0.0.0", 8888)
    assert child.cmd == ["start-notebook.sh"]
    assert child.env_keep == []


async def test_the_configuration_of_the_childs_class_stands(ada, config):
    config.Notebook.mem_limit = "2G"
    config.Notebook.environment = {"CAMPUS": "north"}
    config.Notebook.cmd = ["run.sh"]
    child = await started(ada.server(), Notebook)
    assert child.mem_limit == 2 * GB
    assert child.environment == {"CAMPUS": "north"}
    assert child.cmd == ["run.sh"]


async def test_the_configuration_of_all_spawners_reaches_the_child(ada, config):
    config.Spawner.mem_limit = "1G"
    config.Spawner.args = ["--debug"]
    config.Spawner.environment = {"CAMPUS": "north"}
    config.Spawner.default_url = "/lab"
    child = await started(ada.server(), Notebook)
    assert child.mem_limit == GB
    assert child.args == ["--debug"]
    assert child.environment == {"CAMPUS": "north"}
    assert child.default_url == "/lab"


async def test_the_childs_configuration_wins_over_that_of_all_spawners(ada, config):
    config.Spawner.mem_limit = "1G"
    config.Notebook.mem_limit = "2G"
    assert (await started(ada.server(), Notebook)).mem_limit == 2 * GB


async def test_what_is_set_for_us_wins_over_what_is_set_for_all(ada, config):
    config.Spawner.mem_limit = "1G"
    config.Spawner.environment = {"A": "all", "B": "all"}
    config.MultipleSpawner.mem_limit = "3G"
    config.MultipleSpawner.environment = {"B": "ours"}
    child = await started(ada.server())
    assert child.mem_limit == 3 * GB
    assert child.environment == {"A": "all", "B": "ours"}


async def test_configuration_that_extends_reaches_the_child(ada, config):
    """``c.MultipleSpawner.args.append`` leaves no list in the configuration, but a promise."""
    config.Spawner.environment = {"A": "all"}
    config.MultipleSpawner.environment.update({"B": "ours"})
    config.MultipleSpawner.args.append("--debug")
    child = await started(ada.server())
    assert child.environment == {"A": "all", "B": "ours"}
    assert child.args == ["--debug"]


async def test_a_subclass_of_ours_is_configured_under_both_names(ada, config):
    class CampusSpawner(MultipleSpawner):
        pass

    config.CampusSpawner.mem_limit = "3G"
    config.MultipleSpawner.cpu_limit = 2
    child = await started(ada.server(cls=CampusSpawner))
    assert (child.mem_limit, child.cpu_limit) == (3 * GB, 2)


async def test_what_hooks_set_reaches_the_child(ada, config):
    config.Notebook.mem_limit = "2G"
    config.Notebook.environment = {"CAMPUS": "north"}
    outer = ada.server()
    outer.environment["TEAM"] = "red"
    hook(outer, mem_limit="4G", ip="192.0.2.9", notebook_dir="~/work")
    child = await started(outer, Notebook)
    assert child.mem_limit == 4 * GB
    assert child.environment == {"CAMPUS": "north", "TEAM": "red"}
    assert (child.ip, child.notebook_dir) == ("192.0.2.9", "~/work")
    assert child.port == 8888


async def test_a_hook_takes_a_variable_away(ada, config):
    config.Spawner.environment = {"A": "all", "B": "all"}
    outer = ada.server()
    hook(outer, environment={"B": "hook"})
    assert (await started(outer)).environment == {"B": "hook"}


async def test_a_hook_changes_one_variable_and_leaves_the_template_its_others(ada, config):
    config.Spawner.environment = {"A": "all", "B": "all"}
    outer = ada.server()
    outer.environment["C"] = "hook"
    child = await started(outer, environment={"A": "template"})
    assert child.environment == {"A": "template", "B": "all", "C": "hook"}


async def test_group_overrides_reach_the_child(ada, config):
    config.Spawner.environment = {"A": "all", "B": "all"}
    outer = ada.server()
    outer._apply_overrides(
        {"mem_limit": "5G", "environment": {"A": None, "TEAM": lambda spawner: "red"}}
    )
    child = await started(outer)
    assert child.mem_limit == 5 * GB
    assert set(child.environment) == {"B", "TEAM"}


async def test_template_then_hook_then_provider(ada, config):
    config.MultipleSpawner.cpu_limit = 1
    outer = ada.server()
    provider = given(mem_limit=6 * GB, environment={"P": "provider", "H": "provider"})
    hook(outer, mem_limit="4G", cpu_guarantee=0.5)
    outer.environment.update({"H": "hook", "T": "hook"})
    child = await started(
        outer,
        provider=provider,
        mem_limit=GB,
        cpu_limit=2,
        cpu_guarantee=0.1,
        environment={"T": "template", "U": "template"},
    )
    assert (child.mem_limit, child.cpu_limit, child.cpu_guarantee) == (6 * GB, 2, 0.5)
    assert child.environment == {
        "P": "provider",
        "H": "provider",
        "T": "hook",
        "U": "template",
    }


async def test_where_the_hub_is_reached(ada, config):
    config.MultipleSpawner.hub_connect_url = "http://ours:1"
    assert (await started(ada.server())).hub_connect_url == "http://ours:1"
    template = await started(ada.server(), hub_connect_url="http://template:1")
    assert template.hub_connect_url == "http://template:1"
    assert template.get_env()["JUPYTERHUB_API_URL"] == "http://template:1/api"


async def test_placeholders_are_replaced(ada):
    child = await started(ada.server(), labels={"owner": ["{username}", "at {endpoint}"]})
    assert child.labels == {"owner": ["ada", "at 192.0.2.1"]}


async def test_doubled_braces_stand_for_single_ones(ada):
    labels = {"plain": "{{username}}", "both": "{{username}} {username}", "json": '{"a": {}}'}
    child = await started(ada.server(), labels=labels)
    assert child.labels == {
        "plain": "{username}",
        "both": "{username} ada",
        "json": '{"a": {}}',
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/home/{username}", "/home/ada"),
        ("/home/{{username}}", "/home/{username}"),
        ("/{{username}}/{username}/{}", "/{username}/ada/{}"),
    ],
)
async def test_what_jupyterhub_formats_once_more_comes_out_as_it_was_meant(ada, written, meant):
    child = await started(ada.server(), notebook_dir=written, default_url=written)
    assert child.format_string(child.notebook_dir) == meant
    assert child.format_string(child.default_url) == meant


# -- who the server is ------------------------------------------------------------------------


async def test_the_child_is_given_everything_that_jupyterhub_gives_us(users, tmp_path):
    bundles = {"notebooks-ca": "/ca.crt"}
    ada = users(
        internal_ssl=True,
        internal_trust_bundles=bundles,
        internal_certs_location=str(tmp_path),
        trusted_alt_names=["DNS:hub.example.org"],
        cookie_host_prefix_enabled=True,
    )
    outer = ada.server("lab", public_url="https://p/", public_hub_url="https://p/hub/")
    child = await built(outer)
    for name in traits.IDENTITY:
        assert getattr(child, name) == getattr(outer, name), name
    assert child.internal_ssl is True
    assert child.internal_trust_bundles == bundles
    assert child.trusted_alt_names == ["DNS:hub.example.org"]
    assert child.ssl_alt_names == ["DNS:hub.example.org"]
    assert (child.public_url, child.public_hub_url) == ("https://p/", "https://p/hub/")
    assert child.proxy_spec == "/user/ada/lab/"
    assert child.name == "lab"
    assert child._deprecated_db_session is ada.db
    assert "db" not in child._trait_values


async def built(outer, cls=Child, **kwargs):
    """The child, without the certificates that its start would make."""
    linked = ChildSpawner(outer)
    linked._build(cls, kwargs)
    return linked.spawner


async def test_the_server_of_the_child_is_ours(ada):
    """`get_env` names no service prefix where it is missing (wrapspawner#41)."""
    outer = ada.server()
    child = await started(outer)
    assert child.server is None
    outer.orm_spawner.server = ada_server = new_server()
    assert child.server.orm_server is ada_server
    assert child.get_env()["JUPYTERHUB_SERVICE_PREFIX"] == "/user/ada/"


def new_server():
    return orm.Server(
        base_url="/user/ada/", cookie_name="ada", proto="http", ip="127.0.0.1", port=1
    )


async def test_a_template_cannot_say_who_the_server_is(ada):
    child = await started(ada.server(), user="mallory", user_options={"image": "evil"})
    assert child.user is ada.user
    assert child.user_options == {}


async def test_the_child_never_sees_the_users_options(ada):
    child = await started(ada.server(user_options={"image": "evil", "prologue": "rm -rf"}))
    assert child.user_options == {}


async def test_hooks_stay_with_us(ada, config):
    config.MultipleSpawner.pre_spawn_hook = config.MultipleSpawner.post_stop_hook = print
    config.MultipleSpawner.start_timeout = 7
    child = await started(ada.server())
    assert child.pre_spawn_hook is None
    assert child.post_stop_hook is None
    assert child.start_timeout == Child.start_timeout.default_value


# -- what changes while the server lives --------------------------------------------------------


async def test_runtime_traits_are_equal_in_both_directions(ada):
    outer = ada.server()
    outer.api_token, outer.oauth_access_scopes = "ours", ["a"]
    child = await started(outer)
    assert (child.api_token, child.oauth_access_scopes) == ("ours", ["a"])
    child.api_token = "resumed"
    assert outer.api_token == "resumed"
    outer.handler = handler = object()
    assert child.handler is handler


async def test_a_port_that_the_server_reports_reaches_the_child_that_waits_for_it(ada):
    """batchspawner: the job calls the hub, whose handler sets the port of the Spawner it knows."""
    outer = ada.server()

    class Batch(Child):
        async def start(self):
            outer.port = 4321
            return ("node7", self.port)

    linked = ChildSpawner(outer)
    assert await linked.start(launch(Batch)) == "http://node7:4321"


async def test_a_stopped_child_is_no_longer_linked(ada):
    outer = ada.server()
    child = await started(outer)
    await outer._child.stop()
    outer.api_token = "next"
    assert child.api_token != "next"


async def test_whether_it_resumes_is_the_childs_to_say(ada):
    outer = ada.server()
    await started(outer, Notebook)
    assert outer.will_resume is True
    other = ada.server()
    await started(other, Notebook, remove=True)
    await other._child.stop()
    assert other.will_resume is False


async def test_users_of_one_template_share_nothing_that_can_change(users, config):
    config.MultipleSpawner.args = ["--one"]
    config.MultipleSpawner.environment = {"O": "ours"}
    template = launch(
        environment={"T": "template"}, labels={"deep": {"list": [1]}}, cmd=["run"]
    ).plan.child_kwargs
    children = [
        await started(users(name).server(), provider=given(environment={"P": "1"}), **template)
        for name in ("ada", "bob")
    ]
    children[0].environment["X"] = "ada's"
    children[0].labels["deep"]["list"].append(2)
    children[0].cmd.append("--ada")
    children[0].args.append("--ada")
    assert children[1].environment == {"O": "ours", "T": "template", "P": "1"}
    assert children[1].labels == {"deep": {"list": [1]}}
    assert (children[1].cmd, children[1].args) == (["run"], ["--one"])
    assert template["environment"] == {"T": "template"}
    assert template["labels"] == {"deep": {"list": [1]}}
    assert config.MultipleSpawner.args == ["--one"]
    third = await started(users("eve").server(), **template)
    assert third.args == ["--one"]


async def test_values_that_cannot_be_copied_reach_the_child(ada, config):
    value = functools.partial(str, threading.Lock())
    config.Spawner.environment = {"F": lambda spawner: "x"}
    outer = ada.server()
    outer.environment["G"] = value
    child = await started(outer)
    assert child.environment["G"] is value
    assert child.environment["F"](child) == "x"


# -- certificates -------------------------------------------------------------------------------


class Certified(Child):
    async def create_certs(self):
        self.calls.append(("create", self.ip))
        return {"keyfile": "/hub/key"}

    async def move_certs(self, paths):
        self.calls.append("move")
        return {**paths, "keyfile": "/there/key"}

    async def start(self):
        self.calls.append(dict(self.cert_paths))
        return await super().start()


async def test_certificates_are_made_and_moved_before_the_child_starts(users):
    outer = users(
        internal_ssl=True, internal_certs_location="/nowhere", internal_trust_bundles={}
    ).server()
    linked = ChildSpawner(outer)
    url = await linked.start(launch(Certified, ip="192.0.2.5"))
    assert url == "https://192.0.2.7:8888"
    assert linked.spawner.calls == [
        ("create", "192.0.2.5"),
        "move",
        {"keyfile": "/there/key"},
        "start",
    ]


async def test_without_internal_ssl_there_are_no_certificates(ada):
    child = await started(ada.server(), Certified)
    assert child.calls == [{}, "start"]


async def test_our_own_certificates_stay_where_they_are(ada):
    paths = {"keyfile": "/hub/key"}
    assert await ada.server().move_certs(paths) is paths


# -- start, poll, stop, progress ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "url"),
    [
        (("192.0.2.7", 8888), "http://192.0.2.7:8888"),
        (["host", "99"], "http://host:99"),
        (("2001:db8::1", 8888), "http://[2001:db8::1]:8888"),
        ("https://elsewhere.example.org/x", "https://elsewhere.example.org/x"),
        ("http+unix://%2Frun%2Fada.sock", "http+unix://%2Frun%2Fada.sock"),
    ],
)
async def test_where_the_server_answers(ada, result, url):
    assert await ChildSpawner(ada.server()).start(launch(result=result)) == url


async def test_a_child_from_before_jupyterhub_07_leaves_the_address_in_its_traits(ada):
    url = await ChildSpawner(ada.server()).start(launch(Notebook, result=None, ip="192.0.2.5"))
    assert url == "http://192.0.2.5:8888"


@pytest.mark.parametrize("result", [None, False, "", (), ("", 1), ("host", 0), "host", "http://["])
async def test_a_child_that_does_not_say_where_has_not_started(ada, result):
    with pytest.raises(ConfigurationError, match="Child did not say where the server answers"):
        await ChildSpawner(ada.server()).start(launch(result=result))


async def test_false_is_no_address_although_the_class_has_one(ada):
    """sshspawner returns it where the start failed."""
    with pytest.raises(ConfigurationError, match="did not say where"):
        await ChildSpawner(ada.server()).start(launch(Notebook, result=False))


async def test_a_child_whose_methods_are_no_coroutines(ada):
    class Old(Child):
        def start(self):
            self.status = None
            return ("host", 1)

        def poll(self):
            return self.status

        def stop(self, now=False):
            self.status = 0

    linked = ChildSpawner(ada.server())
    assert await linked.start(launch(Old)) == "http://host:1"
    assert await linked.poll() is None
    await linked.stop()
    assert await linked.poll() == 0


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (None, None),
        (0, 0),
        (137, 137),
        ("ExitCode=1, Error=''", 1),
        ("", 1),
        (2.5, 1),
        (2**70, 1),
        (-15, -15),
    ],
)
async def test_every_status_becomes_a_number(ada, status, told):
    outer = ada.server()
    child = await started(outer)
    child.status = status
    assert await outer._child.poll() == told


async def test_a_child_that_was_never_built_is_stopped_without_harm(ada):
    linked = ChildSpawner(ada.server())
    assert await linked.poll() is None
    await linked.stop()
    assert linked.snapshot() == {"state": {}}


async def test_a_child_that_has_ended_is_not_stopped(ada):
    outer = ada.server()
    child = await started(outer)
    child.status = 0
    await outer._child.stop()
    assert child.calls == ["start"]


async def test_a_child_whose_poll_fails_is_stopped(ada):
    class Unsure(Child):
        async def poll(self):
            raise OSError("the engine does not answer")

    outer = ada.server()
    child = await started(outer, Unsure)
    await outer._child.stop()
    assert child.calls == ["start", "stop"]


async def test_a_child_whose_poll_never_answers_is_stopped(ada, monkeypatch):
    class Silent(Child):
        async def poll(self):
            await asyncio.sleep(3600)

    monkeypatch.setattr(child_module, "_POLL_TIMEOUT", 0.01)
    outer = ada.server()
    child = await started(outer, Silent)
    await asyncio.wait_for(outer._child.stop(), 5)
    assert child.calls == ["start", "stop"]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"jupyterhub_message": "The queue is full."}, "The queue is full."),
        ({}, None),
        ({"jupyterhub_message": ""}, None),
    ],
)
async def test_only_what_is_meant_for_the_user_is_told(ada, attributes, message):
    error = RuntimeError("token=SECRET")
    vars(error).update(attributes)
    expected = ChildFailed if message else RuntimeError
    with pytest.raises(expected) as raised:
        await ChildSpawner(ada.server()).start(launch(result=error))
    if message:
        assert str(raised.value) == message


async def test_the_message_of_a_spawn_exception_is_told(ada):
    spawner_module = pytest.importorskip("jupyterhub.spawner")
    if not hasattr(spawner_module, "SpawnException"):
        pytest.skip("came with JupyterHub 6")
    error = spawner_module.SpawnException(
        "Choose a smaller one.", reason="size", log_message="SECRET"
    )
    with pytest.raises(ChildFailed, match=r"^Choose a smaller one\.$"):
        await ChildSpawner(ada.server()).start(launch(result=error))


def progress_child(*events, error=None):
    class Talking(Child):
        async def progress(self):
            for event in events:
                yield event
            if error is not None:
                raise error

        async def start(self):
            await asyncio.sleep(0.01)
            return await super().start()

    return Talking


async def told(ada, cls):
    linked = ChildSpawner(ada.server())
    where = launch(cls)
    await linked.start(where)
    return [(event["progress"], event["message"]) for event in where.events.events]


async def test_the_childs_progress_is_passed_on(ada):
    cls = progress_child(
        {"progress": 0, "message": "pulling", "raw_event": {"secret": 1}},
        {"progress": 50, "message": "pulled"},
        {"progress": 20, "message": "falls"},
        {"progress": 100, "message": "done", "ready": True},
    )
    assert await told(ada, cls) == [(70, "pulling"), (82, "pulled"), (82, "falls"), (95, "done")]


async def test_a_child_without_progress_of_its_own(ada):
    assert await told(ada, Child) in ([], [(82, "Spawning server...")])


@pytest.mark.parametrize("progress", [None, lambda self: None, lambda self: [{"message": "x"}]])
async def test_a_child_whose_progress_is_none(ada, progress):
    assert await told(ada, type("Odd", (Child,), {"progress": progress})) == []


async def test_progress_that_fails_does_not_disturb_the_start(ada):
    cls = progress_child({"progress": 0, "message": "one"}, error=RuntimeError("SECRET"))
    assert await told(ada, cls) == [(70, "one")]


async def test_junk_in_the_progress_is_left_out(ada):
    cls = progress_child(
        None,
        "text",
        17,
        {"progress": float("nan"), "message": "nan"},
        {"progress": "many", "message": None},
        {"progress": 1e400, "message": 3},
        {"message": "no percent"},
        {"failed": True, "message": "the child says that it failed"},
    )
    assert await told(ada, cls) == [
        (70, "nan"),
        (70, "None"),
        (95, "3"),
        (95, "no percent"),
    ]


async def test_progress_that_never_ends_ends_with_the_start(ada):
    class Endless(Child):
        async def progress(self):
            while True:
                yield {"progress": 10, "message": "still"}
                await asyncio.sleep(0.001)

        async def start(self):
            await asyncio.sleep(0.01)
            return await super().start()

    assert await told(ada, Endless)


async def test_progress_that_never_waits_lets_others_run(ada):
    yielded = []

    class Busy(Child):
        async def progress(self):
            while len(yielded) < 100_000:
                yielded.append(None)
                yield {"progress": 10, "message": "still"}

        async def start(self):
            await asyncio.sleep(0.01)
            return await super().start()

    assert await told(ada, Busy)
    assert len(yielded) < 100_000


# -- what is stored -----------------------------------------------------------------------------


async def test_a_snapshot_holds_what_a_restart_needs_and_no_secrets(ada):
    outer = ada.server()
    outer.api_token = "SECRET"
    provider = given(environment={"KEY": "SECRET"}, mem_limit=GB, args=["--token=SECRET"])
    await started(
        outer,
        provider=provider,
        cmd=["run", "SECRET"],
        environment={"PASSWORD": "SECRET"},
        labels={"a": ["b", object()], "environment": "SECRET", "c": (1, None)},
    )
    assert outer._child.snapshot() == {
        "class": "spawner.parts.Child",
        "kwargs": {"mem_limit": GB, "labels": {"a": ["b"], "c": [1, None]}},
        "state": {"id": "vm-1"},
    }


async def test_a_restored_child_knows_its_server(ada):
    outer = ada.server()
    await started(outer, labels={"a": "b"})
    stored = outer._child.snapshot()
    again = ada.server()
    restored = ChildSpawner.restore(again, stored, Child)
    child = restored.spawner
    assert (child.remembered, child.labels) == ("vm-1", {"a": "b"})
    assert await restored.poll() is None
    assert restored.snapshot() == stored
    await restored.stop()
    assert child.calls == ["stop"]


async def test_a_misspelt_trait_of_a_provider_fails_the_start(ada, monkeypatch):
    """traitlets would drop it without a word, and a limit with it."""
    launched = launch()
    monkeypatch.setattr(
        launched.plan.provider, "child_traits", lambda intent, handle: {"mem_limt": 1}
    )
    with pytest.raises(TypeError, match="child_traits gave 'mem_limt', which Child has not"):
        await ChildSpawner(ada.server()).start(launched)


class Remote(Child):
    """A child that logs in to the resource itself."""

    keyfile = Unicode().tag(config=True)
    host = Unicode().tag(config=True)

    @classmethod
    def access_traits(cls, access):
        return {"host": access.endpoint.address, "keyfile": access.private_key_file or ""}


async def test_a_child_is_told_how_to_get_to_what_was_opened(ada):
    access = Access(Endpoint("192.0.2.9"), private_key_file="/state/key")
    launched = replace(launch(Remote, host="{endpoint}", keyfile="~/.ssh/id_rsa"), access=access)
    linked = ChildSpawner(ada.server())
    await linked.start(launched)
    child = linked.spawner
    assert (child.host, child.keyfile) == ("192.0.2.9", "/state/key")
    again = ChildSpawner.restore(ada.server(), linked.snapshot(), Remote).spawner
    assert (again.host, again.keyfile) == ("192.0.2.9", "/state/key")


async def test_what_a_provider_gives_stands_beside_the_access(ada):
    provider = given(host="10.0.0.1", environment={"INTENT": "1"})
    child = await started(ada.server(), Remote, provider)
    assert (child.host, child.environment) == ("10.0.0.1", {"INTENT": "1"})


async def test_a_misspelt_trait_of_an_access_fails_the_start(ada, monkeypatch):
    monkeypatch.setattr(Remote, "access_traits", lambda access: {"keyfle": "x"})
    with pytest.raises(
        TypeError, match=r"Remote\.access_traits gave 'keyfle', which Remote has not"
    ):
        await ChildSpawner(ada.server()).start(launch(Remote))
