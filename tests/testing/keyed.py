"""A configurer that keeps the contract: a command over SSH, with asyncssh."""

from __future__ import annotations

import asyncio
import tempfile
import time

import asyncssh
from traitlets import Unicode

from multiplespawner_core import ConfigureFailed, Configurer
from multiplespawner_core.testing import ConfigurerConformance

PASSWORD = "open-sesame-4711"
KEPT = "test -e done || { umask 077; echo ready > done; }"


class Keyed(Configurer):
    """Runs a command on the machine."""

    command = Unicode()
    password = Unicode()

    @classmethod
    def problems(cls, arguments, configuration_dir):
        return [] if arguments.get("command") else ["there is no command"]

    async def apply(self, intent, access, report):
        try:
            async with await self.connect(access) as connection:
                report("Working on the machine")
                await self.work(connection)
        except (OSError, asyncssh.Error) as error:
            raise ConfigureFailed(f"The machine cannot be used: {type(error).__name__}") from None

    async def run(self, connection):
        # With a terminal: what runs there ends with the connection.
        told = f"{self.password}\n"
        return await connection.run(f"cd; {self.command}", term_type="ansi", input=told)

    async def work(self, connection):
        done = await self.run(connection)
        if done.exit_status:
            raise ConfigureFailed(f"The command ended with {done.exit_status}")

    async def connect(self, access):
        return await asyncssh.connect(
            access.endpoint.address,
            access.endpoint.port,
            username=access.username,
            client_keys=[access.private_key_file],
            known_hosts=self.known_hosts(access),
            config=None,
            agent_path=None,
        )

    def known_hosts(self, access):
        if access.known_hosts_file:
            return access.known_hosts_file
        if access.endpoint.host_key:
            return [asyncssh.import_public_key(access.endpoint.host_key)], [], []
        raise ConfigureFailed("Nothing vouches for the machine's host key")


class KeyedConformance(ConfigurerConformance):
    configurer = Keyed
    secrets = (PASSWORD,)
    patience = 30

    def arguments(self, folder, home):
        return {"command": KEPT, "password": PASSWORD}

    def slow_arguments(self, folder, home):
        return {"command": "sleep 60", "password": PASSWORD}

    def failing_arguments(self, folder, home):
        return {"command": "head -n 1; exit 3", "password": PASSWORD}

    def wrong_arguments(self, folder, home):
        return {"command": ""}

    def is_configured(self, machine):
        return (machine.home / "done").exists()


FAULTS = {}


def fails(check, says):
    """That check, with a message that says so."""

    def add(cls):
        FAULTS.setdefault(f"test_{check}", []).append((cls, says))
        return cls

    return add


@fails("apply_configures", "nothing is configured")
class DoesNothing(Keyed):
    async def work(self, connection):
        pass


@fails("apply_configures", "these processes go on")
class LeavesAProcess(Keyed):
    async def work(self, connection):
        await super().work(connection)
        await asyncio.create_subprocess_exec("setsid", "--fork", "sleep", "60")


@fails("apply_configures", "these files are left")
class LeavesAFile(Keyed):
    async def work(self, connection):
        await super().work(connection)
        tempfile.mkdtemp()


@fails("apply_again_changes_nothing", "these changed: ['done']")
class AddsEachTime(Keyed):
    async def work(self, connection):
        await connection.run("cd; echo more >> done")


@fails("apply_for_two_users", "the second has undone it")
class ServesOne(Keyed):
    async def apply(self, intent, access, report):
        if intent.owner.user == "grace":
            self.command = "rm -f done"
        await super().apply(intent, access, report)


@fails("progress_is_told", "it told nothing")
class Silent(Keyed):
    async def apply(self, intent, access, report):
        await super().apply(intent, access, lambda _: None)


@fails("progress_is_told", "this is no line")
class TellsALot(Keyed):
    async def apply(self, intent, access, report):
        await super().apply(intent, access, lambda line: report(f"{line}\nand more"))


@fails("a_failure_is_told", "it succeeded")
class SeesNoFailure(Keyed):
    async def work(self, connection):
        await self.run(connection)


@fails("an_unreachable_machine_is_told", "ConnectionRefusedError")
class ShowsItsInsides(Keyed):
    async def apply(self, intent, access, report):
        async with await self.connect(access) as connection:
            await self.work(connection)


@fails("another_host_key_is_refused", "it succeeded")
@fails("no_host_key_is_refused", "it succeeded")
class TrustsAnything(Keyed):
    def known_hosts(self, access):
        return None


@fails("the_endpoint_s_host_key_counts", "Nothing vouches")
class LooksIntoTheFileAlone(Keyed):
    def known_hosts(self, access):
        if access.known_hosts_file:
            return access.known_hosts_file
        raise ConfigureFailed("Nothing vouches for the machine's host key")


@fails("apply_can_be_cancelled", "these processes go on")
class LetsItRun(Keyed):
    async def work(self, connection):
        await connection.run(f"cd; {self.command}")


@fails("apply_can_be_cancelled", "swallowed")
class Swallows(Keyed):
    async def work(self, connection):
        try:
            await super().work(connection)
        except asyncio.CancelledError:
            raise ConfigureFailed("It was cancelled") from None


@fails("the_loop_is_never_blocked", "the loop was held up for")
class Blocks(Keyed):
    async def work(self, connection):
        await super().work(connection)
        time.sleep(1.5)  # noqa: ASYNC251 - the fault


@fails("no_secret_is_shown", "what was told shows a secret (open...)")
class TellsThePassword(Keyed):
    async def apply(self, intent, access, report):
        report(f"With {self.password}")
        await super().apply(intent, access, report)


@fails("no_secret_is_shown", "the command line of process")
class PassesThePassword(Keyed):
    async def apply(self, intent, access, report):
        process = await asyncio.create_subprocess_exec("sh", "-c", f"sleep 60; : {self.password}")
        await super().apply(intent, access, report)
        process.kill()
        await process.wait()


@fails("no_secret_is_shown", "the message shows a secret")
class FailsWithThePassword(Keyed):
    async def work(self, connection):
        done = await self.run(connection)
        if done.exit_status:
            raise ConfigureFailed(f"It said {done.stdout}")


@fails("problems_are_told", "of arguments that cannot work it says: []")
class SeesNoProblem(Keyed):
    @classmethod
    def problems(cls, arguments, configuration_dir):
        return []
