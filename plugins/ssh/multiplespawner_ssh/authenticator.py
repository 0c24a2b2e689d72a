"""Makes the keys of a machine before it exists, and opens it once it does."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from traitlets import Bool, Enum, Float, Integer, List, Unicode

from multiplespawner_core import Access, Authenticator, Endpoint, Intent, Keys, OpenFailed
from multiplespawner_ssh import certificates, files, keys
from multiplespawner_ssh.connection import Answer, Connection, Machine, connections
from multiplespawner_ssh.errors import LoginRefused, Unreachable, WrongHostKey
from multiplespawner_ssh.shell import quote

_PAUSE = 0.2
_LONGEST_PAUSE = 3.0
_MARGIN = 5.0
"""Seconds before the core gives up: until then we can say what the machine said last."""

_ENABLED = "/run/cloud-init/enabled"
"""Is there from early in the boot where cloud-init runs; without it `--wait` waits for ever."""

_CLOUD_INIT = """\
[ -e {enabled} ] && command -v cloud-init >/dev/null || exit 0
cloud-init status --wait >/dev/null 2>&1
status=$?
[ $status = 0 ] || [ $status = 2 ] || cloud-init status --long 2>&1
exit $status
"""
_DEGRADED = 2
"""cloud-init's exit status where it finished, with warnings."""


