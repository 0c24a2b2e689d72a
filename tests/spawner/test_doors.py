"""Whatever is sent, by whichever door, becomes one and the same request or words for the user.

Form, query, REST body and stored options, through the methods that JupyterHub calls.
"""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from fakes.options import WRAPPER, bodies, fields
from hypothesis import HealthCheck, given, settings
from spawner.parts import FakeSite, User5Or6
from tornado import web
from traitlets.config import Config

from multiplespawner_core.catalogue.limits import Limits, combine
from multiplespawner_core.selection.fields import encode
from multiplespawner_core.selection.request import WHERE, Choice, select
from multiplespawner_core.spawner.runtime import Runtime

pytestmark = [pytest.mark.slow, pytest.mark.once]

EXAMPLES = {"form": 3000, "query": 3000, "body": 4000}
"""Ten thousand, of which each goes through every door."""


def limits(**given):
    return combine(Limits.model_validate(given), Limits())


LARGE = limits(
    cpu={"min": 1, "max": 16, "step": 0.5, "default": 2},
    memory={"max": 64},
    gpu={"max": 2},
    lifetime={"max": 720, "step": 30, "default": 120},
)
SMALL = limits(cpu={"max": 2, "step": 0.1}, memory=None, gpu=None)
CHOICES = [
    Choice("oci", "virtual_machine", "datascience", "Large", LARGE),
    Choice("oci", "virtual_machine", "<b>ærø</b>", "Large", LARGE),
    Choice("local", "bare_metal", "datascience", "Small", SMALL),
    Choice("local", "bare_metal", "scratch", "Small", SMALL),
]


class ManyChoices(FakeSite):
    def choices(self, user):
        return CHOICES

    def select(self, options, user):
        return select(options, CHOICES)


class Doors:
    """A user's spawner, and what becomes of what is sent to it."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self.user = User5Or6(Config(), {})
        self.spawner = self.user.server()
        self.spawner.log = logging.getLogger(__name__)

    def close(self):
        self.user.close()
        self._loop.close()

    def form(self, fields):
        """The options that a form means, or what is told instead."""
        return self._told(lambda: self.spawner.run_options_from_form(fields))

    def query(self, fields):
        return self._told(lambda: self.spawner.options_from_query(fields))

    def rest(self, options):
        """The request that options mean when JupyterHub applies them to a start."""
        return self._told(lambda: self._run(self.spawner._run_apply_user_options(options)))

    def stored(self, options):
        """The same, from JupyterHub's database and without that step."""
        self.spawner.user_options = json.loads(json.dumps(options))
        return self._told(lambda: self._run(self.spawner._choose(self.spawner.user_options)))

    def outcome(self, options):
        """What becomes of options, which must be the same in every shape and by every door."""
        told = self.rest(options)
        if isinstance(options, dict) and options.keys().isdisjoint(WRAPPER):
            assert self.rest({"user_options": options}) == told
        stored = self.stored(options)
        if isinstance(told, str):
            assert stored == told
            return told
        assert told is None
        _, [(request, choice), *_] = stored
        assert choice in CHOICES
        return request

    def _told(self, send):
        try:
            return send()
        except web.HTTPError as error:
            refusal = error
        assert refusal.status_code == 400
        message = refusal.jupyterhub_message
        assert 0 < len(message.encode()) < 1500
        assert message in str(refusal)
        return message

    def _run(self, coroutine):
        return self._loop.run_until_complete(coroutine)


@pytest.fixture
def doors(monkeypatch):
    class Current:
        async def fresh_site(self):
            return ManyChoices(None, None)

    monkeypatch.setattr(Runtime, "current", staticmethod(lambda spawner: Current()))
    logging.getLogger(__name__).setLevel(logging.CRITICAL + 1)
    opened = Doors()
    yield opened
    opened.close()


def examples(kind):
    return settings(
        max_examples=EXAMPLES[kind],
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


PLACES = {
    "provider": ["oci", "local", "moon", "OCI"],
    "resource_type": ["virtual_machine", "bare_metal", "vm"],
    "deployment": ["datascience", "scratch", "<b>ærø</b>", "nowhere"],
}
BODIES = bodies(PLACES)
FIELDS = fields(PLACES, [encode(choice) for choice in CHOICES])


def check_fields(doors, sent):
    """Form and query read the same, and what they read means the same to a program."""
    options = doors.form(sent)
    assert repr(doors.query(sent)) == repr(options)
    if isinstance(options, str):
        return
    assert json.loads(json.dumps(options)).keys() == options.keys()
    outcome = doors.outcome(options)
    if isinstance(outcome, str):
        return
    # What JupyterHub stores means the same at the next start, and so does its text.
    again = outcome.model_dump()
    assert doors.outcome(again) == outcome
    texts = {key: [str(value)] for key, value in again.items() if value is not None}
    assert doors.outcome(doors.query(texts)) == outcome
    place = CHOICES[[c.where for c in CHOICES].index(tuple(again.pop(key) for key in WHERE))]
    amounts = {key: [str(value)] for key, value in again.items() if value is not None}
    assert doors.outcome(doors.form({"choice": [encode(place)], **amounts})) == outcome


@examples("form")
@given(sent=FIELDS)
def test_a_form_means_the_same_as_a_program(doors, sent):
    check_fields(doors, sent)


@examples("query")
@given(sent=fields(PLACES, [encode(choice) for choice in CHOICES], files=False))
def test_a_query_means_the_same_as_a_program(doors, sent):
    check_fields(doors, sent)


@examples("body")
@given(body=BODIES)
def test_any_body_makes_a_request_or_words(doors, body):
    outcome = doors.outcome(body)
    if not isinstance(outcome, str):
        assert doors.outcome(outcome.model_dump()) == outcome


def test_every_kind_of_outcome_is_there(doors):
    """Of the examples: neither everything is refused nor everything accepted."""
    seen = {"accepted": 0, "refused": 0}

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(body=BODIES)
    def count(body):
        seen["refused" if isinstance(doors.outcome(body), str) else "accepted"] += 1

    count()
    assert min(seen.values()) > 10, seen
