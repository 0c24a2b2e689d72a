"""Authenticators that break the contract in one place each, by the check that must tell."""

# ruff: noqa: ASYNC240, ASYNC251 - small files, and one that is wrong on purpose
from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path

from multiplespawner_core import Access, OpenFailed
from multiplespawner_core.testing import AuthenticatorConformance
from multiplespawner_core.testing.conformance import planted
from multiplespawner_core.testing.machines import MachineAuthenticator


class OpenedConformance(AuthenticatorConformance):
    authenticator = MachineAuthenticator
    patience = 5


FAULTS: dict[str, list[tuple[type, str]]] = {}


def fails(*names, says):
    """These checks tell of it, in these words."""

    def add(cls):
        for name in names:
            FAULTS.setdefault(f"test_{name}", []).append((cls, says))
        return cls

    return add


@fails("keys_belong_together", "private_keys_are_private", says="and has mode 644")
class LeavesKeysOpen(MachineAuthenticator):
    async def prepare(self, intent):
        keys = await super().prepare(intent)
        Path(keys.private_key_file).chmod(0o644)
        return keys


@fails("keys_belong_together", says="not of one pair")
class MixesHalves(MachineAuthenticator):
    async def prepare(self, intent):
        return replace(await super().prepare(intent), host_public_key=planted.public_key())


@fails("prepare_again_gives_the_same", says="the keys are others")
class MakesThemAnew(MachineAuthenticator):
    async def prepare(self, intent):
        shutil.rmtree(self._place(intent), ignore_errors=True)
        return await super().prepare(intent)


@fails("resources_are_apart", says="both have one host key")
class HasOneHostKey(MachineAuthenticator):
    async def prepare(self, intent):
        keys = await super().prepare(intent)
        common = Path(self.state_dir) / "host_key"
        if not common.exists():
            shutil.copy(keys.host_key_file, common)
        shown = planted.public_half(common)
        return replace(keys, host_key_file=str(common), host_public_key=shown)


@fails("resources_are_apart", says="was raised")
class CleansUpEverything(MachineAuthenticator):
    async def cleanup(self, intent):
        for path in Path(self.state_dir).iterdir():
            shutil.rmtree(path)


@fails("open_lets_in", says="with what it says nobody gets in")
class NamesAnotherAccount(MachineAuthenticator):
    async def open(self, intent, endpoint, keys):
        return replace(await super().open(intent, endpoint, keys), username="somebody-else")


@fails("open_lets_in", says="it gives no file with the verified host key")
class KeepsTheHostKeyToItself(MachineAuthenticator):
    async def open(self, intent, endpoint, keys):
        return replace(await super().open(intent, endpoint, keys), known_hosts_file=None)


@fails("open_waits_for_the_machine", says="OpenFailed was raised: Nobody is there.")
@fails("open_can_be_cancelled", says="nobody answers, and it does not wait")
class GivesUpAtOnce(MachineAuthenticator):
    async def open(self, intent, endpoint, keys):
        try:
            _, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
        except OSError as error:
            raise OpenFailed("Nobody is there.") from error
        writer.close()
        return await super().open(intent, endpoint, keys)


@fails("another_host_key_is_refused", "no_host_key_is_refused", says="it says that it is open")
class TrustsWhoeverAnswers(MachineAuthenticator):
    async def open(self, intent, endpoint, keys):
        try:
            return await super().open(intent, endpoint, keys)
        except OpenFailed:
            return Access(endpoint, private_key_file=keys.private_key_file)


@fails("a_refused_login_is_told", says="open took more than 5 s")
class AsksForEver(MachineAuthenticator):
    async def open(self, intent, endpoint, keys):
        while True:
            try:
                return await super().open(intent, endpoint, keys)
            except OpenFailed:
                await asyncio.sleep(0.2)


@fails("prepare_can_be_cancelled", says="returned instead of ending")
class SwallowsInPrepare(MachineAuthenticator):
    async def prepare(self, intent):
        try:
            return await super().prepare(intent)
        except asyncio.CancelledError:
            return await super().prepare(intent)


@fails("prepare_can_be_cancelled", says="the keys change from call to call")
class MakesHalfOfThem(MachineAuthenticator):
    """What a cancelled call has begun is taken for whole, and told otherwise the next time."""

    async def prepare(self, intent):
        begun = Path(self.state_dir) / f"{intent.id}-begun"
        half = begun.exists()
        begun.touch()
        await asyncio.sleep(0)
        begun.unlink()
        keys = await super().prepare(intent)
        return replace(keys, host_key_file=None, host_public_key=None) if half else keys


@fails("open_can_be_cancelled", says="it was cancelled, and swallowed that")
class SwallowsInOpen(MachineAuthenticator):
    async def open(self, intent, endpoint, keys):
        try:
            return await super().open(intent, endpoint, keys)
        except asyncio.CancelledError:
            raise OpenFailed("It was cancelled.") from None


@fails("cleanup_leaves_nothing", says="these are left")
class LeavesKnownHosts(MachineAuthenticator):
    async def cleanup(self, intent):
        await super().cleanup(intent)
        (Path(self.state_dir) / f"{intent.id}-known-hosts").touch()


@fails("cleanup_leaves_nothing", says="FileNotFoundError was raised")
class CleansUpOnce(MachineAuthenticator):
    async def cleanup(self, intent):
        shutil.rmtree(self._place(intent))


@fails("private_keys_are_private", says="the log shows a secret")
class LogsKeys(MachineAuthenticator):
    async def prepare(self, intent):
        keys = await super().prepare(intent)
        self.log.debug("made %s", Path(keys.private_key_file).read_text())
        return keys


@fails("private_keys_are_private", says="what the machine is told shows a secret")
class TellsTheMachine(MachineAuthenticator):
    async def prepare(self, intent):
        keys = await super().prepare(intent)
        lines = Path(keys.private_key_file).read_text().splitlines()
        return replace(keys, user_data={"write_files": [{"content": "".join(lines)}, *lines]})


@fails("the_loop_is_never_blocked", says="open held up the loop")
class SleepsOnTheLoop(MachineAuthenticator):
    async def open(self, intent, endpoint, keys):
        time.sleep(0.6)
        return await super().open(intent, endpoint, keys)
