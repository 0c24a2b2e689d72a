"""Whatever is asked of the model, in whatever order and with whatever faults."""

from __future__ import annotations

import json
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from testing.parts import Clock

from multiplespawner_core.testing.cloud import Call, Cloud, Fault, FaultKind, Instance, Settings
from multiplespawner_core.testing.cloud.records import Presence, State

SCOPES = ("north", "south")
QUOTA = 6
LONG = 100.0
TOKENS = st.sampled_from([f"token-{n}" for n in range(8)])
HARMLESS = sorted(set(FaultKind) - {FaultKind.TWICE}, key=str)


class CloudMachine(RuleBasedStateMachine):
    """Keeps beside the cloud only what a patient reader of its answers would know."""

    instances = Bundle("instances")

    def __init__(self):
        super().__init__()
        self.clock = Clock()

    @initialize(
        seed=st.integers(0, 2**16),
        lag=st.sampled_from([0.0, 2.0]),
        lost=st.sampled_from([0.0, 0.3]),
        page=st.integers(1, 3),
        empty=st.booleans(),
        rate=st.sampled_from([None, 2.0]),
    )
    def begin(self, *, seed, lag, lost, page, empty, rate):
        self.settings = Settings(
            scopes=SCOPES,
            lag=lag,
            lost_answers=lost,
            page=page,
            empty_first_page=empty,
            rate=rate,
            quotas={"north": {"small": QUOTA}},
            token_validity=1e6,
        )
        self.rng = random.Random(seed)
        self.cloud = Cloud(self.settings, clock=self.clock, rng=self.rng)
        self.made = {}
        self.twice = set()
        self.total = 0.0

    def ask(self, method, scope="north", **arguments):
        return self.cloud.handle(Call(method, scope, arguments))

    def calm(self):
        """No faults and no throttling, until `stormy`."""
        self.cloud.faults.clear()
        self.cloud.settings = Settings.from_json({"rate": None}, self.settings)

    def stormy(self):
        self.cloud.settings = self.settings

    @rule(
        target=instances,
        token=TOKENS,
        scope=st.sampled_from(SCOPES),
        shape=st.sampled_from(["small", "large"]),
    )
    def create(self, token, scope, shape):
        tags = {"multiplespawner-intent": token}
        answer = self.ask("create", scope, token=token, shape=shape, name=token, tags=tags)
        if answer.status != 200:
            return None, scope
        made = answer.body["instance"]["id"]
        assert self.made.setdefault(token, (made, scope, shape)) == (made, scope, shape)
        return made, scope

    @rule(token=TOKENS, scope=st.sampled_from(SCOPES))
    def create_twice(self, token, scope):
        self.cloud.add_fault(Fault(FaultKind.TWICE, "create"))
        self.twice.add(token)
        self.create(token, scope, "small")

    @rule(which=instances, method=st.sampled_from(["stop", "start", "get"]))
    def ask_of(self, which, method):
        instance, scope = which
        if instance is not None:
            assert self.ask(method, scope, id=instance).status in (200, 401, 404, 409, 429, 500)

    @rule(which=instances)
    def terminate(self, which):
        instance, scope = which
        if instance is None:
            return
        assert self.ask("terminate", scope, id=instance).status in (200, 401, 404, 429, 500)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(
        kind=st.sampled_from(HARMLESS),
        method=st.sampled_from(["*", "create", "terminate", "get"]),
        nth=st.integers(1, 2),
        times=st.sampled_from([1, 2, None]),
        error=st.sampled_from(["internal", "unauthorized", "not_found", "capacity"]),
    )
    def add_fault(self, kind, method, nth, times, error):
        self.cloud.add_fault(Fault(kind, method, nth=nth, times=times, seconds=5, error=error))

    @rule()
    def reopen(self):
        """Another process goes on from what was kept."""
        told = json.loads(json.dumps([one.to_json() for one in self.cloud.records()]))
        before, reading = self.cloud.records(), self.cloud.meter()
        self.cloud = Cloud(
            self.cloud.settings,
            clock=self.clock,
            rng=self.rng,
            records=map(Instance.from_json, told),
        )
        assert self.cloud.records() == before
        assert self.cloud.meter() == reading

    @rule(scope=st.sampled_from(SCOPES))
    def list_after_the_lag(self, scope):
        self.calm()
        self.clock.now += self.settings.lag
        listed, mark = {}, {}
        while True:
            body = self.ask("list", scope, **mark).body
            listed.update((one["id"], one) for one in body["instances"])
            assert len(body["instances"]) <= self.settings.page
            if body["next"] is None:
                break
            mark = {"page": body["next"]}
        self.stormy()
        assert set(listed) == {one.id for one in self.cloud.records() if one.scope == scope}

    @rule()
    def everything_is_deleted(self):
        """As whoever cleans up would: the meter stands still, and nothing is left."""
        self.calm()
        for _ in range(2):
            for one in self.cloud.records():
                assert self.ask("terminate", one.scope, id=one.id).status == 200
            self.clock.now += LONG
            for one in self.cloud.records():
                assert one.state is State.TERMINATED
                for part in one.dependents:
                    self.ask("delete_dependent", one.scope, id=part.id)
        before = self.cloud.meter()
        self.clock.now += LONG
        after = self.cloud.meter()
        self.stormy()
        assert before.running == after.running == frozenset()
        assert before.total == after.total
        assert self.cloud.live() == []

    @invariant()
    def a_token_made_one_instance(self):
        by_token = {}
        for one in self.cloud.records():
            by_token.setdefault(one.token, []).append(one.id)
        for token, made in by_token.items():
            assert len(made) == 1 or token in self.twice

    @invariant()
    def the_meter_never_runs_backwards(self):
        reading = self.cloud.meter()
        assert reading.total >= self.total - 1e-6
        self.total = reading.total
        assert abs(sum(reading.by_intent.values()) - reading.total) < 1e-6

    @invariant()
    def what_is_live_costs_and_nothing_else_does(self):
        parts = {
            part.id: part.history.now for one in self.cloud.records() for part in one.dependents
        }
        running = self.cloud.meter().running
        for one in self.cloud.records():
            free = one.state in (State.TERMINATED, State.STOPPED)
            assert (one.id in running) != free
        for part, presence in parts.items():
            assert (part in running) != (presence == Presence.DELETED)

    @invariant()
    def a_quota_is_kept(self):
        held = [
            one
            for one in self.cloud.live()
            if one.scope == "north" and one.shape == "small" and one.state is not State.TERMINATED
        ]
        # One that is accepted twice is counted only afterwards.
        assert len(held) <= QUOTA + len(self.twice)

    @invariant()
    def histories_are_in_order(self):
        for one in self.cloud.records():
            for history in (one.history, *(part.history for part in one.dependents)):
                times = [when for when, _ in history.steps]
                assert times == sorted(times)
                assert times[-1] <= self.clock.now

    @invariant()
    def the_terminated_stay_terminated(self):
        for one in self.cloud.records():
            states = [state for _, state in one.history.steps]
            if State.TERMINATING in states:
                tail = states[states.index(State.TERMINATING) :]
                assert tail in ([State.TERMINATING], [State.TERMINATING, State.TERMINATED])


TestCloudMachine = CloudMachine.TestCase
TestCloudMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
