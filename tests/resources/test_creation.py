"""Creating so that afterwards it is known whether there is a resource."""

from __future__ import annotations

import types

import pytest

from multiplespawner_core import (
    Capabilities,
    Capacity,
    Handle,
    IdempotentCreate,
    Intent,
    InvalidSpecification,
    Keys,
    NotFound,
    Offer,
    OutcomeUnknown,
    Owner,
    Quota,
    Scope,
    Specification,
    Throttled,
    Transient,
    Unauthorized,
)
from multiplespawner_core.resources import creation, policy

SCOPE = Scope("fake", "here")
HANDLE = Handle("vm-1", SCOPE)
INTENT = Intent(
    "1" * 32,
    "token-1",
    1,
    "i" * 32,
    Owner("ada"),
    Offer(SCOPE, "small"),
    Specification("virtual_machine"),
)
GRACE = 7.0
NAME, TOKEN, NONE = IdempotentCreate.NAME, IdempotentCreate.TOKEN, IdempotentCreate.NONE
UNKNOWN = OutcomeUnknown("reset")


class Script:
    """A provider that answers as it is told, with a clock that only its callers' sleeps move.

    Args:
        idempotent: how it tells two creates apart.
        create: what each call of `create` raises or returns.
        find: likewise for `find`.
    """

    def __init__(self, idempotent=NONE, create=(), find=(), validity=0):
        self.idempotent, self.validity = idempotent, validity
        self.answers = {"create": list(create), "find": list(find)}
        self.calls = []
        self.tokens = set()
        self.naps = []
        self.now = 0.0

    def capabilities(self):
        return Capabilities(
            ("virtual_machine",),
            idempotent_create=self.idempotent,
            token_validity=self.validity,
            list_grace=GRACE,
        )

    async def create(self, intent, keys):
        self.tokens.add(intent.token)
        return self._answer("create")

    async def find(self, intent, scope):
        assert (intent, scope) == (INTENT, SCOPE)
        return self._answer("find")

    def _answer(self, name):
        self.calls.append(name)
        answer = self.answers[name].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def run(monkeypatch):
    async def run(script):
        monkeypatch.setattr(creation, "asyncio", types.SimpleNamespace(sleep=script.sleep))
        monkeypatch.setattr(creation, "time", types.SimpleNamespace(monotonic=lambda: script.now))
        return await creation.create(script, INTENT, Keys())

    return run


async def test_at_once(run):
    script = Script(create=[HANDLE])
    assert await run(script) is HANDLE
    assert (script.calls, script.naps) == (["create"], [])


@pytest.mark.parametrize("idempotent", list(IdempotentCreate))
async def test_transient_is_sent_again_with_the_same_token(run, idempotent):
    script = Script(idempotent, create=[Transient("busy")] * 3 + [HANDLE])
    assert await run(script) is HANDLE
    assert script.calls == ["create"] * 4
    assert script.tokens == {"token-1"}
    assert script.naps == [0.5, 1.0, 2.0]


async def test_throttled_waits_as_it_is_told(run):
    script = Script(create=[Throttled("slow", 42), Throttled("slow"), HANDLE])
    assert await run(script) is HANDLE
    assert script.naps == [42, 1.0]


@pytest.mark.parametrize(("idempotent", "validity"), [(NAME, 0), (TOKEN, 3600)])
async def test_unknown_is_sent_again_where_the_provider_knows_the_token(run, idempotent, validity):
    script = Script(idempotent, create=[UNKNOWN, UNKNOWN, HANDLE], validity=validity)
    assert await run(script) is HANDLE
    assert script.calls == ["create"] * 3
    assert script.tokens == {"token-1"}


async def test_a_name_never_expires(run):
    script = Script(NAME, create=[UNKNOWN] * 30 + [HANDLE])
    assert await run(script) is HANDLE
    assert script.now > 3600


