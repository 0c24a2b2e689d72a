"""Keys, certificates and host keys, with OpenSSH's own programs at the other end."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from multiplespawner_ssh import authenticator as module
from multiplespawner_ssh import certificates
from multiplespawner_ssh.authenticator import SSHAuthenticator
from multiplespawner_ssh.errors import LoginRefused, WrongHostKey
from ssh_parts import keygen, program

from multiplespawner_core import ConfigurationError, Endpoint, OpenFailed

pytestmark = pytest.mark.slow

ME = getpass.getuser()


@pytest.fixture
def make_authenticator(tmp_path, pool):
    def make(**traits):
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        return SSHAuthenticator(component="test", state_dir=state, installation_id="here", **traits)

    return make


@pytest.fixture
def boot(make_sshd):
    """A machine that was given what an authenticator prepared."""

    def boot(keys, *, start=True, **given):
        sshd = make_sshd(start=False, **given)
        sshd.let_in(keys.public_key)
        if keys.host_key_file:
            sshd.take_host_key(keys.host_key_file)
        return sshd.start() if start else sshd

    return boot


def endpoint(sshd, **given):
    return Endpoint("127.0.0.1", sshd.port, **given)


def ssh(access, *options, command="echo here"):
    """What the real client says with the files of an access, and nothing else."""
    if access.certificate_file:
        options += ("-o", f"CertificateFile={access.certificate_file}")
    done = subprocess.run(
        [
            program("ssh"), "-F", "none", "-p", str(access.endpoint.port),
            "-i", access.private_key_file, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
            "-o", f"UserKnownHostsFile={access.known_hosts_file}", "-o", "BatchMode=yes",
            "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes",
            *options, f"{access.username}@{access.endpoint.address}", command,
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip()


def _public(access):
    """The public half beside the private one: ssh-keygen names the certificate after it."""
    path = Path(f"{access.private_key_file}.pub")
    path.write_text(keygen("-y", "-f", access.private_key_file))
    return path


def private(path):
    return stat.S_IMODE(Path(path).stat().st_mode) == 0o600


@pytest.mark.parametrize(("kind", "bits"), [("ed25519", "256"), ("rsa", "3072")])
async def test_keys_of_a_resource(make_authenticator, intent, tmp_path, kind, bits):
    authenticator = make_authenticator(key_type=kind)
    keys = await authenticator.prepare(intent)
    assert keygen("-y", "-f", keys.private_key_file).strip() == keys.public_key
    assert keygen("-l", "-f", keys.private_key_file).split()[0] == bits
    assert keygen("-y", "-f", keys.host_key_file).strip() == keys.host_public_key
    assert keys.user_data == {"ssh_deletekeys": True, "ssh_genkeytypes": []}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(private(path) for path in files)
    folders = [path for path in (tmp_path / "state").rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    # A hub that died in between prepares again.
    assert await make_authenticator(key_type=kind).prepare(intent) == keys
    await authenticator.cleanup(intent)
    await authenticator.cleanup(intent)
    assert not Path(keys.private_key_file).exists()
    assert not Path(keys.host_key_file).exists()


async def test_no_secret_is_shown(make_authenticator, intent):
    keys = await make_authenticator(create_certificate=True).prepare(intent)
    assert "PRIVATE" not in repr(keys)
    assert "PRIVATE" not in str(keys.user_data)


async def test_two_prepare_at_once(make_authenticator, intent):
    authenticators = [make_authenticator(create_certificate=True) for _ in range(8)]
    prepared = await asyncio.gather(*(one.prepare(intent) for one in authenticators))
    assert len({keys.public_key for keys in prepared}) == 1
    assert len({keys.host_public_key for keys in prepared}) == 1


async def test_keys_of_a_user(make_authenticator, make_intent):
    authenticator = make_authenticator(keys_for="user")
    one, two, other = make_intent("ada"), make_intent("ada"), make_intent("../../x\udcff")
    keys = await authenticator.prepare(one)
    assert (await authenticator.prepare(two)).private_key_file == keys.private_key_file
    others = await authenticator.prepare(other)
    assert others.private_key_file != keys.private_key_file
    assert Path(others.private_key_file).is_relative_to(authenticator.state_dir)
    await authenticator.cleanup(one)
    assert Path(keys.private_key_file).exists()
    assert not Path(keys.host_key_file).exists()


async def test_an_existing_key(make_authenticator, intent, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".corc/ssh").mkdir(parents=True)
    path = tmp_path / ".corc/ssh/id_rsa"
    authenticator = make_authenticator(load_existing=True)
    with pytest.raises(ConfigurationError, match=r"\.corc/ssh/id_rsa cannot be read"):
        await authenticator.prepare(intent)
    keygen("-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "", "-f", path)
    keys = await authenticator.prepare(intent)
    assert keys.private_key_file == str(path)
    assert keys.public_key == " ".join(Path(f"{path}.pub").read_text().split()[:2])
    await authenticator.cleanup(intent)
    assert path.exists()
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", tmp_path / "mine")
    other = make_authenticator(load_existing=True, ssh_dir=str(tmp_path), key_name="mine")
    assert (await other.prepare(intent)).private_key_file == str(tmp_path / "mine")
    (tmp_path / "mine").chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read"):
        await other.prepare(intent)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
async def test_opened_with_a_plain_key(make_authenticator, boot, intent, kind):
    authenticator = make_authenticator(key_type=kind)
    keys = await authenticator.prepare(intent)
    sshd = boot(keys)
    access = await authenticator.open(intent, endpoint(sshd), keys)
    assert access.endpoint == endpoint(sshd, host_key=keys.host_public_key)
    assert (access.username, access.certificate_file) == (ME, None)
    assert ssh(access) == "here"
    assert private(access.known_hosts_file)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
async def test_opened_with_a_certificate(make_authenticator, boot, intent, kind):
    authenticator = make_authenticator(create_certificate=True, key_type=kind)
    keys = await authenticator.prepare(intent)
    assert keys.public_key.startswith(f'cert-authority,principals="multiplespawner-{intent.id}" ')
    sshd = boot(keys)
    access = await authenticator.open(intent, endpoint(sshd), keys)
    assert ssh(access) == "here"
    shown = keygen("-L", "-f", access.certificate_file)
    assert f'Key ID: "multiplespawner-{intent.id}"' in shown
    principals = re.search(r"Principals:\s+(.*?)\s+Critical", shown, re.DOTALL)[1].split()
    assert principals == [f"multiplespawner-{intent.id}", ME]
    extensions = shown.partition("Extensions:")[2].split()
    assert extensions == ["permit-port-forwarding", "permit-pty"]
    begin, end = re.search(r"from (\S+) to (\S+)", shown).groups()
    begin, end = (time.mktime(time.strptime(one, "%Y-%m-%dT%H:%M:%S")) for one in (begin, end))
    assert end - begin == 3600 + 300
    assert begin < time.time() < end < time.time() + 3601
    assert private(access.certificate_file)
    # The key alone is not let in.
    assert "Permission denied" in ssh(replace(access, certificate_file=None), "-o", "CertificateFile=none")  # fmt: skip  # noqa: E501


async def test_a_certificate_is_good_for_one_machine(make_authenticator, boot, make_intent):
    authenticator = make_authenticator(create_certificate=True, keys_for="user")
    one, two = make_intent(), make_intent()
    access = [None, None]
    for number, intent in enumerate((one, two)):
        keys = await authenticator.prepare(intent)
        sshd = boot(keys, name=f"machine-{number}")
        access[number] = await authenticator.open(intent, endpoint(sshd), keys)
    assert access[0].private_key_file == access[1].private_key_file
    assert [ssh(one) for one in access] == ["here", "here"]
    swapped = replace(access[0], certificate_file=access[1].certificate_file)
    assert "Permission denied" in ssh(swapped)


async def test_a_machine_that_trusts_the_authority(make_authenticator, make_sshd, intent, tmp_path):
    ca = tmp_path / "ca"
    keygen("-q", "-t", "ed25519", "-N", "", "-f", ca)
    sshd = make_sshd(more=f"TrustedUserCAKeys {ca}.pub")
    sshd.let_in()
    authenticator = make_authenticator(
        create_certificate=True, ca_keyfile=str(ca), certificate_principals=["bob"]
    )
    keys = await authenticator.prepare(intent)
    where = endpoint(sshd, host_key=sshd.host_key)
    access = await authenticator.open(intent, where, keys)
    assert ssh(access) == "here"
    assert "bob" in keygen("-L", "-f", access.certificate_file)


async def test_a_certificate_is_issued_anew_in_time(make_authenticator, boot, intent, pool):
    authenticator = make_authenticator(create_certificate=True)
    keys = await authenticator.prepare(intent)
    sshd = boot(keys)
    access = await authenticator.open(intent, endpoint(sshd), keys)
    path = Path(access.certificate_file)
    machine = sshd.machine(
        key_file=access.private_key_file,
        certificate_file=access.certificate_file,
        host_keys=(access.endpoint.host_key,),
    )
    first = path.read_bytes()
    assert (await pool.to(machine).run("echo here")).output == "here\n"
    assert path.read_bytes() == first
    await pool.forget(machine)
    # As after a night without a connection: it has expired, and the real client is refused.
    keygen(
        "-q", "-s", authenticator.state_dir / "authority/ca_key", "-I", "old", "-n",
        f"multiplespawner-{intent.id}", "-V", "-2h:-1h", _public(access),
    )  # fmt: skip
    os.utime(path, (time.time() - 7200,) * 2)
    assert "Permission denied" in ssh(access)
    assert (await pool.to(machine).run("echo here")).output == "here\n"
    assert ssh(access) == "here"


async def test_it_waits_for_sshd_and_then_for_the_account(make_authenticator, boot, intent):
    authenticator = make_authenticator()
    keys = await authenticator.prepare(intent)
    sshd = boot(keys, start=False)
    sshd.let_in()
    opening = asyncio.create_task(authenticator.open(intent, endpoint(sshd), keys))
    await asyncio.sleep(0.5)
    sshd.start()
    while "Connection closed by authenticating user" not in sshd.log:
        await asyncio.sleep(0.02)
    assert not opening.done()
    sshd.let_in(keys.public_key)
    assert ssh(await opening) == "here"


async def test_a_wrong_host_key_stops_it_at_once(make_authenticator, boot, intent):
    authenticator = make_authenticator()
    keys = await authenticator.prepare(intent)
    sshd = boot(replace(keys, host_key_file=None))
    with pytest.raises(OpenFailed, match="has another host key than the one that was expected"):
        await authenticator.open(intent, endpoint(sshd), keys)
    assert "Accepted" not in sshd.log


async def test_who_vouches_for_a_host_key(make_authenticator, boot, intent):
    giving = make_authenticator()
    keys = await giving.prepare(intent)
    sshd = boot(replace(keys, host_key_file=None))
    fingerprint = keygen("-l", "-f", sshd.folder / "host_key.pub").split()[1]
    taking = make_authenticator(inject_host_key=False)
    bare = await taking.prepare(intent)
    assert (bare.host_key_file, bare.host_public_key, bare.user_data) == (None, None, {})
    with pytest.raises(OpenFailed, match="Nobody vouches for the host key"):
        await taking.open(intent, endpoint(sshd), bare)
    for authenticator, prepared in ((taking, bare), (giving, keys)):
        for vouched in (sshd.host_key, fingerprint):
            where = endpoint(sshd, host_key=vouched)
            access = await authenticator.open(intent, where, prepared)
            assert access.endpoint.host_key == sshd.host_key
            assert ssh(access) == "here"
    named = make_authenticator(host_keys=[fingerprint])
    prepared = await named.prepare(intent)
    assert prepared.host_key_file is None
    assert ssh(await named.open(intent, endpoint(sshd), prepared)) == "here"
    # What the administrator wrote is the only one that counts.
    wrong = make_authenticator(host_keys=[keys.host_public_key])
    with pytest.raises(WrongHostKey):
        await wrong.open(intent, endpoint(sshd, host_key=sshd.host_key), prepared)


async def test_a_machine_that_refuses_for_too_long(make_authenticator, boot, intent):
    authenticator = make_authenticator(login_timeout=0.5)
    keys = await authenticator.prepare(intent)
    sshd = boot(keys)
    sshd.let_in()
    with pytest.raises(
        OpenFailed, match=r"could not be opened: .* does not let the hub in"
    ) as info:
        await authenticator.open(intent, endpoint(sshd), keys)
    assert isinstance(info.value.__cause__, LoginRefused)


async def test_a_machine_that_never_answers(make_authenticator, boot, intent, monkeypatch):
    authenticator = make_authenticator()
    keys = await authenticator.prepare(intent)
    sshd = boot(keys, start=False)
    monkeypatch.setattr(authenticator, "open_timeout", module._MARGIN + 0.5)
    with pytest.raises(OpenFailed, match=r"could not be opened: .* nothing listens there"):
        await authenticator.open(intent, endpoint(sshd), keys)


@pytest.mark.parametrize("ending", [(0, True), (2, True), (1, False)])
async def test_cloud_init(make_authenticator, boot, intent, monkeypatch, ending):
    status, passes = ending
    authenticator = make_authenticator()
    programs = authenticator.state_dir / "programs"
    programs.mkdir()
    fake = programs / "cloud-init"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >>"$HOME/asked"\n[ "$2" = --wait ] && sleep 0.3\n'
        f'touch "$HOME/done"\necho "status: error, module runcmd"\nexit {status}\n'
    )
    fake.chmod(0o755)
    keys = await authenticator.prepare(intent)
    sshd = boot(keys, env=f"PATH={programs}:/usr/bin:/bin")
    enabled = authenticator.state_dir / "enabled it's"
    monkeypatch.setattr(module, "_ENABLED", str(enabled))
    await authenticator.open(intent, endpoint(sshd), keys)
    assert not (sshd.home / "asked").exists()  # it would wait for ever
    enabled.touch()
    opening = authenticator.open(intent, endpoint(sshd), keys)
    if passes:
        await opening
    else:
        with pytest.raises(OpenFailed, match=r"cloud-init has failed .* module runcmd"):
            await opening
    assert (sshd.home / "asked").read_text().startswith("status --wait\n")
    assert (sshd.home / "done").exists()
    (sshd.home / "asked").unlink()
    await make_authenticator(wait_for_cloud_init=False).open(intent, endpoint(sshd), keys)
    assert not (sshd.home / "asked").exists()


async def test_as_whom_it_logs_in(make_authenticator, intent):
    def login(**traits):
        return make_authenticator(**traits)._login

    where = Endpoint("127.0.0.1")
    assert login()(where) == ME
    assert login()(replace(where, username="opc")) == "opc"
    assert login(username="root")(replace(where, username="opc")) == "root"


async def test_nothing_is_left_but_the_authority(make_authenticator, boot, intent, tmp_path):
    authenticator = make_authenticator(create_certificate=True)
    keys = await authenticator.prepare(intent)
    access = await authenticator.open(intent, endpoint(boot(keys)), keys)
    assert ssh(access) == "here"
    await authenticator.cleanup(intent)
    left = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["ca_key"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    module.files.write(path, b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        module.files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_administrator_s_certificate_is_left_alone(tmp_path):
    keygen("-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    keygen("-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    keygen("-q", "-s", tmp_path / "ca", "-I", "x", "-n", "x", tmp_path / "key.pub")
    path = tmp_path / "key-cert.pub"
    os.utime(path, (0, 0))
    before = path.read_bytes()
    certificates.renewed(path)
    assert path.read_bytes() == before
