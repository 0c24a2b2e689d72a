"""Each rule of docs/design.md, removed: what replaces one method, function or value for a while.

Nothing of it is in the product's code. A mutant names the rule, says what is removed, and what must
break: an invariant of `chaos`, or else a test.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from unittest import mock

from chaos.invariants import Invariant
from sqlalchemy import text

from multiplespawner_core.contracts import Capacity, OutcomeUnknown
from multiplespawner_core.resources import creation, pipeline, reconciler, release
from multiplespawner_core.resources import failures as failures_module
from multiplespawner_core.resources import ledger as ledger_module
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import FAILED, Manager
from multiplespawner_core.resources.reconciler import Reconciler, Verdict
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.resources.release import Release
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.spawner.child import ChildSpawner
from multiplespawner_core.spawner.multiple import MultipleSpawner
from multiplespawner_core.testing.cloud.provider import CloudProvider


@dataclass(frozen=True)
class Mutant:
    """One rule less.

    Args:
        name: of the function that removes it.
        rule: its number in docs/design.md.
        removes: what is removed.
        breaks: the invariants of which schedules must break one, or the test that must fail.
        apply: is given a function that replaces an attribute for as long as it is applied.
    """

    name: str
    rule: int
    removes: str
    breaks: tuple[Invariant, ...] | str
    apply: Callable[[Callable[..., None]], None]

    @property
    def by_schedules(self):
        """Whether schedules find it; else a test does."""
        return not isinstance(self.breaks, str)

    @contextmanager
    def applied(self):
        with ExitStack() as stack:

            def put(target, name, value):
                stack.enter_context(mock.patch.object(target, name, value))

            self.apply(put)
            yield


MUTANTS: dict[str, Mutant] = {}

_OF_NO_START = (Phase.RUNNING, Phase.STOPPING, Phase.KEPT, Phase.RELEASING)


def removed(rule, what, *breaks):
    """Declares a mutant."""
    broken = breaks[0] if isinstance(breaks[0], str) and "::" in breaks[0] else breaks

    def declare(function):
        MUTANTS[function.__name__] = Mutant(function.__name__, rule, what, broken, function)
        return function

    return declare


# -- 1: committed before it is asked for ------------------------------------------------------


@removed(1, "the intent is committed before `create`, not after it", Invariant.COMMITTED)
def intent_after_create(put):
    write, create = pipeline._Steps.write_intent, pipeline._Steps._create

    async def only_in_memory(self):
        async def insert(record):
            return replace(record, generation=1)

        ledger = self._ledger
        identity = ledger.installation_id
        self._ledger = SimpleNamespace(installation_id=identity, insert=insert)
        try:
            await write(self)
        finally:
            self._ledger = ledger

    async def committed_then(self):
        handle = await create(self)
        await self._ledger.insert(self._record)
        return handle

    put(pipeline._Steps, "write_intent", only_in_memory)
    put(pipeline._Steps, "_create", committed_then)


@removed(1, "the next offer, with its scope, is committed before it is tried", Invariant.COMMITTED)
def next_offer_in_memory(put):
    async def only_in_memory(self):
        plan, record = self._plan, self._record
        self._resource.record = replace(record, attempt=record.attempt + 1, offer=plan.offer)

    put(pipeline._Steps, "_write_attempt", only_in_memory)


@removed(1, "a request that is repeated carries the same token", Invariant.ONCE)
def another_token_each_time(put):
    create = CloudProvider.create

    async def with_another(self, intent, keys):
        return await create(self, replace(intent, token=uuid.uuid4().hex), keys)

    put(CloudProvider, "create", with_another)


# -- 2: lost answers --------------------------------------------------------------------------


@removed(2, "an answer that was lost is not taken for a refusal", Invariant.ONCE)
def lost_is_refused(put):
    create = creation.create

    async def refused(provider, intent, keys, noted):
        try:
            return await provider.create(intent, keys)
        except OutcomeUnknown as error:
            raise Capacity("It did not answer.") from error
        except Exception:  # noqa: BLE001 - the others are dealt with as ever
            return await create(provider, intent, keys, noted)

    put(creation, "create", refused)


@removed(2, "what a lost answer may have made is looked for", Invariant.ONCE)
def lost_is_not_looked_for(put):
    async def nothing(provider, intent):
        return None

    put(creation, "_search", nothing)


@removed(2, "it is looked for twice, after the provider's grace", Invariant.ONCE)
def lost_is_looked_for_at_once(put):
    async def once(provider, intent):
        found = await provider.find(intent, intent.offer.scope)
        return found[0] if found else None

    put(creation, "_search", once)


# -- 3: one resource an intent, one live intent a server ----------------------------------------


@removed(
    3,
    "a second resource of an intent is deleted while the first one serves",
    Invariant.ONE_RESOURCE,
    Invariant.PAID,
)
def extra_is_live(put):
    put(reconciler, "judge", _taken_for_live(Verdict.EXTRA))


@removed(3, "a release looks for all that carries the intent", Invariant.EVIDENCE)
def release_looks_for_nothing(put):
    async def nothing(self, provider, resource, record):
        return []

    put(Release, "_find", nothing)


@removed(3, "one live intent a server, in the manager and in the database", Invariant.ONE_INTENT)
def two_intents_a_server(put):
    open_ledger = Ledger.open.__func__

    def without_index(cls, url, state_dir):
        ledger = open_ledger(cls, url, state_dir)
        with ledger._backend.engine.begin() as connection:
            connection.execute(text("DROP INDEX IF EXISTS uq_intents_live_server"))
        return ledger

    async def nothing(self, resource, before):
        pass

    put(Ledger, "open", classmethod(without_index))
    put(Manager, "_hand_over", nothing)


# -- 4: closed on evidence ----------------------------------------------------------------------


@removed(4, "a delete that was accepted is no proof", Invariant.EVIDENCE)
def accepted_is_gone(put):
    async def at_once(provider, handle):
        pass

    put(release, "_until_gone", at_once)


@removed(4, "a delete that failed closes no row", Invariant.EVIDENCE)
def failed_delete_closes(put):
    given_back = Release._is_given_back

    async def or_closed(self, resource, record):
        try:
            return await given_back(self, resource, record)
        except Exception:  # noqa: BLE001 - whatever it was
            await resource.commit(self._ledger, phase=Phase.CLOSED, closed_at=time.time())
            return True

    put(Release, "_is_given_back", or_closed)


@removed(4, "a delete that failed is tried again", Invariant.SHOWN)
def deleted_once(put):
    async def once(self, resource):
        with contextlib.suppress(Exception):
            await self._is_given_back(resource, resource.record)

    put(Release, "_give_back", once)


# -- 5: the sweep -------------------------------------------------------------------------------


@removed(5, "what was left over from a closed intent is deleted", Invariant.PAID)
def leftover_is_live(put):
    put(reconciler, "judge", _taken_for_live(Verdict.LEFTOVER))


@removed(
    5,
    "every scope that was ever used is swept",
    "tests/resources/test_reconciler.py"
    "::test_scopes_are_asked_for_ever_though_nothing_reaches_them_any_more",
)
def only_configured_scopes(put):
    async def none(self):
        return []

    put(Ledger, "reaches", none)


@removed(5, "the provider is read first and the ledger second", Invariant.KNOWN)
def ledger_first(put):
    look = Reconciler._look_into

    async def with_old_rows(self, reach, *, dry_run):
        every = ledger_module.select(ledger_module.intents)
        with self._ledger._backend.readers.connect() as connection:
            old = {row.id: ledger_module.record_of(row) for row in connection.execute(every)}

        async def rows(ids):
            return {one: old[one] for one in ids if one in old}

        then = Reconciler(self._ledger, self._providers, self._held, self._gone)
        then._calls = self._calls
        then._ledger = SimpleNamespace(rows=rows, installation_id=self._ledger.installation_id)
        return await look(then, reach, dry_run=dry_run)

    put(Reconciler, "_look_into", with_old_rows)


@removed(5, "only what carries this installation's id is ours", Invariant.KNOWN)
def everything_is_ours(put):
    tagged = CloudProvider._tagged

    async def regardless(self, scope, tag, value):
        if tag != "multiplespawner-intent":
            value = tag = None
        return await tagged(self, scope, tag, value)

    put(CloudProvider, "_tagged", regardless)


@removed(5, "a list that lacks a server is a reason to ask, no evidence", Invariant.SPARED)
def absent_is_gone(put):
    async def gone(self, resource, record):
        return True

    put(Manager, "_is_gone", gone)


@removed(
    5,
    "what the ledger never held is left alone",
    "tests/resources/test_reconciler.py::test_what_the_ledger_never_held_is_reported_and_left_alone",
)
def unknown_is_deleted(put):
    judge = reconciler.judge

    def deleted(owned, row):
        verdict = judge(owned, row)
        return Verdict.LEFTOVER if verdict is Verdict.UNKNOWN else verdict

    put(reconciler, "judge", deleted)


# -- 6: the manager owns a start ------------------------------------------------------------------


@removed(6, "unfinished starts of an earlier hub are released", Invariant.UNDER_WAY)
def unfinished_starts_stay(put):
    resume = Manager.resume

    def only_others(self, served):
        ledger = self.ledger
        others = [row for row in ledger.unfinished() if row.phase in _OF_NO_START]
        self.ledger = SimpleNamespace(unfinished=lambda: others, losses=ledger.losses)
        try:
            resume(self, served)
        finally:
            self.ledger = ledger

    put(Manager, "resume", only_others)


@removed(
    6,
    "a start that JupyterHub cancels is released",
    "tests/spawner/test_multiple.py::test_a_cancelled_start_ends_at_once_and_is_released",
)
def cancelled_start_stays(put):
    begin = Manager.begin_release

    def unless_cancelled(self, resource, reason, status=0, **more):
        if reason != "the start was cancelled":
            begin(self, resource, reason, status, **more)

    put(Manager, "begin_release", unless_cancelled)


@removed(
    6,
    "JupyterHub's timeouts follow from the plan",
    "tests/spawner/test_multiple.py::test_our_deadlines_are_those_that_jupyterhub_waits_for",
)
def timeouts_of_jupyterhub(put):
    put(MultipleSpawner, "_set_timeout", lambda self, name, seconds: None)


# -- 7: poll, and release without `stop` ----------------------------------------------------------


@removed(7, "`poll` says the end only once the release is committed", Invariant.TOLD)
def told_at_once(put):
    def poll(self):
        return self.exit_status if self.release is not None else None

    put(Resource, "poll", poll)


@removed(7, "a start that failed is released", Invariant.UNDER_WAY, Invariant.SHOWN)
def failed_start_stays(put):
    whole = Manager.release

    async def unless_it_failed(self, resource, reason, status=0, **more):
        if status != FAILED or resource.running or more:
            await whole(self, resource, reason, status, **more)

    put(Manager, "release", unless_it_failed)


@removed(7, "a server that ended by itself is released", Invariant.ANSWERS)
def ended_server_stays(put):
    async def forget(self, resource):
        pass

    async def no(self, resource):
        return False

    put(Manager, "_watch", forget)
    put(Manager, "_look_for", no)


@removed(7, "a server that JupyterHub does not know any more is released", Invariant.SHOWN)
def unserved_stays(put):
    resume = Manager.resume
    put(Manager, "resume", lambda self, served: resume(self, None))
    put(Manager, "_release_unserved", lambda self, before, serving: before)


# -- 8: deadlines, and cancelling -----------------------------------------------------------------


@removed(8, "every phase of a start has a deadline", Invariant.BOUNDED)
def no_deadline(put):
    async def unbounded(work, timeout, grace=0, left=None):
        task = asyncio.ensure_future(work)
        if left is not None:
            left.add(task)
            task.add_done_callback(left.discard)
        return await task

    put(pipeline, "bounded", unbounded)


@removed(8, "a pending start can be cancelled", Invariant.PROMPT)
def start_cannot_be_cancelled(put):
    begin = Manager.begin_release

    def without_its_start(self, resource, reason, status=0, **more):
        starting, resource.pipeline = resource.pipeline, None
        begin(self, resource, reason, status, **more)
        resource.pipeline = starting

    put(Manager, "begin_release", without_its_start)


# -- 9: the event loop ----------------------------------------------------------------------------


@removed(
    9,
    "the ledger is written in a thread of its own",
    "tests/resources/test_ledger.py::test_the_event_loop_is_not_held_up",
)
def written_in_the_loop(put):
    async def at_once(self, operation):
        future = asyncio.get_running_loop().create_future()
        self._commit([(operation, future)])
        return await future

    put(Ledger, "submit", at_once)


@removed(
    9,
    "writes that come together share a commit",
    "tests/resources/test_ledger.py::test_concurrent_writes_share_a_commit",
)
def a_commit_each(put):
    put(ledger_module, "_BATCH", 1)


# -- 10: secrets ----------------------------------------------------------------------------------


@removed(
    10,
    "an authenticator's secrets are not stored",
    "tests/spawner/test_multiple.py::test_an_authenticator_cleans_up_although_its_template_is_gone",
)
def secrets_are_stored(put):
    put(pipeline, "looks_secret", lambda key: False)


@removed(
    10,
    "errors of others are not stored",
    "tests/resources/test_manager.py::test_the_ledger_keeps_no_foreign_error_text",
)
def foreign_errors_are_stored(put):
    put(release, "for_log", repr)


@removed(
    10,
    "errors of others are not told to users",
    "tests/spawner/test_multiple.py::test_a_failure_tells_the_step_and_no_secret",
)
def foreign_errors_are_told(put):
    put(failures_module, "_told", lambda error, *_: (str(error), "error", 500))


# -- 11: what is stored where ---------------------------------------------------------------------


@removed(
    11,
    "JupyterHub's state holds the intent's id",
    "tests/spawner/test_multiple.py::test_a_server_outlives_its_hub",
)
def state_without_intent(put):
    put(MultipleSpawner, "get_state", lambda self: {})


@removed(
    11,
    "the ledger holds what is needed to stop a server without its template",
    "tests/spawner/test_child.py::test_a_snapshot_holds_what_a_restart_needs_and_no_secrets",
)
def child_is_not_stored(put):
    put(ChildSpawner, "snapshot", lambda self: {})


def _taken_for_live(verdict):
    judge = reconciler.judge

    def without(owned, row):
        found = judge(owned, row)
        return Verdict.LIVE if found is verdict else found

    return without


__all__ = ("MUTANTS", "Mutant")
