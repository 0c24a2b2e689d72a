"""The configurer that runs Ansible's playbooks."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from traitlets import Bool, Dict, Float, Int, List, Unicode, Union

from multiplespawner_ansible import files
from multiplespawner_ansible.arguments import WithOptions
from multiplespawner_ansible.facts import Fact, digest
from multiplespawner_ansible.machine import Login, Machine
from multiplespawner_ansible.masking import Mask
from multiplespawner_ansible.turns import turns
from multiplespawner_core import Access, ConfigurationError, ConfigureFailed, Intent
from multiplespawner_core.contracts.configurer import Report

_MAPPINGS = ("host_variables", "host_settings", "apply_kwargs")
_KEYS_WITHIN = {
    "host_settings": ("group", "port"),
    "apply_kwargs": ("playbook_path", "playbook_paths", "inventory_path"),
}
_LINE = 2**20
"""Bytes; no line that the worker tells is longer."""


class AnsibleConfigurer(WithOptions):
    """Runs playbooks against the machine, with its host key as it is pinned.

    What stands in a template's `options` may as well stand beside them.
    """

    keys = (*_MAPPINGS, "inventory_path")

    options = Dict(
        help="`host_variables`, `host_settings`, `apply_kwargs` and `inventory_path` in one."
    )
    host_variables = Dict(
        help="""Variables of the machine. They are values and never templates: what a user is
        called cannot become code. Ansible's own, such as `ansible_user`, are among them."""
    )
    host_settings = Dict(
        help="""`group`: in which group of the inventory the machine is; `port`: of sshd, where
        neither the provider nor the authenticator knows it."""
    )
    apply_kwargs = Dict(
        help="""`playbook_path` or `playbook_paths`: what to run, in order. Relative paths start
        where the template's file is; then those are looked through that come with the plugin."""
    )
    inventory_path = Union(
        [Unicode(), List(Unicode())],
        help="Inventories to which the machine is added, for their groups and variables.",
    )
    apply_timeout = Float(900, min=1, help="Seconds that configuring may take.").tag(config=True)
    concurrent_runs = Int(
        4, min=1, help="So many playbooks run at once on the hub's machine; further ones wait."
    ).tag(config=True)
    skip_if_done = Bool(
        True,
        help="""Whether a machine on which exactly this was done last is left as it is. It is
        written down there, in the home directory of the account that is logged in to.""",
    ).tag(config=True)

    @classmethod
    def merged(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {name: {} for name in _MAPPINGS}
        beside = {name: arguments[name] for name in cls.keys if name in arguments}
        for part in (arguments.get("options") or {}, beside):
            for name, value in part.items():
                mergeable = isinstance(found.get(name), dict) and isinstance(value, Mapping)
                found[name] = {**found[name], **value} if mergeable else value
        return found

    @classmethod
    def flaws(cls, settings: Mapping[str, Any], directory: Path | None) -> Iterator[str]:
        return _flaws(settings, directory)

    async def apply(self, intent: Intent, access: Access, report: Report) -> None:
        run = _Run(self, self.settings(), access, report)
        waits = partial(_tell_of_turn, report)
        async with turns().turn(self.concurrent_runs, waits), run.machine:
            await run.do(intent)


class _Run:
    """One machine, one time."""

    def __init__(
        self,
        configurer: AnsibleConfigurer,
        settings: Mapping[str, Any],
        access: Access,
        report: Report,
    ) -> None:
        self._configurer = configurer
        self._report = report
        self._access = access
        self._variables = dict(settings["host_variables"])
        self._group = str(settings["host_settings"].get("group") or "")
        directory = configurer.configuration_dir
        self._playbooks = [files.playbook(name, directory) for name in _playbooks(settings)]
        self._inventories = [files.inventory(name, directory) for name in _inventories(settings)]
        self._mask = Mask(self._variables)
        self._failure = ""
        endpoint, variables = access.endpoint, self._variables
        # Where an authenticator has been, there the machine is; the template says what is usual.
        port = endpoint.port or settings["host_settings"].get("port") or 22
        user = variables.get("ansible_user") or access.username
        connection = variables.get("ansible_connection", "ssh")
        self._by_shell = connection in ("ssh", "smart", "local")
        self.machine = Machine(
            access,
            Login(endpoint.address, int(port), user and str(user), local=connection == "local"),
        )

    async def do(self, intent: Intent) -> None:
        configurer, machine = self._configurer, self.machine
        # For playbooks that make an account, whatever the template says of it.
        self._variables.setdefault("jupyterhub_user", intent.owner.user)
        self._variables.setdefault("unix_user", intent.owner.unix_user)
        fact = Fact(configurer.component, intent, await asyncio.to_thread(self._digest))
        if self._by_shell:
            if configurer.skip_if_done and await fact.holds(machine):
                self._report("It is configured already")
                return
            await fact.forget(machine)
            self._variables.setdefault("ansible_remote_tmp", await machine.scratch())
        job = await asyncio.to_thread(self._job)
        await self._follow(job)
        if self._by_shell:
            await machine.forget(fact.command)

    def _digest(self) -> str:
        said = [self._variables, self._group, [path.name for path in self._playbooks]]
        return digest(said, [*self._playbooks, *self._inventories])

    # --- what Ansible is given ---

    def _job(self) -> dict[str, Any]:
        """Write down what it reads from files, and say the rest."""
        directory = self.machine.directory
        (directory / "project").mkdir(mode=0o700)
        inventory = directory / "machine.yml"
        _write(inventory, self._inventory())
        playbook = self._playbooks[0]
        if len(self._playbooks) > 1:
            playbook = directory / "project" / "all.yml"
            plays = [{"import_playbook": str(path)} for path in self._playbooks]
            _write(playbook, yaml.safe_dump(plays))
        return {
            "directory": str(directory),
            "playbook": str(playbook),
            "inventories": [str(path) for path in (*self._inventories, inventory)],
            "environment": self._settings(),
        }

    def _inventory(self) -> str:
        login, variables = self.machine.login, dict(self._variables)
        given = {"ansible_host": login.address, "ansible_port": login.port}
        if login.username:
            given["ansible_user"] = login.username
        if self._access.private_key_file:
            given["ansible_ssh_private_key_file"] = self._access.private_key_file
        variables = {**given, **variables, "ansible_port": login.port}
        # In front of what else there is: the first value of an option is the one that counts.
        pinned = shlex.join(self.machine.options)
        variables["ansible_ssh_args"] = f"{pinned} {variables.get('ansible_ssh_args', '')}".strip()
        hosts = {"hosts": {login.address: _Plain(variables)}}
        everything = {"children": {self._group: hosts}} if self._group else hosts
        return yaml.dump({"all": everything}, Dumper=_Dumper, allow_unicode=True)

    def _settings(self) -> dict[str, str]:
        """Of Ansible, by its environment; it wins over an administrator's ``ansible.cfg``."""
        directory = self.machine.directory
        found = {
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_LOCAL_TEMP": str(directory / "temporary"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(directory / "others"),
            "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_NOCOWS": "1",
            # With a terminal, so that whatever runs there ends with the connection.
            "ANSIBLE_PIPELINING": "False",
            "ANSIBLE_SSH_USETTY": "True",
        }
        of_site = (self._configurer.configuration_dir or Path()) / "ansible.cfg"
        if "ANSIBLE_CONFIG" not in os.environ and of_site.is_file():
            found["ANSIBLE_CONFIG"] = str(of_site)
        return found

    # --- what it does ---

    async def _follow(self, job: Mapping[str, Any]) -> None:
        """Run it, and pass on what happens.

        Raises:
            ConfigureFailed: with host, task and message.
        """
        environment = self.machine.environment
        # Where ansible-playbook is.
        own = str(Path(sys.executable).parent)
        environment["PATH"] = f"{own}{os.pathsep}{environment['PATH']}"
        log = self.machine.directory / "worker.log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "multiplespawner_ansible.worker",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
                cwd=self.machine.directory, env=environment, start_new_session=True, limit=_LINE,
            )  # fmt: skip
        assert process.stdin is not None  # noqa: S101 - as it was started
        assert process.stdout is not None  # noqa: S101 - as it was started
        process.stdin.write(json.dumps(job).encode() + b"\n")
        told: dict[str, Any] = {}
        with suppress(ConnectionResetError, BrokenPipeError):
            await process.stdin.drain()
        async for line in process.stdout:
            told = json.loads(line)
            self._note(told)
        process.stdin.close()
        await process.wait()
        if "end" not in told:
            last = await asyncio.to_thread(log.read_text, "utf-8", "replace")
            self._give_up("Ansible could not be run.", last)
        self._judge(told)

    def _note(self, told: Mapping[str, Any]) -> None:
        if told.get("task"):
            self._report(self._mask.line(f"Ansible: {told['task']}"))
        if "failed" in told:
            failed = told["failed"]
            where = f"The task {failed['task']!r} failed on {failed['host']}"
            self._failure = self._mask.line(f"{where}: {failed['message']}")

    def _judge(self, told: Mapping[str, Any]) -> None:
        lines = "\n".join(told["lines"])
        if told["end"] != "successful":
            self._give_up(self._failure or "The playbook cannot be run.", lines)
        if self.machine.login.address not in told["hosts"]:
            group = f" in the group {self._group!r}" if self._group else ""
            what = f"No play of the playbook is for the machine{group}: see its hosts."
            self._give_up(what, lines)

    def _give_up(self, message: str, log: str) -> None:
        name = ", ".join(path.name for path in self._playbooks)
        self._configurer.log.warning("%s: %s\n%s", name, message, self._mask(log))
        raise ConfigureFailed(message)


