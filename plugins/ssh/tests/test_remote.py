"""What is done on a machine for a server, by a real shell and beside real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import pytest
from multiplespawner_ssh import remote
from multiplespawner_ssh.errors import SSHError, Unreachable
from multiplespawner_ssh.remote import Process, Server, Watch, watch

pytestmark = pytest.mark.slow

NASTY = ["it's", '"', "$(touch pwned)", "`touch pwned`", "\\", "a\nb", "", "-n", "*", "é", "\udcff"]
TREE = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
subprocess.Popen(["env", "-i", sys.executable, "-c", "import time; time.sleep(600)"])
subprocess.Popen(["env", "-i", "sleep", "600"], start_new_session=True)
time.sleep(600)
"""


@pytest.fixture
def connection(sshd, pool):
    return pool.to(sshd.machine())


@pytest.fixture
async def make_server(connection):
    made = []

    async def make(base=".multiplespawner", files=None):
        server = Server(connection, base, Server.new_name())
        await server.furnish(files or {})
        made.append(server)
        return server

    yield make
    for server in made:
        await server.kill(None)


@pytest.fixture
async def server(make_server):
    return await make_server()


def place(sshd, server):
    return sshd.home / ".multiplespawner" / server.name


async def started(server, *command, path="", **environment):
    process = await server.launch(command or ("sleep", "600"), environment, path)
    while _program(process.pid) in ("sh", "dash", "bash", "setsid"):
        await asyncio.sleep(0.01)
    return process


def _program(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def environment_of(pid):
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if entry)


def _marked(pids):
    return [pid for pid in pids if b"MULTIPLESPAWNER_SERVER" in environment_of(pid)]


# --- files ---


async def test_files_are_private_and_whole(sshd, make_server):
    content = "-----BEGIN X-----\nit's $HOME `x` \\\n-----END X-----\n"
    server = await make_server(files={"a": content, "b it's": "x"})
    folder = place(sshd, server)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"a", "b it's", "server.log"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert (folder / "a").read_text().rstrip("\n") == content.rstrip("\n")
    await server.kill(None)
    assert not folder.exists()


async def test_where_the_files_are(sshd, connection, tmp_path):
    for base in ("it's here", str(tmp_path / "any where")):
        server = Server(connection, base, Server.new_name())
        paths = await server.furnish({"key": "x"})
        assert Path(paths["key"]).read_text().strip() == "x"
        assert Path(paths["key"]).parent == sshd.home / base / server.name
        await server.kill(None)


async def test_a_directory_that_is_there_is_not_ours(sshd, connection):
    server = Server(connection, ".multiplespawner", Server.new_name())
    place(sshd, server).mkdir(parents=True)
    with pytest.raises(SSHError, match="File exists"):
        await server.furnish({})


async def test_a_machine_that_cannot_be_written_to_says_so(sshd, connection):
    (sshd.home / "file").touch()
    server = Server(connection, "file", Server.new_name())
    with pytest.raises(SSHError, match=r"could not do it: .*(File exists|Not a directory)"):
        await server.furnish({})


# --- starting ---


async def test_it_runs_detached_with_what_it_was_given(sshd, server, pool):
    values = {f"VALUE_{number}": text for number, text in enumerate(NASTY)}
    # Names that our own script uses as well.
    values |= {"place": "x", "boot": "y", "started": "z", "IFS": ":", "line": "q", "mask": "0"}
    program = [sys.executable, "-c", "import time; time.sleep(600)", *NASTY]
    process = await started(server, *program, JUPYTERHUB_API_TOKEN="secret", **values)
    found = environment_of(process.pid)
    for name, value in values.items():
        assert found[name.encode()] == os.fsencode(value)
    assert found[b"JUPYTERHUB_API_TOKEN"] == b"secret"
    assert found[b"MULTIPLESPAWNER_SERVER"] == server.name.encode()
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[:-1]
    assert arguments == [os.fsencode(word) for word in program]
    assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid
    assert Path(f"/proc/{process.pid}/cwd").readlink() == sshd.home
    assert not list(sshd.home.rglob("pwned"))
    await pool.close()
    sshd.stop()
    assert alive(process.pid)
    sshd.start()
    assert await server.is_listening(process, 1) is False


