"""The spawner, from a start to its end, on machines with a real OpenSSH server."""

from __future__ import annotations

import asyncio
import getpass
import http.server
import json
import os
import signal
import ssl
import stat
import sys
import threading
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyterhub.objects import Hub
from multiplespawner_ssh import spawner as module
from multiplespawner_ssh.errors import ServerNotStarted, SSHError, Unreachable, WrongHostKey
from multiplespawner_ssh.spawner import SSHSpawner
from ssh_parts import marked

from multiplespawner_core import Access, ConfigurationError, Endpoint

pytestmark = pytest.mark.slow

STUB = Path(__file__).parents[3] / "tests/hub/harness/light_singleuser.py"
TOKEN = "0123456789abcdef"


class HubApi(http.server.BaseHTTPRequestHandler):
    """What machines see of a hub."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        if self.server.is_hub:
            self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub_api():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubApi) as server:
        server.asked, server.is_hub = [], True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def make_spawner(pool, hub_api):
    def make(sshd, name="ada", **traits):
        given = {
            "user": SimpleNamespace(
                name=name, escaped_name="ada", url="/user/ada/", settings={}, id=1
            ),
            "hub": Hub(ip="127.0.0.1", port=hub_api.server_port, base_url="/hub/"),
            "api_token": TOKEN,
            "remote_hosts": ["127.0.0.1"],
            "remote_port": sshd.port,
            "remote_user": getpass.getuser(),
            "ssh_keyfile": str(sshd.folder / "client_key"),
            "host_keys": [sshd.host_key],
            "cmd": [sys.executable, str(STUB)],
            "start_timeout": 40,
            **traits,
        }
        return SSHSpawner(**given)

    return make


async def fetch(url, path="env"):
    def get():
        with urllib.request.urlopen(f"{url}/{path}", timeout=10) as answer:
            return json.load(answer)

    return await asyncio.to_thread(get)


def url_of(result):
    return f"http://{result[0]}:{result[1]}"


def servers(sshd):
    """The directories of servers on a machine."""
    base = sshd.home / ".multiplespawner"
    return list(base.iterdir()) if base.exists() else []


def forget_answers(spawner):
    """As if some seconds had passed."""
    module.watch(spawner._connection())._answers.clear()


async def restarted(spawner, make_spawner, sshd, **traits):
    """The same server after a restart of the hub."""
    state = json.loads(json.dumps(spawner.get_state()))
    again = make_spawner(sshd, **traits)
    again.load_state(state)
    return again


@pytest.mark.parametrize("name", ["ada", "../../etc/it's $(id) `x`\n\U0001f600"])
async def test_from_start_to_end(sshd, make_spawner, name):
    spawner = make_spawner(sshd, name, environment={"CAMPUS": "it's $HOME"})
    assert await spawner.poll() == 0
    result = await spawner.start()
    assert result == ("127.0.0.1", spawner.port)
    env = await fetch(url_of(result))
    assert env["CAMPUS"] == "it's $HOME"
    assert env["JUPYTERHUB_USER"] == name
    assert env["HOME"] == str(sshd.home)
    assert "VIRTUAL_ENV" not in env  # nothing of the hub's own environment
    assert await spawner.poll() is None
    [folder] = servers(sshd)
    assert len(folder.name) == 32
    assert TOKEN not in json.dumps(spawner.get_state())
    await spawner.stop()
    assert await spawner.poll() == 0
    assert "ssh" not in spawner.get_state()
    assert servers(sshd) == marked(sshd.home) == []
    await spawner.stop()


NOBODY = SSHSpawner()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(max_size=30))
def test_any_user_name_makes_an_account_and_a_path_that_stay_where_they_are(name):
    spawner = NOBODY
    spawner.user = SimpleNamespace(name=name)
    account = spawner._expanded(spawner.remote_user)
    assert account.isascii()
    assert not set(account) - set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        with pytest.raises(ConfigurationError, match=r"use \{unix_user\}"):
            spawner._expanded("/keys/{username}/id")
    else:
        assert spawner._expanded("/keys/{username}/id") == f"/keys/{name}/id"


async def test_the_traits_of_the_reference(make_spawner, sshd, hub_api, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (sshd.home / "get_port.py").write_text(
        "import socket\ns = socket.socket()\ns.bind(('', 0))\nprint(s.getsockname()[1])\n"
    )
    key = tmp_path / "keys/ada/id_rsa"
    key.parent.mkdir(parents=True)
    key.write_bytes((sshd.folder / "client_key").read_bytes())
    key.chmod(0o600)
    known = tmp_path / ".ssh/known_hosts"
    known.parent.mkdir()
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    spawner = make_spawner(
        sshd,
        remote_port=str(sshd.port),
        ssh_keyfile="~/keys/{username}/id_rsa",
        remote_port_command=f"{sys.executable} \\\n      $HOME/get_port.py",
        hub_api_url=f"http://localhost:{hub_api.server_port}/hub/api",
        path="~/bin",
        host_keys=[],
    )
    env = await fetch(url_of(await spawner.start()))
    assert env["PATH"].startswith(f"{sshd.home}/bin:")
    assert env["JUPYTERHUB_API_URL"] == spawner.hub_api_url
    assert env["JUPYTERHUB_ACTIVITY_URL"] == f"{spawner.hub_api_url}/users/ada/activity"
    await spawner.stop()


def test_what_an_authenticator_opened_wins():
    assert SSHSpawner.access_traits(Access(Endpoint("192.0.2.1"))) == {}
    vouched = Endpoint("192.0.2.1", 2222, "ssh-ed25519 A")
    assert SSHSpawner.access_traits(Access(vouched)) == {
        "remote_hosts": ["192.0.2.1"],
        "remote_port": 2222,
        "host_keys": ["ssh-ed25519 A"],
    }
    opened = Access(vouched, "opc", "/state/key", "/state/key-cert.pub")
    assert SSHSpawner.access_traits(opened) == {
        "remote_hosts": ["192.0.2.1"],
        "remote_port": 2222,
        "host_keys": ["ssh-ed25519 A"],
        "ssh_keyfile": "/state/key",
        "ssh_certificate_file": "/state/key-cert.pub",
    }


async def test_the_first_machine_that_answers(make_sshd, make_spawner, monkeypatch):
    sshd = make_sshd()
    monkeypatch.setattr(module.random, "shuffle", lambda hosts: None)
    spawner = make_spawner(sshd, remote_hosts=["127.0.0.2", "127.0.0.1"])
    assert (await spawner.start())[0] == "127.0.0.1"
    await spawner.stop()
    spawner = make_spawner(sshd, remote_hosts=["127.0.0.2", "127.0.0.3"])
    with pytest.raises(Unreachable, match=r"127\.0\.0\.2.*; .*127\.0\.0\.3"):
        await spawner.start()
    with pytest.raises(ConfigurationError, match="remote_hosts names no machine"):
        await make_spawner(sshd, remote_hosts=[]).start()


async def test_a_wrong_host_key_stops_the_start(make_sshd, make_spawner):
    sshd, other = make_sshd("one"), make_sshd("two")
    spawner = make_spawner(sshd, host_keys=[other.host_key])
    with pytest.raises(WrongHostKey, match="has another host key") as raised:
        await spawner.start()
    assert raised.value.jupyterhub_message == str(raised.value)
    assert servers(sshd) == []
    assert await spawner.poll() == 0


# --- starts that fail ---


async def test_a_hub_that_the_machine_does_not_reach_is_told(sshd, make_spawner, hub_api):
    spawner = make_spawner(sshd)
    await spawner.start()
    assert hub_api.asked == ["/hub/api"]
    await spawner.stop()
    hub_api.is_hub = False
    for api, why in (
        ("", "what answers there is no JupyterHub"),
        ('http://127.0.0.1:1/it\'s$(id)"hub"/api', "Connection refused"),
        ("https://127.0.0.1:1/hub/api", "Connection refused"),
        ("http://no.such.invalid/hub/api", "not known"),
    ):
        spawner = make_spawner(sshd, hub_api_url=api)
        with pytest.raises(ServerNotStarted) as caught:
            await spawner.start()
        said = str(caught.value)
        assert f"does not reach the hub at {api or spawner.hub.api_url}: " in said
        assert why in said
        assert "hub_connect_url" in said
        assert servers(sshd) == marked(sshd.home) == []


async def test_the_end_of_its_log_is_told(sshd, make_spawner):
    code = (
        "import os, sys; print('first', flush=True); sys.exit('no such kernel; token '"
        " + os.environ['JUPYTERHUB_API_TOKEN'])"
    )
    spawner = make_spawner(sshd, cmd=[sys.executable, "-c", code])
    with pytest.raises(ServerNotStarted) as raised:
        await spawner.start()
    message = str(raised.value)
    assert message.startswith("The server on 127.0.0.1 ended before it listened. The end of its")
    assert "first" in message
    assert message.endswith("no such kernel; token ***")
    assert raised.value.jupyterhub_message == message
    assert servers(sshd) == marked(sshd.home) == []
    assert await spawner.poll() == 0


async def test_one_that_does_not_listen_in_time(sshd, make_spawner):
    spawner = make_spawner(
        sshd, cmd=["sh", "-c", "echo busy; sleep 600"], start_timeout=module._MARGIN + 1
    )
    with pytest.raises(ServerNotStarted, match=r"does not listen in time.*\nbusy"):
        await spawner.start()
    assert servers(sshd) == marked(sshd.home) == []


async def test_a_program_that_is_not_there(sshd, make_spawner):
    with pytest.raises(ServerNotStarted, match="no-such-program"):
        await make_spawner(sshd, cmd=["no-such-program"]).start()


async def test_a_start_that_is_cancelled_leaves_nothing(sshd, make_spawner):
    spawner = make_spawner(sshd, cmd=["sh", "-c", "sleep 600"])
    starting = asyncio.create_task(spawner.start())
    while not marked(sshd.home):
        await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert marked(sshd.home)  # it returned at once: the rest is for `stop`
    assert await spawner.poll() is None
    await spawner.stop()
    assert servers(sshd) == marked(sshd.home) == []


async def test_a_start_whose_answer_never_came_leaves_nothing(sshd, make_spawner, monkeypatch):
    monkeypatch.setattr(module, "_LAUNCHED_WITHIN", 0.1)
    spawner = make_spawner(sshd, cmd=["sh", "-c", "sleep 600"])
    launch = module.Server.launch

    async def unanswered(self, *args):
        await launch(self, *args)
        await asyncio.sleep(600)

    monkeypatch.setattr(module.Server, "launch", unanswered)
    starting = asyncio.create_task(spawner.start())
    while not marked(sshd.home):
        await asyncio.sleep(0.01)
    starting.cancel()
    await asyncio.wait({starting})
    await spawner.stop(now=True)
    assert servers(sshd) == marked(sshd.home) == []


async def test_a_start_that_loses_its_machine_is_ended_once_that_is_back(sshd, make_spawner):
    spawner = make_spawner(sshd, cmd=["sh", "-c", "sleep 600"])
    starting = asyncio.create_task(spawner.start())
    while not marked(sshd.home):
        await asyncio.sleep(0.01)
    sshd.stop()
    with pytest.raises(Unreachable):
        await starting
    assert await spawner.poll() is None
    sshd.start()
    await spawner._connection().run("true", insist=True)
    await spawner.stop()
    assert servers(sshd) == marked(sshd.home) == []


# --- polls ---


async def test_a_server_that_ends_is_noticed_and_cleaned_up(sshd, make_spawner):
    spawner = make_spawner(sshd)
    await spawner.start()
    os.kill(spawner._process.pid, signal.SIGKILL)
    forget_answers(spawner)
    assert await spawner.poll() == 1
    assert servers(sshd) == marked(sshd.home) == []
    assert await spawner.poll() == 0


async def test_a_cut_network_is_not_a_dead_server(sshd, make_spawner):
    spawner = make_spawner(sshd)
    result = await spawner.start()
    sshd.stop()
    forget_answers(spawner)
    assert await spawner.poll() is None
    with pytest.raises(SSHError):
        await spawner.stop()
    assert await spawner.poll() is None
    again = await restarted(spawner, make_spawner, sshd)
    assert await again.poll() is None
    assert await fetch(url_of(result))
    sshd.start()
    await again._connection().run("true", insist=True)
    assert await again.poll() is None
    await again.stop()
    assert servers(sshd) == marked(sshd.home) == []


async def test_a_login_that_is_refused_proves_nothing(sshd, make_spawner, pool):
    spawner = make_spawner(sshd)
    await spawner.start()
    allowed = (sshd.folder / "authorized_keys").read_text()
    sshd.let_in()
    await pool.close()
    forget_answers(spawner)
    assert await spawner.poll() is None
    sshd.let_in(allowed)
    await spawner._connection().run("true", insist=True)
    await spawner.stop()


async def test_another_machine_at_the_address_is_recognised(sshd, make_spawner, caplog):
    spawner = make_spawner(sshd)
    await spawner.start()
    name, process = spawner._name, spawner._process
    again = await restarted(spawner, make_spawner, sshd, host_keys=list(spawner.host_keys))
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    forget_answers(spawner)
    assert await spawner.poll() == 1
    await again.stop()  # what is there is somebody else's
    assert "has another host key" in caplog.text
    mine = make_spawner(sshd)
    mine.load_state({"ssh": {
        "host": "127.0.0.1", "port": sshd.port, "username": getpass.getuser(),
        "name": name, "process": str(process),
    }})  # fmt: skip
    assert await mine.poll() is None
    await mine.stop()


async def test_a_machine_that_booted_again_has_no_server(sshd, make_spawner):
    spawner = make_spawner(sshd)
    await spawner.start()
    state = spawner.get_state()
    pid, started, boot = state["ssh"]["process"].split()
    state["ssh"]["process"] = f"{pid} {started} {'0' * 8}{boot[8:]}"
    again = make_spawner(sshd)
    again.load_state(state)
    assert await again.poll() == 1
    assert marked(sshd.home) == []  # by its mark it was found all the same


async def test_a_restarted_hub_finds_and_stops_it(sshd, make_spawner, pool):
    spawner = make_spawner(sshd)
    result = await spawner.start()
    await pool.close()
    again = await restarted(spawner, make_spawner, sshd)
    assert await again.poll() is None
    assert await fetch(url_of(result))
    await again.stop()
    assert servers(sshd) == marked(sshd.home) == []


def test_loading_a_state_needs_no_event_loop(tmp_path):
    spawner = SSHSpawner(user=SimpleNamespace(name="ada"))
    state = {"ssh": {
        "host": "192.0.2.1", "port": 22, "username": "ada", "name": "a" * 32,
        "process": f"1 2 {'0' * 36}",
    }}  # fmt: skip
    spawner.load_state(state)
    assert spawner.get_state() == state
    spawner.clear_state()
    assert spawner.get_state() == {}


async def test_polls_of_many_servers_share_a_connection_and_a_command(sshd, make_spawner, pool):
    spawners = [make_spawner(sshd, environment={"N": str(n)}) for n in range(4)]
    await asyncio.gather(*(spawner.start() for spawner in spawners))
    assert len({spawner.port for spawner in spawners}) == 4
    [connection] = pool._connections.values()
    assert connection.opened == 1
    watching = module.watch(connection)
    before = watching.rounds
    answers = await asyncio.gather(*(spawner.poll() for spawner in spawners))
    assert answers == [None] * 4
    assert watching.rounds == before + 1
    await asyncio.gather(*(spawner.stop() for spawner in spawners))


# --- stops ---


async def test_one_that_ignores_the_request_is_killed(sshd, make_spawner):
    spawner = make_spawner(sshd, environment={"STUB_MODE": "ignore-sigterm"}, term_timeout=1)
    await spawner.start()
    await spawner.stop()
    assert servers(sshd) == marked(sshd.home) == []


async def test_now_asks_nobody(sshd, make_spawner):
    spawner = make_spawner(sshd, environment={"STUB_MODE": "ignore-sigterm"}, term_timeout=600)
    await spawner.start()
    await spawner.stop(now=True)
    assert marked(sshd.home) == []


# --- internal SSL ---


async def test_certificates_go_to_the_private_directory(sshd, make_spawner, tmp_path):
    from certipy import Certipy

    certs = tmp_path / "certs"
    authority = Certipy(store_dir=str(certs)).create_ca("notebooks-ca")
    spawner = make_spawner(
        sshd,
        internal_ssl=True,
        internal_certs_location=str(certs),
        internal_trust_bundles={"notebooks-ca": authority["files"]["cert"]},
        ssl_alt_names=["DNS:extra"],
    )
    paths = await spawner.create_certs()
    assert spawner.ssl_alt_names == ["DNS:extra"]
    names = ssl._ssl._test_decode_cert(paths["certfile"])["subjectAltName"]
    assert ("IP Address", "127.0.0.1") in names
    assert ("DNS", "extra") in names
    spawner.cert_paths = await spawner.move_certs(paths)
    [folder] = servers(sshd)
    for kind, path in spawner.cert_paths.items():
        assert Path(path).parent == folder
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        assert Path(path).read_text().strip() == Path(paths[kind]).read_text().strip()
    await spawner.start()
    assert servers(sshd) == [folder]
    await spawner.stop()
    assert servers(sshd) == []
