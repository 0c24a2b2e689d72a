"""A canary in every door, and a hub that starts, fails and stops servers: nobody hears one sing.

What is a secret here: API tokens of JupyterHub's services and of servers, the token of the proxy,
the password that a user logs in with, the secret of the cloud's API, private keys, what the
administrator puts into the environment of hub and servers, and what a user sends that is no
choice: an option that does not exist may be anything, such as a password in the wrong field.

What is none: what a user does choose. It is shown on pages, and kept: JupyterHub's database holds
it as `user_options`, the ledger as template and deployment. JupyterHub stores options before
anybody has looked at them, so its database, and nothing else, may hold what was no choice.

Where each may be: tokens, in the configuration that they were written into; keys and the cloud's
secret, in files that only the hub's user reads. JupyterHub's database holds tokens as hashes.
Environments of processes are not searched: that is where JupyterHub puts them.
"""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest
from canaries import Watch
from harness.processes import wait_for
from site_fixture import TEMPLATES, phases

from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import Fault, FaultKind, Settings
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = pytest.mark.hub

(PROVIDER,), (AUTHENTICATOR,), (SPAWNER,) = COMPONENT_CLASSES.values()
PASSWORD = "canary-password-that-ada-types"
OPTION = "canary-in-an-option-that-does-not-exist"
OF_HUB = "canary-in-the-environment-of-the-hub"
OF_SPAWNERS = "canary-in-the-environment-of-all-servers"
OF_TEMPLATE = "canary-in-the-environment-of-a-template"

SETTINGS = Settings(lag=0.2, lost_answers=0, provisioning=(0.1, 0.3), terminating=(0.1, 0.3))

ENVIRONMENT = {"environment": {"PLACE": OF_TEMPLATE}}
MACHINES = {
    "resource_type": "virtual_machine",
    "providers": [PROVIDER],
    "authenticator": {"class": AUTHENTICATOR},
}
ALL_TEMPLATES = [
    {**TEMPLATES[0], "spawner": {**TEMPLATES[0]["spawner"], "kwargs": ENVIRONMENT}},
    {**MACHINES, "name": "Machine", "spawner": {"class": SPAWNER, "kwargs": ENVIRONMENT}},
]
DEPLOYMENTS = {
    "bare_metal": [
        {"name": "local_machine", "provider": "local"},
        {"name": "broken", "provider": "local", "cmd": ["/no/such/file"]},
    ],
    "virtual_machine": [{"name": "vm", "provider": PROVIDER, "image": "debian"}],
}
LOCAL = {"resource_type": "bare_metal", "deployment": "local_machine"}
BROKEN = {"resource_type": "bare_metal", "deployment": "broken"}
MACHINE = {"resource_type": "virtual_machine", "deployment": "vm"}

OWN = {
    "/jupyterhub_config.py": ("service_token", "proxy_token", "of_spawners"),
    "/spawner_templates.json": ("of_template",),
    "/client_key": ("client_key",),
    "/host_key": ("host_key",),
    "/secret": ("cloud_secret",),
}


@pytest.fixture
def cloud(tmp_path):
    (tmp_path / "cloud").mkdir()
    with CloudProcess(tmp_path / "cloud", SETTINGS, machines="process", seed=3) as cloud:
        yield cloud


@pytest.fixture
def hub(cloud, site, tmp_path):
    for folder in ("temporary", "tokens"):
        (tmp_path / folder).mkdir()
    config = f"""
c.MultipleSpawner.component_classes = {json.dumps(COMPONENT_CLASSES)}
c.SmallCloud.url = {cloud.url!r}
c.SmallCloud.secret_file = {str(cloud.secret_file)!r}
c.SmallCloud.list_grace = 0.5
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.Spawner.environment = {{"FOR_ALL": {OF_SPAWNERS!r}}}
def tell(spawner):
    (Path({str(tmp_path)!r}) / "tokens" / spawner.user.name).write_text(spawner.api_token)
c.Spawner.pre_spawn_hook = tell
"""
    hub = site(
        config,
        templates=ALL_TEMPLATES,
        deployments=DEPLOYMENTS,
        env={"HUBS_OWN": OF_HUB, "TMPDIR": str(tmp_path / "temporary")},
        start=False,
    )
    for name in ("jupyterhub_config.py", "spawner_templates.json"):
        (hub.folder / name).chmod(0o600)
    return hub.start(timeout=180)