async def test_no_secret_is_seen_by_others(sshd, make_server):
    """In no command line at any moment, and in no file that others may read."""
    secret = os.urandom(12).hex()
    server = await make_server(files={"key": secret})
    seen = []

    async def look():
        while True:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if secret.encode() in path.read_bytes():
                        seen.append(path)
                except OSError:
                    pass
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    process = await started(server, JUPYTERHUB_API_TOKEN=secret)
    looking.cancel()
    assert seen == []
    assert environment_of(process.pid)[b"JUPYTERHUB_API_TOKEN"] == secret.encode()
    files = [path for path in sshd.home.rglob("*") if path.is_file()]
    holding = [path for path in files if secret in path.read_text()]
    assert holding == [place(sshd, server) / "key"]


async def test_it_keeps_the_account_s_umask(sshd, server, connection):
    usual = (await connection.run("umask")).output.strip()
    await started(server, "sh", "-c", "umask >umask; exec sleep 600")
    while not (sshd.home / "umask").exists() or not (sshd.home / "umask").read_text():
        await asyncio.sleep(0.01)
    assert (sshd.home / "umask").read_text().strip() == usual


async def test_where_programs_are_looked_for(sshd, server):
    for folder, name in (("bin", "one"), ("it's", "two")):
        program = sshd.home / folder / name
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho found >>$HOME/found\nexec sleep 600\n")
        program.chmod(0o755)
    path = f"~/bin:{sshd.home}/it's"
    for name in ("one", "two"):
        await server.launch([name], {"PATH": "/usr/bin:/bin"}, path)
    while not (sshd.home / "found").exists() or (sshd.home / "found").read_text() != "found\n" * 2:
        await asyncio.sleep(0.01)


async def test_a_program_that_is_not_there(server):
    process = await server.launch(["no-such-program"], {}, "")
    while await server.is_listening(process, 1) is not None:
        await asyncio.sleep(0.01)
    assert "no-such-program" in await server.tail()


async def test_the_end_of_a_log(server):
    process = await server.launch(["sh", "-c", "seq 10000; echo wrong >&2"], {}, "")
    while await server.is_listening(process, 1) is not None:
        await asyncio.sleep(0.01)
    tail = await server.tail()
    assert tail.endswith("9999\n10000\nwrong")
    assert len(tail) <= 4000


async def test_listening_is_seen(server):
    port = await server.free_port("")
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    process = await started(server, sys.executable, "-c", code)
    while not await server.is_listening(process, port):
        await asyncio.sleep(0.02)
    assert await server.is_listening(process, port - 1 if port > 1024 else port + 1) is False


async def test_ports(server, sshd):
    ports = {await server.free_port("") for _ in range(5)}
    assert len(ports) > 1
    assert all(1024 <= port <= 65535 for port in ports)
    (sshd.home / "get_port.py").write_text("print(4242)\n")
    command = f"{sys.executable} \\\n    $HOME/get_port.py"
    assert await server.free_port(command) == 4242
    with pytest.raises(SSHError, match="names no free port: none"):
        await server.free_port("echo none")
    with pytest.raises(SSHError, match=r"could not do it: .*no-such"):
        await server.free_port("no-such-command")


