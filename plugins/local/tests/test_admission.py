"""Whatever is asked for and given back in any order: never more than the machine has."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from multiplespawner_local.admission import Admission
from multiplespawner_local.limits.base import NoLimiter
from multiplespawner_local.machine import Size
from multiplespawner_local.reservations import Store, free

from multiplespawner_core import Capacity, Intent, Offer, Owner, Scope, Specification

TOTAL = Size(2.0, 4.0)
sizes = st.one_of(st.none(), st.sampled_from([0.05, 0.1, 0.5, 1.0, 1.5, 2.0]))


class Every(NoLimiter):
    sizes = frozenset({"cpu", "memory"})


class Admissions(RuleBasedStateMachine):
    intents = Bundle("intents")

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.count = 0
        self.given = {}
        self.restart()

    @rule()
    def restart(self):
        self.store = Store(Path(self.directory.name))
        self.admission = Admission(TOTAL, self.store, Every(), same_user=True)

    @rule(target=intents, cpu=sizes, memory=sizes)
    def ask(self, cpu, memory):
        self.count += 1
        intent = self.intent(f"i{self.count}", cpu, memory)
        fits = self.fits(cpu, memory)
        try:
            self.admission.admit(intent)
        except Capacity:
            assert not fits
        else:
            assert fits
            self.given[intent.id] = (cpu or 0, memory or 0)
        return intent

    @rule(intent=intents)
    def ask_again(self, intent):
        if intent.id in self.given:
            self.admission.admit(intent)

    @rule(intent=consumes(intents))
    def give_back(self, intent):
        self.store.remove(intent.id)
        self.given.pop(intent.id, None)

    @invariant()
    def the_books_are_right(self):
        assert {held.intent_id for held in self.store.all()} == set(self.given)
        assert self.taken(0) <= TOTAL.cpu + 1e-9
        assert self.taken(1) <= TOTAL.memory + 1e-9
        left = free(TOTAL, self.store.all())
        assert abs(left.cpu - (TOTAL.cpu - self.taken(0))) < 1e-9

    def teardown(self):
        self.directory.cleanup()

    def taken(self, index):
        return sum(size[index] for size in self.given.values())

    def fits(self, cpu, memory):
        return (
            self.taken(0) + (cpu or 0) <= TOTAL.cpu + 1e-9
            and self.taken(1) + (memory or 0) <= TOTAL.memory + 1e-9
        )

    def intent(self, intent_id, cpu, memory):
        offer = Offer(Scope("local", "here"), "here", cpu, memory)
        wanted = Specification("bare_metal", cpu, memory)
        return Intent(intent_id, intent_id, 1, "inst", Owner("alice"), offer, wanted)


Admissions.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestAdmission = Admissions.TestCase