class _Plain:
    """A value that Ansible must not take for a template."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Dumper(yaml.SafeDumper):
    """Writes YAML for Ansible."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - as PyYAML calls it
        return True


def _plain(dumper: yaml.SafeDumper, plain: _Plain) -> yaml.Node:
    """Tagged as Ansible wants it.

    From 2.19 on it reads a tagged text as if it had no quotes, so that a user called ``no`` becomes
    False, and looks into a tagged mapping; before, it was the other way round.
    """
    value = plain.value
    if _reads_mappings():
        return dumper.represent_mapping("!unsafe", value)
    if isinstance(value, str):
        return dumper.represent_scalar("!unsafe", value, style='"')
    if isinstance(value, Mapping):
        return dumper.represent_dict({name: _Plain(item) for name, item in value.items()})
    if isinstance(value, (list, tuple)):
        return dumper.represent_list([_Plain(item) for item in value])
    return dumper.represent_data(value)


@cache
def _reads_mappings() -> bool:
    major, minor, *_ = version("ansible-core").split(".")
    return (int(major), int(minor)) >= (2, 19)


_Dumper.add_representer(_Plain, _plain)


def _flaws(settings: Mapping[str, Any], directory: Path | None) -> Iterator[str]:
    wrong = [name for name in _MAPPINGS if not isinstance(settings[name], dict)]
    yield from (f"{name} must be a mapping" for name in wrong)
    if wrong:
        return
    for name, keys in _KEYS_WITHIN.items():
        for key in settings[name]:
            if key not in keys:
                yield f"{name}: {key!r} is unknown; known are {', '.join(keys)}"
    port = settings["host_settings"].get("port")
    if port and not _has_placeholder(str(port)) and not str(port).isdecimal():
        yield f"host_settings: port must be a number, but is {port!r}"
    yield from _missing(settings, directory)


