"""Hubs that are processes, ended by SIGKILL, over a cloud that is another one, across HTTP.

``python -m chaos.kills FIRST COUNT`` runs some schedules and prints what came of them as JSON.
What happens, and what must hold, is that of `chaos.world`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from unittest import mock

from chaos.cloud import FastCloud
from chaos.fast import CLOCKS, SPEED, FastLoop, clock, end_at_once
from chaos.invariants import Violation
from chaos.schedule import PROCESSES, generate
from chaos.shrinking import shrunk
from chaos.world import _TIMED, MarkedLedger, MarkedProvider, World

from multiplespawner_core.contracts import Owner
from multiplespawner_core.resources import release
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.testing.cloud.client import SmallCloud
from multiplespawner_core.testing.cloud.meter import INTENT_TAG
from multiplespawner_core.testing.cloud.records import State
from multiplespawner_core.testing.cloud.settings import Settings
from multiplespawner_core.testing.cloud.translation import INSTALLATION_TAG

SETTINGS = Settings(capacity={"north": {"small": 1}, "south": {"small": 2}}, retention=600)
HUNG = 1500.0
"""Seconds of the machine after which a hub is taken to hang, however busy the machine is."""
PATIENCE = 20.0
"""Seconds of the machine that a request may take, and six times that a call of a release."""
ORDER = 600.0
"""Seconds of the machine in which everything must be in order."""

ELSEWHERE = "between two callbacks"
OUTSIDE = "from outside, anywhere"


class Ledger(MarkedLedger):
    """The one that hubs have, with its thread."""

    async def submit(self, operation):
        def marked(connection):
            result = operation(connection)
            self.world.point("transaction: open")
            return result

        return await super().submit(marked)

    def _once(self, operations):
        outcomes = super()._once(operations)
        self.world.point("transaction: committed")
        return outcomes


class Provider(MarkedProvider, SmallCloud):
    pass


class Servers:
    """Those on machines: they outlive hubs."""

    def __init__(self, directory):
        self._directory = directory
        directory.mkdir()

    def __contains__(self, instance):
        return (self._directory / str(instance)).exists()

    def add(self, instance):
        (self._directory / instance).touch()

    def discard(self, instance):
        (self._directory / str(instance)).unlink(missing_ok=True)


class Database(dict):
    """What JupyterHub knows, in a file."""

    def __init__(self, path):
        self._path = path
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        super().__init__({Owner(user): intent for user, intent in known.items()})

    def __setitem__(self, owner, intent):
        super().__setitem__(owner, intent)
        self._write()

    def __delitem__(self, owner):
        super().__delitem__(owner)
        self._write()

    def pop(self, owner, default=None):
        found = super().pop(owner, default)
        self._write()
        return found

    def _write(self):
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({owner.user: intent for owner, intent in self.items()}), "utf-8")
        new.replace(self._path)


class Site(World):
    """Runs one schedule: each life of the hub is a process.

    Args:
        schedule: what happens.
        directory: must not exist.
        cloud: goes on from schedule to schedule, and every one is another installation.
    """

    sweep_interval = 10.0
    tails = (0, 30, 60)
    standing = 20

    def __init__(self, schedule, directory, cloud):
        directory.mkdir()
        self.schedule = schedule
        self.directory = directory
        self.cloud = cloud
        self.foreign = cloud.foreign
        self.servers = Servers(directory / "servers")
        self._said = directory / "said.jsonl"
        self._said.touch()

    # -- here, where the hubs are started and killed ---

    def run(self):
        for number, life in enumerate(self.schedule.lives):
            self._live(life, number)
        self.cloud.clear_faults()
        self._live(None, len(self.schedule.lives))

    def _live(self, life, number):
        pid = os.fork()
        if not pid:
            self._be_the_hub(life, number)
        kill_in = life.moment / SPEED if life is not None and life.moment else None
        ended = _wait(pid, kill_in or HUNG)
        if ended is None:
            os.kill(pid, signal.SIGKILL)
            _, ended = os.waitpid(pid, 0)
            if kill_in is None:
                msg = f"life {number} did not end\n{self.told()}"
                raise AssertionError(msg)
            self._say(killed=OUTSIDE)
        if os.WIFEXITED(ended) and os.WEXITSTATUS(ended):
            raise AssertionError(self.told())

    def told(self):
        return self._said.read_text("utf-8")[-4000:]

    def read(self):
        """What the hubs said, for the figures."""
        self.killed, self.numbers, self.phases = Counter(), Counter(), {}
        for line in self._said.read_text("utf-8").splitlines():
            said = json.loads(line)
            if "killed" in said:
                self.killed[said["killed"]] += 1
            elif "phase" in said:
                self.phases.setdefault(said["intent"], {})[Phase(said["phase"])] = said["at"]
            elif "note" in said:
                self.numbers[said["note"]] += 1

    # -- in a hub ---

    def _be_the_hub(self, life, number):
        status = 1
        try:
            self._life, self._counted, self._alive, self._tasks = life, Counter(), True, set()
            self.labels, self.pending = Counter(), {}
            self.homes, self.given_up = {}, set()
            self._began, self.unwanted, self.hanging = {}, set(), Counter()
            self._broken = None
            self._rng = random.Random(f"{self.schedule.seed} {number}")
            self.jupyterhub = Database(self.directory / "jupyterhub.json")
            loop = FastLoop(lambda: self._kill(ELSEWHERE), life.turn if life else 0)
            asyncio.set_event_loop(loop)
            with contextlib.ExitStack() as stack:
                for module in _TIMED:
                    stack.enter_context(mock.patch.object(module, "time", CLOCKS))
                longer = mock.patch.object(release, "_CALL_TIMEOUT", 6 * PATIENCE * SPEED)
                stack.enter_context(longer)
                loop.run_until_complete(self._hub(life))
            if self._broken is None:
                status = 0
            else:
                self._say(violation=str(self._broken))
        except Violation as error:
            self._say(violation=str(error))
        except BaseException:  # noqa: BLE001 - a fork must never return to what forked it
            self._say(broken=traceback.format_exc())
        finally:
            os._exit(status)

    def _open(self):
        self.ledger = Ledger.open("", self.directory / "hub")
        self.ledger.world = self
        self.provider = Provider(
            component="model",
            state_dir=self.directory / "hub",
            installation_id=self.ledger.installation_id,
            url=self.cloud.url,
            secret_file=str(self.cloud.secret_file),
            list_grace=2 * SETTINGS.lag,
            # A machine that is busy is no cloud that does not answer.
            connect_timeout=PATIENCE * SPEED,
            request_timeout=PATIENCE * SPEED,
        )
        self.provider.world = self

    def _kill(self, where):
        self._say(killed=where)
        end_at_once()

    def note(self, what):
        self._say(note=what)

    def note_phase(self, row, phase):
        self._say(intent=row.id, phase=phase.value, at=clock())

    def _check_now(self):
        """Nothing: here the cloud and the ledger change while they are looked at."""

    def _say(self, **what):
        """Survives the process, as what the machine's kernel was given does."""
        with self._said.open("ab", buffering=0) as file:
            file.write(f"{json.dumps(what)}\n".encode())

    def runs(self, instance):
        return self.cloud.state_of(instance) is State.RUNNING

    async def _in_order(self):
        # What was sent by hubs that were killed may arrive until then, and sweeps have to find it.
        await asyncio.sleep(max(PROCESSES.delays) + 2 * self.sweep_interval)
        await super()._in_order()

    async def _settle(self, require):
        give_up = clock() + ORDER * SPEED
        while clock() < give_up:
            with contextlib.suppress(Violation):
                return require()
            await asyncio.sleep(1)
        return require()

    @property
    def duplicates(self):
        made = Counter(
            one.tags.get(INTENT_TAG)
            for one in self.cloud.records()
            if one.tags.get(INSTALLATION_TAG) == self.installation
        )
        return sum(count > 1 for count in made.values())

    @property
    def installation(self):
        return (self.directory / "hub" / "installation_id").read_text("utf-8").strip()


