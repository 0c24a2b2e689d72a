"""The configurer that runs a script of the administrator's on the machine."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from traitlets import Bool, Dict, Float, List, Unicode

from multiplespawner_ansible import files
from multiplespawner_ansible.arguments import WithOptions
from multiplespawner_ansible.facts import Fact, digest
from multiplespawner_ansible.machine import ConnectionLost, Login, Machine
from multiplespawner_ansible.masking import Mask
from multiplespawner_core import Access, ConfigurationError, ConfigureFailed, Intent
from multiplespawner_core.contracts.configurer import Report

_LINE = 2**16
_LOST = 255
"""What OpenSSH's client ends with where the connection failed."""


class ScriptConfigurer(WithOptions):
    """Uploads a script and runs it over SSH, with the host key as it is pinned.

    Each line of its standard output is told to the user; of a script that fails, the last line of
    its standard error as well. What stands in a template's `options` may as well stand beside them.
    """

    keys = ("script_path", "arguments", "environment")

    options = Dict(help="`script_path`, `arguments` and `environment` in one.")
    script_path = Unicode(help="What to run; a relative path starts where the template's file is.")
    arguments = List(Unicode(), help="Of the script. Others on the machine can see them.")
    environment = Dict(
        value_trait=Unicode(), help="Variables of the script; nobody else sees them."
    )
    apply_timeout = Float(900, min=1, help="Seconds that configuring may take.").tag(config=True)
    skip_if_done = Bool(
        True,
        help="""Whether a machine on which exactly this was done last is left as it is. It is
        written down there, in the home directory of the account that is logged in to.""",
    ).tag(config=True)

    @classmethod
    def flaws(cls, settings: Mapping[str, Any], directory: Path | None) -> Iterator[str]:
        name = settings.get("script_path")
        if not isinstance(name, str) or not name:
            yield "script_path does not say what to run"
        elif "{" not in name:
            try:
                files.script(name, directory)
            except ConfigurationError as error:
                yield str(error)
        yield from _flaws(settings)

    async def apply(self, intent: Intent, access: Access, report: Report) -> None:
        settings = self.settings()
        script = files.script(settings["script_path"], self.configuration_dir)
        endpoint = access.endpoint
        login = Login(endpoint.address, endpoint.port or 22, access.username)
        said = [settings.get("arguments"), settings.get("environment")]
        fact = Fact(self.component, intent, await asyncio.to_thread(digest, said, [script]))
        async with Machine(access, login) as machine:
            if self.skip_if_done and await fact.holds(machine):
                report("It is configured already")
                return
            await fact.forget(machine)
            mask = Mask(settings.get("environment") or {})
            await self._run(machine, script, settings, lambda line: report(mask.line(line)))
            await machine.forget(fact.command)

    async def _run(
        self, machine: Machine, script: Path, settings: Mapping[str, Any], report: Report
    ) -> None:
        folder = shlex.quote(await machine.scratch())
        await machine.shell(
            f"umask 077; mkdir -p {folder} && cd {folder} && cat > script && chmod 700 script",
            await asyncio.to_thread(script.read_bytes),
        )
        await machine.shell(f"umask 077; cat > {folder}/run", _command(settings).encode())
        # With a terminal, so that whatever runs there ends with the connection.
        process = await machine.start(
            f"cd {folder} && . ./run", "-tt", stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None  # noqa: S101 - as it was started
        errors = asyncio.ensure_future(_drained(process.stderr))
        async for line in _lines(process.stdout):
            report(line)
        await errors
        status = await process.wait()
        if status == _LOST:
            raise ConnectionLost(f"The connection to {machine.login.address} was lost")
        if status:
            await self._fail(machine, script, status, settings)

    async def _fail(
        self, machine: Machine, script: Path, status: int, settings: Mapping[str, Any]
    ) -> None:
        mask = Mask(settings.get("environment") or {})
        folder = shlex.quote(await machine.scratch())
        said = mask(await machine.shell(f"tail -c 4000 {folder}/errors"))
        what = f"The script {script.name} ended with {status} on {machine.login.address}"
        self.log.warning("%s:\n%s", what, said)
        last = mask.line((said.strip().splitlines() or [""])[-1])
        raise ConfigureFailed(f"{what}: {last}" if last else what)


async def _lines(stream: asyncio.StreamReader) -> Any:
    """Each line without its end; a terminal writes two characters for that."""
    rest = b""
    while part := await stream.read(_LINE):
        *whole, rest = (rest + part).replace(b"\r\n", b"\n").split(b"\n")
        for line in whole:
            if line.strip():
                yield line.decode(errors="replace")
        rest = rest[-_LINE:]
    if rest.strip():
        yield rest.decode(errors="replace")


async def _drained(stream: asyncio.StreamReader | None) -> None:
    """The client's own words, such as that a connection is shared."""
    while stream is not None and await stream.read(_LINE):
        pass


def _command(settings: Mapping[str, Any]) -> str:
    """What the machine's shell reads; its own 255 must not look like a lost connection."""
    exports = [
        f"export {name}={shlex.quote(value)}"
        for name, value in (settings.get("environment") or {}).items()
    ]
    arguments = shlex.join(settings.get("arguments") or ())
    last = f"./script {arguments} 2>errors </dev/null; s=$?; test $s -ne 255 || s=254; exit $s"
    return "\n".join([*exports, last, ""])


def _flaws(settings: Mapping[str, Any]) -> Iterator[str]:
    arguments, environment = settings.get("arguments", []), settings.get("environment", {})
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        yield "arguments must be a list of texts"
    if not isinstance(environment, dict):
        yield "environment must be a mapping"
        return
    for name, value in environment.items():
        if not name.isidentifier() or not name.isascii():
            yield f"environment: {name!r} is no name of a variable"
        if not isinstance(value, str):
            yield f"environment: {name} must be a text"


__all__ = ("ScriptConfigurer",)
