"""The connection to a machine: one for everything, known by its host key, made anew by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from itertools import pairwise

import asyncssh
import pytest
from multiplespawner_ssh import connection as module
from multiplespawner_ssh.connection import connections
from multiplespawner_ssh.errors import LoginRefused, Unreachable, WrongHostKey
from ssh_parts import keygen

from multiplespawner_core import ConfigurationError, OpenFailed

pytestmark = pytest.mark.slow


async def test_one_connection_carries_everything(sshd, pool):
    connection = pool.to(sshd.machine())
    answers = await asyncio.gather(*(connection.run(f"echo {n}; sleep 0.05") for n in range(60)))
    assert [answer.output for answer in answers] == [f"{n}\n" for n in range(60)]
    assert connection.opened == 1
    assert sshd.log.count("Accepted publickey") == 1
    assert pool.to(sshd.machine()) is connection


@pytest.mark.parametrize("most", [1, 3])
async def test_a_machine_that_opens_fewer_sessions_is_asked_for_fewer(
    make_sshd, pool, most, monkeypatch
):
    sshd = make_sshd(more=f"MaxSessions {most}")
    connection = pool.to(sshd.machine())
    await connection.run("true")
    asked = []
    create_process = connection._line.ssh.create_process

    async def counted(*args, **kwargs):
        asked.append(args)
        return await create_process(*args, **kwargs)

    monkeypatch.setattr(connection._line.ssh, "create_process", counted)
    answers = await asyncio.gather(*(connection.run(f"echo {n}; sleep 0.05") for n in range(20)))
    assert [answer.output for answer in answers] == [f"{n}\n" for n in range(20)]
    assert connection.opened == 1
    # What it refused once is not asked for again and again.
    assert len(asked) < 100


async def test_one_that_opens_none_says_so(make_sshd, pool):
    sshd = make_sshd(more="MaxSessions 0")
    with pytest.raises(Unreachable, match="opens no session"):
        await pool.to(sshd.machine()).run("true")


async def test_output_errors_and_status_are_the_script_s_own(sshd, pool):
    (sshd.home / ".bashrc").write_text("echo noise; echo noise >&2\n")
    answer = await pool.to(sshd.machine()).run("echo out; echo wrong >&2; exit 3")
    assert (answer.output, answer.errors, answer.status) == ("out\n", "wrong\n", 3)


async def test_nothing_stands_in_a_command_line(sshd, pool):
    secret = os.urandom(16).hex()
    script = f"# {secret}\nfor f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; done 2>/dev/null"
    assert secret not in (await pool.to(sshd.machine()).run(script)).output


async def test_another_host_key_is_an_error_of_its_own(sshd, make_sshd, pool):
    other = make_sshd("other")
    connection = pool.to(sshd.machine(host_keys=(other.host_key,)))
    with pytest.raises(WrongHostKey) as raised:
        await connection.run("cd; touch ran")
    assert str(raised.value) == (
        f"The machine that answers at 127.0.0.1 port {sshd.port} has another host key than the one"
        " that was expected: it may be another machine. Nothing was sent to it. Tell your"
        " administrator."
    )
    assert isinstance(raised.value, OpenFailed)
    assert not (sshd.home / "ran").exists()
    assert "Accepted" not in sshd.log


async def test_another_kind_of_host_key_is_another_machine(sshd, pool, tmp_path):
    keygen("-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "ecdsa")
    pinned = (tmp_path / "ecdsa.pub").read_text()
    with pytest.raises(WrongHostKey, match="another host key"):
        await pool.to(sshd.machine(host_keys=(pinned,))).run("true")


async def test_nothing_is_trusted_without_a_host_key(sshd, pool):
    with pytest.raises(WrongHostKey, match="Nobody vouches for the host key"):
        await pool.to(sshd.machine(host_keys=())).run("true")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_a_fingerprint_will_do(make_sshd, pool, kind):
    sshd = make_sshd()
    sshd.stop()
    sshd.new_host_key(kind)
    sshd.start()
    fingerprint = keygen("-l", "-f", sshd.folder / "host_key.pub").split()[1]
    connection = pool.to(sshd.machine(host_keys=(fingerprint,)))
    assert (await connection.run("echo here")).output == "here\n"
    assert connection.host_key == sshd.host_key
    wrong = f"SHA256:{'A' * 43}"
    with pytest.raises(WrongHostKey, match="another host key"):
        await pool.to(sshd.machine(host_keys=(wrong,))).run("true")


async def test_a_file_of_known_hosts(sshd, pool, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    machine = sshd.machine(host_keys=(), known_hosts_file=str(known))
    assert (await pool.to(machine).run("echo here")).output == "here\n"
    await pool.forget(machine)
    known.write_text(f"[127.0.0.1]:1 {sshd.host_key}\n")
    with pytest.raises(WrongHostKey):
        await pool.to(machine).run("true")
    machine = sshd.machine(host_keys=(), known_hosts_file=str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await pool.to(machine).run("true")


async def test_a_key_that_is_not_let_in(sshd, pool):
    sshd.let_in()
    with pytest.raises(LoginRefused, match="does not let the hub in"):
        await pool.to(sshd.machine()).run("true")


async def test_what_is_wrong_with_a_key_file(sshd, pool, tmp_path):
    async def run(path):
        await pool.to(sshd.machine(key_file=str(path))).run("true")

    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        await run(tmp_path / "missing")
    (tmp_path / "nonsense").write_text("nonsense")
    with pytest.raises(ConfigurationError, match="no private SSH key"):
        await run(tmp_path / "nonsense")
    shutil.copy(sshd.folder / "client_key", tmp_path / "open")
    (tmp_path / "open").chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"others may read the SSH key .*: chmod 600"):
        await run(tmp_path / "open")


async def test_sshd_is_killed_and_comes_back(sshd, pool, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.05)
    connection = pool.to(sshd.machine())
    await connection.run("true")
    pending = asyncio.create_task(connection.run("cd; echo started >started; sleep 60"))
    while not (sshd.home / "started").exists():
        await asyncio.sleep(0.01)
    sshd.stop()
    with pytest.raises(Unreachable, match="was lost"):
        await pending
    with pytest.raises(Unreachable, match="nothing listens there"):
        await connection.run("true")
    sshd.start()
    await asyncio.sleep(0.2)
    assert (await connection.run("echo again")).output == "again\n"
    assert connection.opened == 2


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), asyncssh.ConnectionLost("")])
async def test_a_connection_that_is_lost_while_it_is_asked(sshd, pool, monkeypatch, error):
    connection = pool.to(sshd.machine())
    await connection.run("true")

    async def lose(*_, **__):
        raise error

    monkeypatch.setattr(connection._line.ssh, "create_process", lose)
    with pytest.raises(Unreachable, match="was lost"):
        await connection.run("true")


async def test_a_machine_that_fails_is_left_alone_for_longer_and_longer(sshd, pool, monkeypatch):
    connection = pool.to(sshd.machine())
    tries = []
    open_it = connection._open

    async def counted():
        tries.append(asyncio.get_running_loop().time())
        return await open_it()

    monkeypatch.setattr(connection, "_open", counted)
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.05)
    sshd.stop()
    asked = 0
    while len(tries) < 4:
        asked += 1
        with pytest.raises(Unreachable, match="nothing listens there"):
            await connection.run("true")
        await asyncio.sleep(0.005)
    pauses = [after - before for before, after in pairwise(tries)]
    assert asked > 4
    assert all(pause >= 0.05 * 2**n for n, pause in enumerate(pauses, 1))
    with pytest.raises(Unreachable):
        await connection.run("true", insist=True)
    assert len(tries) == len(pauses) + 2


async def test_a_machine_that_says_nothing(pool, monkeypatch, sshd):
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        machine = sshd.machine(port=silent.getsockname()[1])
        with pytest.raises(Unreachable, match="cannot be reached"):
            await pool.to(machine).run("true")


async def test_a_command_that_does_not_end(sshd, pool):
    connection = pool.to(sshd.machine())
    with pytest.raises(Unreachable, match=r"did not answer within 0\.2 seconds"):
        await connection.run("sleep 60", timeout=0.2)
    assert (await connection.run("echo here")).output == "here\n"
    assert connection.opened == 1


async def test_an_account_without_a_shell(make_sshd, pool):
    sshd = make_sshd(more="ForceCommand echo This account is not available.")
    with pytest.raises(Unreachable, match="runs no commands"):
        await pool.to(sshd.machine()).run("true")


async def test_a_session_that_is_over_before_it_is_told_anything(make_sshd, pool, monkeypatch):
    create = asyncssh.SSHClientConnection.create_session

    async def slowly(self, *args, **kwargs):
        channel, session = await create(self, *args, **kwargs)
        await channel.wait_closed()
        return channel, session

    monkeypatch.setattr(asyncssh.SSHClientConnection, "create_session", slowly)
    sshd = make_sshd(more="ForceCommand echo This account is not available.")
    with pytest.raises(Unreachable, match="runs no commands"):
        await pool.to(sshd.machine()).run("true")


async def test_many_first_connections_at_once(make_sshd, pool, tmp_path):
    """More than sshd takes at once."""
    sshd = make_sshd(more="MaxStartups 6:100:6")
    machines = []
    for number in range(12):
        key = tmp_path / f"key-{number}"
        shutil.copy(sshd.folder / "client_key", key)
        machines.append(sshd.machine(key_file=str(key)))
    answers = await asyncio.gather(*(pool.to(one).run("echo here") for one in machines))
    assert {answer.output for answer in answers} == {"here\n"}


async def test_one_that_nobody_uses_is_closed(sshd, pool, monkeypatch):
    monkeypatch.setattr(module, "_IDLE", 0.1)
    connection = pool.to(sshd.machine())
    await connection.run("true")
    await asyncio.sleep(0.4)
    assert connection._line is None
    assert pool._connections == pool._gates == {}
    assert (await pool.to(sshd.machine()).run("echo again")).output == "again\n"
    assert sshd.log.count("Accepted publickey") == 2


def test_each_event_loop_has_its_own():
    async def mine():
        return connections()

    one, two = asyncio.run(mine()), asyncio.run(mine())
    assert one is not two