def _wait(pid, timeout):
    """How a process ended, None if it has not."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.005)
    return None


class Clouds:
    """The cloud in use, and what has hit in all of them.

    Args:
        folder: of the one in use.
    """

    def __init__(self, folder):
        self._folder = folder
        self.fired = Counter()
        self._cloud = None

    def of(self, seed):
        if self._cloud is None:
            self._folder.mkdir()
            self._cloud = FastCloud(self._folder, SETTINGS, seed=seed)
            self._cloud.start()
            self._cloud.make_foreign()
        return self._cloud

    def close(self):
        """End it: what was leaked in it is not to be taken for another schedule's."""
        if self._cloud is not None:
            self.fired += Counter(self._cloud.fired())
            self._cloud.stop()
            shutil.rmtree(self._folder)
            self._cloud = None


def main(first, count):
    killed, numbers, failures = Counter(), Counter(), []
    slowest = 0.0
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clouds = Clouds(folder / "cloud")

        def run(schedule):
            shutil.rmtree(folder / "site", ignore_errors=True)
            site = Site(schedule, folder / "site", clouds.of(schedule.seed))
            try:
                site.run()
            except AssertionError:
                clouds.close()
                raise
            site.read()
            return site

        for seed in range(first, first + count):
            schedule = generate(seed, PROCESSES)
            try:
                site = run(schedule)
            except AssertionError as error:
                smallest, failure = shrunk(schedule, run)
                failures.append(f"seed {seed}: {error}\nsmallest: {smallest}: {failure}")
                continue
            killed += site.killed
            numbers.update({**site.numbers, "duplicates": site.duplicates, "schedules": 1})
            slowest = max(slowest, site.slowest_reclaim)
        clouds.close()
    figures = {"killed": killed, "fired": clouds.fired, "numbers": numbers, "slowest": slowest}
    sys.stdout.write(json.dumps({**figures, "failures": failures}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