async def test_a_machine_without_python(make_sshd, pool, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("grep", "od", "setsid", "mkdir", "rm", "sleep", "sh"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    sshd = make_sshd("bare", env=f"PATH={programs}")
    server = Server(pool.to(sshd.machine()), ".x", Server.new_name())
    assert 61000 <= await server.free_port("") < 65536
    assert await server.why_unreachable("http://127.0.0.1:1/hub/api", "") is None
    path = str(Path(sys.executable).parent)
    said = await server.why_unreachable("http://127.0.0.1:1/hub/api", path)
    assert "Connection refused" in said


# --- ending ---


async def test_asked_to_end_its_group_ends(server, sshd):
    code = "trap 'echo bye >$HOME/bye; exit' TERM; sleep 600 & wait"
    process = await server.launch(["sh", "-c", code], {}, "")
    await asyncio.sleep(0.2)
    assert await server.terminate(process)
    while alive(process.pid):
        await asyncio.sleep(0.01)
    assert (sshd.home / "bye").exists()
    assert await server.terminate(process) is False
    assert list(await server.kill(process)) == []


async def test_the_whole_tree_is_killed_wherever_it_went(server):
    bystander = await asyncio.create_subprocess_exec("sleep", "600")
    process = await started(server, sys.executable, "-c", TREE)
    while len(_tree(process.pid)) < 4:
        await asyncio.sleep(0.02)
    members = _tree(process.pid)
    assert list(await server.kill(process)) == []
    assert not any(alive(pid) for pid in members)
    assert alive(bystander.pid)
    bystander.kill()
    await bystander.wait()


async def test_what_outlives_its_server_is_killed(server):
    process = await started(server, sys.executable, "-c", TREE)
    # `env -i` still bears the mark that what it becomes does not.
    while len(marked := _marked(members := _tree(process.pid))) != 2 or "sleep" not in map(
        _program, members
    ):
        await asyncio.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    while alive(process.pid):
        await asyncio.sleep(0.01)
    assert list(await server.kill(process)) == []
    assert not any(alive(pid) for pid in marked)
    for pid in members:  # what has left session, environment and parent cannot be known
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


async def test_it_is_killed_although_nobody_knows_its_process(server):
    """The answer to its start was lost."""
    process = await started(server)
    assert list(await server.kill(None)) == []
    assert not alive(process.pid)


async def test_a_reused_number_is_never_taken_for_it(server):
    process = await started(server)
    late = Process(process.pid, process.started - 1, process.boot)
    rebooted = Process(process.pid, process.started, f"{'0' * 8}{process.boot[8:]}")
    mine = await asyncio.create_subprocess_exec("sleep", "600")
    stranger = Process(mine.pid, 1, process.boot)
    for other in (late, rebooted, stranger):
        assert await server.is_listening(other, 1) is None
        assert await server.terminate(other) is False
    other_server = Server(server._connection, ".multiplespawner", Server.new_name())
    assert list(await other_server.kill(stranger)) == []
    assert alive(mine.pid)
    assert alive(process.pid)
    mine.kill()
    await mine.wait()


@pytest.mark.parametrize("text", ["", "1 2", "1 2 x; rm -rf /", "0 1 2", "a b c"])
def test_what_is_no_process(text):
    with pytest.raises(ValueError, match="no process"):
        Process.read(text)


def test_a_process_is_read_as_it_is_written():
    one = Process(1, 2, "0" * 36)
    assert Process.read(str(one)) == one


# --- polls ---


async def test_polls_of_one_machine_are_one_command(make_server, connection, monkeypatch):
    servers = [await make_server() for _ in range(6)]
    processes = [await started(server) for server in servers]
    os.kill(processes[2].pid, signal.SIGKILL)
    while alive(processes[2].pid):
        await asyncio.sleep(0.01)
    commands = []
    run = connection.run

    async def counted(script, **kwargs):
        commands.append(script)
        return await run(script, **kwargs)

    monkeypatch.setattr(connection, "run", counted)
    watching = watch(connection)
    assert watch(connection) is watching
    pairs = list(zip(servers, processes, strict=True))
    answers = await asyncio.gather(*(watching.is_running(s.name, p) for s, p in pairs))
    assert answers == [True, True, False, True, True, True]
    assert len(commands) == 1
    # Each of them later, by itself, as timers do: the answer serves all.
    for server, process in pairs:
        await watching.is_running(server.name, process, max_age=60)
    assert len(commands) == 1
    await watching.is_running(servers[0].name, processes[0], max_age=0)
    assert len(commands) == 2
    watching.forget(servers[1].name)
    await watching.is_running(servers[0].name, processes[0])
    assert servers[1].name not in commands[-1]
    assert servers[3].name in commands[-1]


async def test_five_hundred_in_one_round(connection, server):
    process = await started(server)
    watching = Watch(connection)
    names = [Server.new_name() for _ in range(500)]
    answers = await asyncio.gather(*(watching.is_running(name, process) for name in names))
    assert answers == [True] * 500
    assert watching.rounds == 1


async def test_no_answer_is_no_word_about_a_server(sshd, connection, server):
    process = await started(server)
    watching = watch(connection)
    sshd.stop()
    with pytest.raises(Unreachable):
        await watching.is_running(server.name, process)
    sshd.start()
    await connection.run("true", insist=True)
    assert await watching.is_running(server.name, process)


async def test_an_answer_that_is_cut_off_is_none(connection, server, monkeypatch):
    process = await started(server)
    monkeypatch.setattr(remote, "_LOOK", 'look() { echo "$1 gone"; exit 0; }\n')
    with pytest.raises(SSHError, match="could not say what runs"):
        await Watch(connection).is_running(server.name, process)


async def test_who_asks_may_be_cancelled(connection, server):
    process = await started(server)
    watching = watch(connection)
    asking = [asyncio.create_task(watching.is_running(server.name, process)) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    assert await asking[1] is True
    assert await asking[2] is True


def _tree(root):
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found