@pytest.fixture
def watch(hub, cloud, tmp_path):
    with Watch([hub.folder, tmp_path / "temporary"], OWN) as watch:
        watch.plant(
            service_token=hub.token,
            proxy_token=hub.env["CONFIGPROXY_AUTH_TOKEN"],
            cloud_secret=cloud.secret_file.read_text().strip(),
            password=PASSWORD,
            of_hub=OF_HUB,
            of_spawners=OF_SPAWNERS,
            of_template=OF_TEMPLATE,
        )
        yield watch


def keys_of_machine(hub):
    """A part of each private key that no other file has a reason to hold."""
    found = {}
    for name in ("client_key", "host_key"):
        (path,) = hub.folder.glob(f"state/**/{name}")
        found[name] = path.read_text().splitlines()[3]
    return found


def progress(hub, user):
    return json.dumps(list(hub.client.progress(user)))


def run_and_stop(hub, watch, user, options):
    """One server, with everything that is secret about it."""
    hub.client.start(user, options, wait=False)
    watch.search("progress", progress(hub, user))
    hub.client.wait_until_running(user)
    watch.plant(**{f"token_of_{user}": (hub.folder.parent / "tokens" / user).read_text()})
    if options is MACHINE:
        watch.plant(**keys_of_machine(hub))
    else:
        assert hub.client.server_get(user, "env").json()["PLACE"] == OF_TEMPLATE
    watch.search("model", json.dumps(hub.client.user(user)))
    hub.client.stop(user)


def fail(hub, watch, user, options):
    hub.client.start(user, options, wait=False)
    said = progress(hub, user)
    assert '"failed": true' in said
    watch.search("progress", said)
    wait_for(lambda: hub.client.is_stopped(user), "the start has failed")


def test_a_canary_would_be_heard(tmp_path):
    private, public = tmp_path / "private", tmp_path / "public"
    with Watch([tmp_path], {"/private": ("one",), "/public": ("two",)}) as watch:
        watch.plant(one="the first canary", two="the second canary", three="the third canary")
        private.touch(mode=0o600)
        private.write_text("the first canary, the third canary")
        public.touch(mode=0o644)
        public.write_text("the second canary")
        sleeper = "import time; time.sleep(60)"
        with subprocess.Popen([sys.executable, "-c", sleeper, "the first canary"]) as process:
            wait_for(lambda: "one" in watch.found, "it is heard")
            process.kill()
    assert dict(watch.found) == {
        "one": {"arguments"},
        "two": {str(public)},
        "three": {str(private)},
    }


def test_no_canary_is_heard(hub, cloud, watch):
    page = hub.session("ada", PASSWORD).spawn_form()
    watch.search("form", page.text)
    run_and_stop(hub, watch, "ada", LOCAL)
    run_and_stop(hub, watch, "eve", MACHINE)
    fail(hub, watch, "bob", BROKEN)
    cloud.add_fault(Fault(FaultKind.FAIL_LATER, "create"))
    fail(hub, watch, "dan", MACHINE)
    wait_for(lambda: set(phases(hub)) == {"closed"}, "everything is given back", timeout=60)
    hub.terminate()
    hub.start(timeout=180)
    assert len(phases(hub)) == 4
    watch.__exit__()
    assert dict(watch.found) == {}
    assert {"hub.log", "proxy.log", "hub.sqlite", "ledger.sqlite"} <= watch.read["files"]
    assert str(hub.config_file) in watch.read["arguments"]
    assert "/user/ada/" not in watch.read["arguments"]


def test_what_is_no_choice_is_not_repeated(hub, watch):
    hub.client.ensure_user("joe")
    answer = hub.client.try_start("joe", {**LOCAL, "flavour": OPTION})
    # Nobody waits for the end of a start here; it may have ended already.
    waits = answer.status_code == httpx.codes.ACCEPTED
    said = progress(hub, "joe") if waits else answer.text
    assert "'flavour' is no option" in said
    watch.search("answer", said)
    wait_for(lambda: hub.client.is_stopped("joe"), "the start is refused")
    watch.plant(option=OPTION)
    watch.__exit__()
    assert watch.found.pop("option") <= {str(hub.folder / "hub.sqlite")}
    assert dict(watch.found) == {}