async def test_unknown_without_a_token_is_looked_for(run):
    script = Script(NONE, create=[UNKNOWN], find=[[HANDLE]])
    assert await run(script) is HANDLE
    assert script.calls == ["create", "find"]
    assert script.naps == [GRACE]


async def test_an_expired_token_is_not_sent_again(run):
    script = Script(TOKEN, create=[UNKNOWN] * 4, find=[[], [HANDLE]], validity=4)
    assert await run(script) is HANDLE
    # Sent at 0, 0.5, 1.5 and 3.5; nine tenths of the validity are over at 3.6.
    assert script.calls == ["create"] * 4 + ["find"] * 2
    assert script.naps == [0.5, 1.0, 2.0, GRACE, GRACE]


async def test_the_pause_counts_towards_the_age_of_a_token(run):
    script = Script(TOKEN, create=[UNKNOWN, UNKNOWN], find=[[HANDLE]], validity=1.5)
    assert await run(script) is HANDLE
    assert script.calls == ["create", "create", "find"]


async def test_twice_empty_is_the_proof(run):
    script = Script(NONE, create=[UNKNOWN], find=[[], []])
    with pytest.raises(OutcomeUnknown):
        await run(script)
    assert script.calls == ["create", "find", "find"]
    assert script.naps == [GRACE, GRACE]


async def test_a_failed_look_proves_nothing(run):
    script = Script(NONE, create=[UNKNOWN], find=[[], Transient("busy"), Unauthorized("no"), []])
    with pytest.raises(OutcomeUnknown):
        await run(script)
    assert script.calls == ["create"] + ["find"] * 4


@pytest.mark.parametrize(
    "error",
    [
        Capacity("full"),
        Quota("enough"),
        InvalidSpecification("never"),
        Unauthorized("who?"),
        NotFound("what?"),
    ],
)
@pytest.mark.parametrize("idempotent", list(IdempotentCreate))
async def test_a_refusal_is_final(run, idempotent, error):
    script = Script(idempotent, create=[error], validity=3600)
    with pytest.raises(type(error)) as caught:
        await run(script)
    assert caught.value is error
    assert (script.calls, script.naps) == (["create"], [])


async def test_a_refusal_after_a_transient_is_final(run):
    script = Script(create=[Transient("busy"), Capacity("full")])
    with pytest.raises(Capacity):
        await run(script)
    assert script.calls == ["create", "create"]


async def test_a_refusal_after_a_lost_answer_says_nothing_of_the_first_request(run):
    script = Script(TOKEN, create=[UNKNOWN, Unauthorized("expired")], find=[[HANDLE]], validity=99)
    assert await run(script) is HANDLE
    script = Script(TOKEN, create=[UNKNOWN, Capacity("full")], find=[[], []], validity=99)
    with pytest.raises(Capacity):
        await run(script)
    assert script.calls == ["create", "create", "find", "find"]


async def test_after_a_lost_answer_even_transients_do_not_outlive_the_token(run):
    answers = [UNKNOWN, *[Transient("busy")] * 20]
    script = Script(TOKEN, create=answers, find=[[HANDLE]], validity=10)
    assert await run(script) is HANDLE
    assert script.calls == ["create"] * 5 + ["find"]
    assert script.now - GRACE < 9
    script = Script(NONE, create=[Transient("busy"), UNKNOWN], find=[[HANDLE]])
    assert await run(script) is HANDLE


async def test_a_defect_of_the_plugin_is_passed_on(run):
    script = Script(NAME, create=[ZeroDivisionError("oops")])
    with pytest.raises(ZeroDivisionError):
        await run(script)


def test_pauses_grow_to_a_limit():
    assert [policy.pause(n) for n in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert policy.pause(10**6) == policy.LONGEST_PAUSE
    assert policy.pause(1, Throttled("slow", 10**6)) == policy.LONGEST_PAUSE
    assert policy.pause(1, Throttled("slow", -5)) == 0.5