def _missing(settings: Mapping[str, Any], directory: Path | None) -> Iterator[str]:
    """Files that are not there."""
    if not _playbooks(settings):
        yield "apply_kwargs: neither playbook_path nor playbook_paths says what to run"
    find = {files.playbook: _playbooks(settings), files.inventory: _inventories(settings)}
    for look, names in find.items():
        for name in names:
            try:
                if not _has_placeholder(name):
                    look(name, directory)
            except ConfigurationError as error:
                yield str(error)


def _has_placeholder(text: str) -> bool:
    return "{" in text


def _playbooks(settings: Mapping[str, Any]) -> list[str]:
    given = settings["apply_kwargs"]
    return [*_names(given.get("playbook_path")), *_names(given.get("playbook_paths"))]


def _inventories(settings: Mapping[str, Any]) -> list[str]:
    of_run = _names(settings["apply_kwargs"].get("inventory_path"))
    return [*_names(settings.get("inventory_path")), *of_run]


def _names(given: Any) -> list[str]:
    if not given:
        return []
    return [str(name) for name in given] if isinstance(given, (list, tuple)) else [str(given)]


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def _tell_of_turn(report: Report, ahead: int) -> None:
    report(f"Waiting for a turn: {ahead} more before this one" if ahead else "Waiting for a turn")


__all__ = ("AnsibleConfigurer",)
