"""A whole JupyterHub over the small cloud's server and its machines, driven by its users.

``python -m chaos.whole FIRST COUNT`` runs some schedules and prints what came of them as JSON. One
hub and one cloud go on from schedule to schedule, until one fails; each has users of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
from chaos.cloud import Outside
from chaos.invariants import Invariant, Violation
from chaos.schedule import WHOLE, generate
from chaos.world import World
from harness import HubProcess
from site_fixture import CONFIG
from sqlalchemy import create_engine, func, select

from multiplespawner_core.contracts import Owner
from multiplespawner_core.resources.ledger import record_of
from multiplespawner_core.resources.manager import EXPIRED
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.resources.tables import intents
from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import Settings
from multiplespawner_core.testing.cloud.meter import INTENT_TAG
from multiplespawner_core.testing.cloud.records import State
from multiplespawner_core.testing.cloud.translation import OWNER_TAG

SETTINGS = Settings(
    provisioning=(0.1, 0.4),
    address_delay=(0.0, 0.1),
    terminating=(0.1, 0.3),
    dependents_delay=(0.0, 0.1),
    lag=0.4,
    retention=60.0,
    capacity={"north": {"small": 1}, "south": {"small": 2}},
)
SWEEP_INTERVAL = 1.0
STANDING = 1.5
"""Seconds for which the meter must stand still."""
SETTLE = 180.0
"""Seconds in which everything must be in order, however busy the machine is."""
PATIENCE = 30.0
"""Seconds for which a user waits."""

(PROVIDER,), (AUTHENTICATOR,), (SPAWNER,) = COMPONENT_CLASSES.values()
TEMPLATE = {
    "name": "Small cloud",
    "resource_type": "virtual_machine",
    "providers": [PROVIDER],
    "spawner": {"class": SPAWNER},
    "authenticator": {"class": AUTHENTICATOR},
}
DEPLOYMENTS = {"virtual_machine": [{"name": "vm", "provider": PROVIDER, "image": "debian"}]}

MORE_CONFIG = """
from multiplespawner_core.planning import site
site.MINUTE = 1.0
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0, "slow_stop_timeout": 0}}
c.Spawner.poll_interval = 1
c.MultipleSpawner.component_classes = {components}
c.MultipleSpawner.sweep_interval = {sweep_interval}
c.SmallCloud.url = {url!r}
c.SmallCloud.secret_file = {secret_file!r}
c.SmallCloud.list_grace = {list_grace}
"""
KILLED, STOPPED = "from outside, anywhere", "stopped in order"


class Place:
    """A cloud and a hub.

    Args:
        folder: must not exist.
        seed: of the cloud; where it is odd, what users' servers run on is kept.
    """

    def __init__(self, folder, seed):
        folder.mkdir()
        self.keeps = bool(seed % 2)
        self.cloud = Outside(folder, SETTINGS, machines="process", seed=seed)
        self.cloud.start()
        self.cloud.make_foreign()
        config = MORE_CONFIG.format(
            components=COMPONENT_CLASSES,
            sweep_interval=SWEEP_INTERVAL,
            url=self.cloud.url,
            secret_file=str(self.cloud.secret_file),
            list_grace=2 * SETTINGS.lag,
        )
        template = {**TEMPLATE, "storage": "keep" if self.keeps else "ephemeral"}
        files = {
            "spawner_templates.json": json.dumps([template]),
            "spawner_deployment.json": json.dumps(DEPLOYMENTS),
        }
        self.hub = HubProcess(folder / "hub", CONFIG + config, files=files)
        self.hub.start(timeout=SETTLE)
        self._state = self.hub.folder / "state"
        self._ledger = create_engine(f"sqlite:///file:{self._state}/ledger.sqlite?mode=ro&uri=true")

    def close(self):
        self._ledger.dispose()
        try:
            self.hub.close()
        finally:
            self.cloud.stop()

    @property
    def installation_id(self):
        return (self._state / "installation_id").read_text("utf-8").strip()

    def unfinished(self):
        """What the ledger has, read beside the hub."""
        with self._ledger.connect() as connection:
            rows = connection.execute(select(intents).where(intents.c.phase != Phase.CLOSED.value))
            return [record_of(row) for row in rows]

    def started(self):
        """How many servers have ever run, each resource counted once."""
        return self._count(intents.c.url.is_not(None))

    def resumed(self):
        """How many resources were started again after they were kept."""
        return self._count(intents.c.started_at.is_not(None))

    def expired(self):
        """Of how many the lifetime has ended what ran last."""
        return self._count(intents.c.reason == EXPIRED)

    def _count(self, which):
        with self._ledger.connect() as connection:
            rows = select(func.count()).select_from(intents).where(which)
            return connection.execute(rows).scalar()


class Site(World):
    """Runs one schedule; its servers are those of users that nobody else has.

    Args:
        schedule: what happens.
        place: where.
    """

    def __init__(self, schedule, place):
        self.schedule = schedule
        self.hub = place.hub
        self.cloud = place.cloud
        self.foreign = place.cloud.foreign
        self.ledger = place
        self._keeps = place.keeps
        self.killed, self.numbers = Counter(), Counter()
        self.jupyterhub, self._machines = {}, {}
        self.homes, self.given_up = {}, set()
        self._users = {who.partition("/")[0] for who in WHOLE.users}

    def run(self):
        for user in self._users:
            self.hub.client.ensure_user(self._name(user))
        for life in self.schedule.lives:
            self._live(life)
        self.cloud.clear_faults()
        self._in_order()

    def _live(self, life):
        end = time.monotonic() + life.moment if life.moment else float("inf")
        for step in life.steps:
            time.sleep(max(0.0, min(step.after, end - time.monotonic())))
            if time.monotonic() >= end:
                break
            getattr(self, step.what)(self._owner(step.who), step.value)
        if life.orderly:
            self.killed[STOPPED] += 1
            self.hub.terminate(timeout=SETTLE)
        else:
            time.sleep(max(0.0, end - time.monotonic()))
            self.killed[KILLED] += 1
            self.hub.kill()
        self.hub.start(timeout=SETTLE)

    def _owner(self, who):
        user, _, server = who.partition("/")
        return Owner(self._name(user), server)

    def _name(self, user):
        return f"{user}-{self.schedule.seed}"

    # -- what happens ---

    def start(self, owner, what):
        self.hub.client.ensure_user(owner.user)
        lifetime, _ = what
        options = {} if lifetime is None else {"lifetime": lifetime}
        answer = self.hub.client.try_start(owner.user, options, owner.server)
        self._count("start", answer)
        self.numbers["asked"] += answer.is_success

    def stop(self, owner, _):
        self._count("stop", self._request(owner))

    def cancel(self, owner, value):
        """JupyterHub has one request for both: what starts is cancelled."""
        self.stop(owner, value)

    def delete(self, owner, _):
        """The named server, or the user."""
        if owner.server:
            self._count("remove", self._request(owner, json={"remove": True}))
        else:
            answer = self.hub.client.request("DELETE", f"/users/{owner.user}")
            self._count("delete", answer)
        # Some of it may be deleted already where the rest could not be.
        self._give_up(lambda one: one.partition("/")[0] == owner.user)

    def give_up(self, owner, _):
        """What is kept for it, if it does not run."""
        where = f"servers/{owner.server}" if owner.server else "server"
        answer = self.hub.client.request(
            "DELETE", f"/multiplespawner/users/{owner.user}/{where}/kept"
        )
        self._count("give up", answer)
        self._give_up(lambda one: one == str(owner))

    def vanish(self, owner, _):
        self._give_up(lambda one: one == str(owner))
        for one in self.cloud.live():
            if one.tags.get(OWNER_TAG) == str(owner):
                self.cloud.terminate(one.id)

    def _give_up(self, whose):
        """Nobody asks any more that these be kept."""
        for one in self.cloud.records():
            if whose(one.tags.get(OWNER_TAG, "")):
                self.given_up.add(one.tags[INTENT_TAG])

    def wait(self, owner, _):
        """Until its start or stop has come to an end, however busy the machine is."""
        give_up = time.monotonic() + PATIENCE
        while owner in self._shown()[1] and time.monotonic() < give_up:
            time.sleep(0.1)

    def _request(self, owner, **kwargs):
        where = f"servers/{owner.server}" if owner.server else "server"
        return self.hub.client.request("DELETE", f"/users/{owner.user}/{where}", **kwargs)

    def _count(self, what, answer):
        self.numbers[f"{what}: {answer.status_code}"] += 1

    # -- what must hold ---

    def _in_order(self):
        began = time.monotonic()
        # What was sent by hubs that were killed may arrive until then, and sweeps have to find it.
        time.sleep(max(WHOLE.delays) + 2 * SWEEP_INTERVAL)
        self._settle(self.require_what_is_shown)
        for owner in self.jupyterhub:
            self.stop(owner, None)
        self._settle(self._require_nothing_is_shown)
        self.slowest = time.monotonic() - began
        before, kept = self.cloud.meter().by_id, {row.id for row in self.ledger.unfinished()}
        self.numbers["kept to the end"] += len(kept)
        time.sleep(STANDING)
        self._require_still(before, self.cloud.meter().by_id, kept)
        self._settle(self._require_users_deleted)
        self._settle(self._require_nothing_is_kept)

    def _require_users_deleted(self):
        for user in self._users:
            owner = Owner(self._name(user))
            self._give_up(lambda one, user=owner.user: one.partition("/")[0] == user)
            answer = self.hub.client.request("DELETE", f"/users/{owner.user}")
            gone = answer.is_success or answer.status_code == httpx.codes.NOT_FOUND
            self._require(Invariant.SETTLED, gone)

    def _settle(self, require):
        give_up = time.monotonic() + SETTLE
        while time.monotonic() < give_up:
            with suppress(Violation):
                return require()
            time.sleep(0.2)
        return require()

    def require_what_is_shown(self):
        self.jupyterhub, pending = self._shown()
        self._require(Invariant.SETTLED, not pending)
        self._require(Invariant.ANSWERS, all(self.jupyterhub.values()))
        super().require_what_is_shown()

    def _shown(self):
        """The servers that JupyterHub shows as running, with the intents they say, and others."""
        shown, pending = {}, []
        for user in sorted(self._users):
            model = self.hub.client.request("GET", f"/users/{self._name(user)}")
            servers = model.json()["servers"] if model.is_success else {}
            for server, one in servers.items():
                owner = Owner(self._name(user), server)
                if one["ready"]:
                    shown[owner] = self._ask(owner)
                elif one["pending"]:
                    pending.append(owner)
        return shown, pending

    def _ask(self, owner):
        """For which intent the server is, by its own word, through the proxy."""
        said = self.hub.client.server_get(owner.user, "machine", owner.server)
        if said.status_code != httpx.codes.OK or "intent" not in said.json():
            return ""
        machine, intent = Path(said.json()["machine"]).name, said.json()["intent"]
        self._machines[machine] = owner
        if self._keeps:
            self.homes[intent] = machine
        return intent

    def answers(self, instance):
        return instance in self._machines

    def runs(self, instance):
        return self.cloud.record(instance).state is State.RUNNING


class Places:
    """The place in use, and what came of all of them.

    Args:
        folder: for their folders.
    """

    def __init__(self, folder):
        self._folder = folder
        self._place = None
        self.fired, self.numbers = Counter(), Counter()

    def of(self, seed):
        if self._place is None:
            self._place = Place(self._folder / str(seed), seed)
        return self._place

    def close(self):
        """End it: what was leaked in it is not to be taken for another schedule's."""
        place, self._place = self._place, None
        if place is None:
            return
        try:
            made = Counter(one.tags.get(INTENT_TAG) for one in place.cloud.records())
            self.numbers["duplicates"] += sum(count > 1 for count in made.values())
            self.numbers["started"] += place.started()
            self.numbers["resumed"] += place.resumed()
            self.numbers["expired"] += place.expired()
            self.fired += Counter(place.cloud.fired())
        finally:
            place.close()


def main(first, count):
    killed, numbers, failures = Counter(), Counter(), []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        places = Places(Path(name))
        try:
            for seed in range(first, first + count):
                schedule = generate(seed, WHOLE)
                place = places.of(seed)
                site = Site(schedule, place)
                try:
                    site.run()
                except (AssertionError, httpx.HTTPError) as error:
                    log = place.hub.tail(80)
                    failures.append(f"seed {seed}: {error!r}\n{schedule}\nthe hub's log:\n{log}")
                    places.close()
                else:
                    numbers["schedules"] += 1
                    slowest = max(slowest, site.slowest)
                killed += site.killed
                numbers.update(site.numbers)
        finally:
            places.close()
    numbers.update(places.numbers)
    figures = {"killed": killed, "fired": places.fired, "numbers": numbers, "slowest": slowest}
    sys.stdout.write(json.dumps({**figures, "failures": failures}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