class SSHAuthenticator(Authenticator):
    """Keys, certificates and pinned host keys, for whatever has an OpenSSH server.

    (Not JupyterHub's Authenticator, which logs users in.)
    """

    create_certificate = Bool(
        False,
        help="""Log in with certificates of a short validity.

        Machines are told to let in whom the hub's own authority certified for them, instead of a
        key that is good for ever.
        """,
    ).tag(config=True)

    certificate_validity = Integer(
        3600,
        min=600,
        help="""Seconds for which a certificate is good; each is replaced when half of that is over.

        A configurer works with one certificate from its beginning to its end.
        """,
    ).tag(config=True)

    certificate_principals = List(
        Unicode(),
        help="""What certificates are good for beside their machine: names of accounts.

        For machines that trust the authority by ``TrustedUserCAKeys``.
        """,
    ).tag(config=True)

    ca_keyfile = Unicode(
        help="""Private key of the authority; made where it is missing.

        By default the hub keeps one for each template, below its own state.
        """
    ).tag(config=True)

    load_existing = Bool(
        False, help="Use the key `key_name` in `ssh_dir` instead of making any."
    ).tag(config=True)

    ssh_dir = Unicode(
        "~/.corc/ssh", help="Directory of the key for `load_existing`; ``~`` is the hub's home."
    ).tag(config=True)

    key_name = Unicode("id_rsa", help="File name of the key for `load_existing`.").tag(config=True)

    key_type = Enum(tuple(keys.ALGORITHMS), "ed25519", help="The kind of key that is made.").tag(
        config=True
    )

    keys_for = Enum(
        ("resource", "user"),
        "resource",
        help="Make a key for each resource, removed with it, or one for each user, which stays.",
    ).tag(config=True)

    inject_host_key = Bool(
        True,
        help="""Make the machine's host key, for the provider to give to it.

        Turn it off where the provider vouches for the key that the machine has anyway.
        """,
    ).tag(config=True)

    host_keys = List(
        Unicode(),
        help="""Host keys that machines may have, as in ``ssh_host_ed25519_key.pub``, or their
        fingerprints ``SHA256:...``. Where there are any, no other is accepted and none is made.
        """,
    ).tag(config=True)

    username = Unicode(
        help="""The account to log in as.

        By default the one that the provider names, else the one that the hub runs as.
        """
    ).tag(config=True)

    wait_for_cloud_init = Bool(
        True, help="Wait until cloud-init is done, where a machine runs it."
    ).tag(config=True)

    login_timeout = Float(
        60.0,
        min=0,
        help="""Seconds for which a machine that answers may refuse the login.

        While it boots, sshd may be there before the account is.
        """,
    ).tag(config=True)

    async def prepare(self, intent: Intent) -> Keys:
        return await asyncio.to_thread(self._prepare, intent)

    async def open(self, intent: Intent, endpoint: Endpoint, keys: Keys) -> Access:
        expected = self._expected(endpoint, keys)
        if not expected:
            msg = (
                "Nobody vouches for the host key of the machine: neither was it given one, nor"
                " does its provider know the one that it has."
            )
            raise OpenFailed(msg)
        if keys.private_key_file is None:
            msg = "There is no key to log in to the machine with."
            raise OpenFailed(msg)
        certificate = await asyncio.to_thread(self._certify, intent, endpoint, keys)
        machine = Machine(
            host=endpoint.address,
            port=endpoint.port or 22,
            username=self._login(endpoint),
            key_file=keys.private_key_file,
            certificate_file=certificate,
            host_keys=expected,
        )
        connection = connections().to(machine)
        try:
            return await self._opened(intent, endpoint, connection)
        finally:
            await connections().forget(machine)

    async def cleanup(self, intent: Intent) -> None:
        place = self._place(intent)
        if await asyncio.to_thread(place.exists):
            await asyncio.to_thread(shutil.rmtree, place)

    # --- keys ---

    def _prepare(self, intent: Intent) -> Keys:
        place = files.folder(self._place(intent))
        key_file = self._key_file(intent)
        existing = self.load_existing
        key = keys.existing(key_file) if existing else keys.kept(key_file, self.key_type)
        line = keys.public(key)
        if self.create_certificate:
            authority = keys.kept(self._authority(), "ed25519")
            line = certificates.authority_line(authority, _principal(intent))
        host: dict[str, Any] = {}
        if self.inject_host_key and not self.host_keys:
            made = keys.kept(place / "host_key", "ed25519")
            host = {
                "host_key_file": str(place / "host_key"),
                "host_public_key": keys.public(made),
                # Whatever keys the image has are others' as well.
                "user_data": {"ssh_deletekeys": True, "ssh_genkeytypes": []},
            }
        return Keys(public_key=line, private_key_file=str(key_file), **host)

    def _certify(self, intent: Intent, endpoint: Endpoint, keys: Keys) -> str | None:
        if not self.create_certificate:
            return None
        path = files.folder(self._place(intent)) / "client_key-cert.pub"
        principals = [_principal(intent), self._login(endpoint), *self.certificate_principals]
        order = certificates.Order(
            ca_file=str(self._authority()),
            key_file=str(keys.private_key_file),
            principals=list(dict.fromkeys(principals)),
            key_id=_principal(intent),
            validity=self.certificate_validity,
        )
        certificates.issue(path, order)
        return str(path)

    def _key_file(self, intent: Intent) -> Path:
        if self.load_existing:
            return Path(self.ssh_dir).expanduser() / self.key_name
        if self.keys_for == "resource":
            return self._place(intent) / "client_key"
        # Names of users are no names of files.
        user = hashlib.sha256(intent.owner.user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return files.folder(Path(self.state_dir) / "users" / user) / f"id_{self.key_type}"

    def _authority(self) -> Path:
        if self.ca_keyfile:
            return Path(self.ca_keyfile).expanduser()
        return files.folder(Path(self.state_dir) / "authority") / "ca_key"

    def _place(self, intent: Intent) -> Path:
        return Path(self.state_dir) / "resources" / intent.id

    def _login(self, endpoint: Endpoint) -> str:
        return self.username or endpoint.username or getpass.getuser()

    def _expected(self, endpoint: Endpoint, keys: Keys) -> tuple[str, ...]:
        if self.host_keys:
            return tuple(self.host_keys)
        vouched = (keys.host_public_key, endpoint.host_key)
        return tuple(dict.fromkeys(one for one in vouched if one))

    # --- opening ---

    async def _opened(self, intent: Intent, endpoint: Endpoint, connection: Connection) -> Access:
        machine = connection.machine
        await self._first_answer(connection)
        verified = connection.host_key
        if self.wait_for_cloud_init:
            await self._await_cloud_init(connection)
        known_hosts = files.folder(self._place(intent)) / "known_hosts"
        line = f"[{machine.host}]:{machine.port} {verified}\n"
        if machine.port == 22:  # noqa: PLR2004 - the port that OpenSSH leaves out
            line = f"{machine.host} {verified}\n"
        await asyncio.to_thread(files.write, known_hosts, line.encode())
        return Access(
            endpoint=replace(endpoint, port=machine.port, host_key=verified),
            username=machine.username,
            private_key_file=machine.key_file,
            certificate_file=machine.certificate_file,
            known_hosts_file=str(known_hosts),
        )

    async def _first_answer(self, connection: Connection) -> None:
        """Wait for sshd, and then for the account.

        Raises:
            OpenFailed: it does not come, or is another machine.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + self.open_timeout - _MARGIN
        refused_until: float | None = None
        pause = _PAUSE
        while True:
            try:
                await connection.run("exit 0\n", insist=True)
            except WrongHostKey:
                raise
            except (Unreachable, LoginRefused) as error:
                if isinstance(error, LoginRefused):
                    refused_until = refused_until or clock() + self.login_timeout
                    end = min(end, refused_until)
                if clock() + pause > end:
                    raise OpenFailed(f"The machine could not be opened: {error}.") from error
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 1.5)
            else:
                return

    async def _await_cloud_init(self, connection: Connection) -> None:
        answer = await self._asked(connection)
        if answer.status not in (0, _DEGRADED):
            said = " ".join(answer.output.split())[-500:]
            raise OpenFailed(f"cloud-init has failed on the machine: {said}.")

    async def _asked(self, connection: Connection) -> Answer:
        # It may restart sshd meanwhile.
        clock = asyncio.get_running_loop().time
        end = clock() + self.open_timeout - _MARGIN
        while True:
            left = max(1.0, end - clock())
            try:
                script = _CLOUD_INIT.format(enabled=quote(_ENABLED))
                return await connection.run(script, timeout=left, insist=True)
            except Unreachable as error:
                if clock() > end - 1:
                    raise OpenFailed(f"cloud-init does not come to its end: {error}.") from error
                await asyncio.sleep(_PAUSE)


def _principal(intent: Intent) -> str:
    """What a certificate is good for on one machine alone, whatever its accounts are called."""
    return f"multiplespawner-{intent.id}"


__all__ = ("SSHAuthenticator",)
