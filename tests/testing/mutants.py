"""Providers that break the contract in one place each, and the checks that must tell."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace

from testing.rack import BOOT, DELETING, GONE, PENDING, READY, STOPPED, Place, Rack

from multiplespawner_core import (
    Availability,
    Handle,
    NotFound,
    Observation,
    Offer,
    OutcomeUnknown,
    Scope,
    Storage,
    Transient,
    Unauthorized,
)


@dataclass(frozen=True)
class Mutant:
    provider: type
    fails: frozenset[str]
    says: str


ENDING = ("what_is_stopped_is_seen_and_deleted", "what_is_gone_is_not_started")
SWITCHING = ("stop_and_start_keep_it", "stop_and_start_can_be_cancelled")
STOPPING = (*SWITCHING, *ENDING)
"""The checks of stop and start, and those of them that delete in the end."""

MUTANTS: list[Mutant] = []


def fails(*names, says):
    """These checks, and no others; one of their messages says so."""

    def add(provider):
        MUTANTS.append(Mutant(provider, frozenset(f"test_{name}" for name in names), says))
        return provider

    return add


# --- capabilities, scopes, offers ---


@fails("capabilities_are_possible", says="sizes must be some of cpu, memory, gpu")
class EnforcesWhatNobodyKnows(Rack):
    def capabilities(self):
        return replace(super().capabilities(), sizes=frozenset({"disk"}))


@fails("capabilities_are_possible", says="token_validity must be more than create_timeout")
class ForgetsTokensAtOnce(Rack):
    def capabilities(self):
        return replace(super().capabilities(), token_validity=0)


@fails("capabilities_are_constant", says="with a resource")
class ChangesItsMind(Rack):
    def capabilities(self):
        return replace(super().capabilities(), poll_interval=1 + len(self.world.machines))


@fails("scopes_stay", says="with a restart")
class NamesItsScopeAnew(Rack):
    async def scopes(self):
        self.mark = getattr(self, "mark", object())
        return [Scope(self.component, f"rack-{id(self.mark)}")]

    def _require(self, scope):
        if not scope.key.startswith("rack"):
            super()._require(scope)


@fails("offers_fit", says="cpu: 1 was asked for, and 0.5 is offered")
class OffersLess(Rack):
    async def offers(self, specification):
        return [replace(one, cpu=0.5) for one in await super().offers(specification)]


@fails("offers_fit", says="does not say why")
class KeepsItsReasons(Rack):
    async def offers(self, specification):
        free = await super().offers(specification)
        return [*free, Offer(free[0].scope, "full", availability=Availability.NO_CAPACITY)]


@fails("offers_refuse_the_impossible", says="for Specification(resource_type='container'")
class OffersEverything(Rack):
    async def offers(self, specification):
        return await super().offers(replace(specification, resource_type="virtual_machine"))


# --- create ---


@fails("create_does_not_wait", says="did not answer within")
class WaitsForReadiness(Rack):
    async def create(self, intent, keys):
        handle = await super().create(intent, keys)
        machine = self.world.machines[handle.id]
        while self.world.state(machine) is PENDING:
            await self.world.sleep(BOOT / 3)
        return handle


@fails("handle_can_be_stored", says="its data is not JSON-able")
class HandsOutObjects(Rack):
    def _handle(self, machine, scope):
        return Handle(machine.id, scope, data={"made": {machine.made}})


@fails("handle_can_be_stored", says="it has no endpoint")
class NamesNoAddress(Place):
    def _handle(self, machine, scope):
        return Handle(machine.id, scope)


@fails(
    "create_again_makes_no_second",
    "create_again_after_a_restart",
    "create_at_once_makes_one",
    "a_lost_answer_is_resolved",
    says="became m-",
)
class MakesTwo(Rack):
    async def _create(self, intent, keys):
        return await super()._create(replace(intent, token=object()), keys)


@fails("create_again_makes_no_second", says="became m-")
class TakesTheChildForAnother(Place):
    async def _create(self, intent, keys):
        handle = await super()._create(intent, keys)
        if self.world.machines[handle.id].running:
            return await super()._create(replace(intent, token="again"), keys)
        return handle


@fails("create_again_after_a_restart", says="became m-")
class RemembersTokensItself(Rack):
    async def _create(self, intent, keys):
        return await super()._create(replace(intent, token=(intent.token, self)), keys)


@fails("create_at_once_makes_one", says="resources")
class LooksBeforeItMakes(Rack):
    async def _create(self, intent, keys):
        known = [m for m in self.world.machines.values() if m.token == intent.token]
        if not known:
            await asyncio.sleep(0)
            self.world.make(replace(intent, token=object())).token = intent.token
        first = await super()._create(intent, keys)
        return replace(first, id=known[-1].id) if known else first


@fails("another_token_makes_another", says="the second attempt got")
class GoesByTheIntentAlone(Rack):
    async def _create(self, intent, keys):
        await self.world.ask()
        for machine in self.world.machines.values():
            if machine.intent_id == intent.id:
                return self._handle(machine, intent.offer.scope)
        return await super()._create(intent, keys)


@fails("a_lost_answer_is_resolved", says="the answer was lost, and told: Transient")
class TakesSilenceForRefusal(Rack):
    async def _create(self, intent, keys):
        try:
            return await super()._create(intent, keys)
        except OutcomeUnknown as error:
            raise Transient(str(error)) from error


# --- find, describe, list_owned ---


@fails("find_only_this_intent", says="of which nobody has heard")
class FindsByOwner(Rack):
    def _is_of(self, machine, intent):
        same = machine.installation == intent.installation_id
        return same and machine.user == intent.owner.user and self.world.state(machine) is not GONE


@fails("find_only_this_intent", says="for the intent of m-")
class FindsTheNeighbours(Rack):
    def _is_of(self, machine, intent):
        other = machine.installation != intent.installation_id
        there = self.world.state(machine) is not GONE
        return super()._is_of(machine, intent) or (other and there)


@fails("find_in_every_state", says="is not found while it is deleting")
class OverlooksWhatIsEnding(Rack):
    def _is_of(self, machine, intent):
        return super()._is_of(machine, intent) and machine.deleted is None


@fails("describe_until_ready", *SWITCHING, says="has no endpoint")
class IsReadyNowhere(Rack):
    async def describe(self, handle):
        return replace(await super().describe(handle), endpoint=None)


@fails("describe_until_ready", *STOPPING, says="it is pending")
class NeverIsReady(Rack):
    async def describe(self, handle):
        seen = await super().describe(handle)
        return Observation(PENDING) if seen.state is READY else seen


@fails("a_late_failure_says_why", says="Capacity is told as None")
class KeepsTheKindToItself(Rack):
    async def describe(self, handle):
        return replace(await super().describe(handle), error=None)


@fails("a_foreign_scope_proves_nothing", says="describe answered Observation(state=<ResourceState")
class LooksHereForWhatIsElsewhere(Rack):
    async def describe(self, handle):
        return await super().describe(replace(handle, scope=Scope("", "rack")))


@fails("a_foreign_scope_proves_nothing", says="list_owned answered []")
class ListsNothingElsewhere(Rack):
    async def list_owned(self, installation_id, scope):
        return await super().list_owned(installation_id, scope) if scope.key == "rack" else []


@fails("unreachable_proves_nothing", says="describe answered Observation(state=<ResourceState.GONE")
class TakesSilenceForAbsence(Rack):
    async def describe(self, handle):
        self._require(handle.scope)
        with contextlib.suppress(Transient):
            return await super().describe(handle)
        return Observation(GONE)


@fails("unreachable_proves_nothing", says="find answered []")
class FindsNothingInTheDark(Rack):
    async def find(self, intent, scope):
        self._require(scope)
        with contextlib.suppress(Transient):
            return await super().find(intent, scope)
        return []


@fails("unreachable_proves_nothing", says="delete answered None")
class DeletesIntoTheVoid(Rack):
    async def delete(self, handle):
        with contextlib.suppress(Transient):
            await super().delete(handle)


@fails("unreachable_proves_nothing", says="ConnectionRefusedError was raised")
class RaisesWhatItGets(Rack):
    async def list_owned(self, installation_id, scope):
        if self.world.down:
            raise ConnectionRefusedError(111, "no")
        return await super().list_owned(installation_id, scope)


@fails("refused_credentials_prove_nothing", says="describe answered Observation(state=<ResourceSt")
class TakesRefusalForAbsence(Rack):
    async def describe(self, handle):
        with contextlib.suppress(Unauthorized):
            return await super().describe(handle)
        return Observation(GONE)


@fails("refused_credentials_prove_nothing", says="delete raised NotFound")
class SaysNotFoundWhenRefused(Rack):
    async def delete(self, handle):
        try:
            await super().delete(handle)
        except Unauthorized as error:
            raise NotFound(str(error)) from error


@fails("list_is_complete", says="is missing, one of 5")
class ReadsThreePages(Rack):
    async def _paged(self, owned):
        return (await super()._paged(owned))[:6]


@fails(
    "list_is_complete",
    "list_is_never_partial",
    "resources_survive_a_restart",
    says="is missing, one of 5",
)
class ListsOnlyWhatIsReady(Rack):
    def _owned(self, machine, scope):
        owned = super()._owned(machine, scope)
        return [] if self.world.state(machine) is PENDING else owned


@fails("list_only_this_installation", says="is of another installation")
class ListsTheNeighbours(Rack):
    async def list_owned(self, installation_id, scope):
        listed = [*await super().list_owned(installation_id, scope)]
        for other in {m.installation for m in self.world.machines.values()} - {installation_id}:
            listed += await super().list_owned(other, scope)
        return listed


@fails("list_is_never_partial", says="list_owned answered [Owned(")
class TakesWhatItGot(Rack):
    async def _paged(self, owned):
        try:
            return await super()._paged(owned)
        except Transient:
            if self.world.break_lists:
                return owned[:2]
            raise


@fails(
    "resources_survive_a_restart",
    "what_is_stopped_is_seen_and_deleted",
    says="after a restart it is",
)
class TakesEverythingAlong(Rack):
    async def shutdown(self):
        for machine in self.world.machines.values():
            self.world.delete(machine)
            machine.volume = False


# --- delete, extend ---


@fails("delete_again_is_a_success", says="NotFound was raised: There is no such machine.")
class ComplainsOfWhatIsMissing(Rack):
    async def delete(self, handle):
        if (await self.describe(handle)).state is GONE:
            raise NotFound("There is no such machine.")
        await super().delete(handle)


@fails(
    "delete_ends_everything",
    "delete_can_be_cancelled",
    "create_can_be_cancelled",
    *ENDING,
    says="still listed",
)
class LeavesVolumes(Rack):
    async def delete(self, handle):
        machine = self.world.machines.get(handle.id)
        volume = machine and machine.volume
        await super().delete(handle)
        if machine:
            machine.volume = volume


@fails(
    "delete_ends_everything",
    "delete_can_be_cancelled",
    "another_token_makes_another",
    *ENDING,
    says="is still found",
)
class TakesAcceptedForGone(Rack):
    async def describe(self, handle):
        seen = await super().describe(handle)
        return Observation(GONE) if seen.state is DELETING else seen


@fails("delete_spares_the_next_generation", says="since m-")
class DeletesByName(Rack):
    async def delete(self, handle):
        await super().delete(handle)
        for machine in self.world.machines.values():
            if machine.user == handle.data["user"]:
                self.world.delete(machine)
                machine.volume = False


@fails("delete_spares_the_next_generation", says="ended with m-")
class EndsChildrenByName(Place):
    async def delete(self, handle):
        await super().delete(handle)
        for machine in self.world.machines.values():
            if machine.user == handle.data["user"]:
                machine.running = False


@fails(
    "delete_ends_everything",
    "delete_can_be_cancelled",
    "resources_survive_a_restart",
    says="what the child had started is running",
)
class LeavesTheChild(Place):
    async def delete(self, handle):
        running = handle.id in self.world.machines and self.world.machines[handle.id].running
        await super().delete(handle)
        if running:
            self.world.machines[handle.id].running = True


@fails("delete_spares_others", "another_token_makes_another", says="since m-")
class DeletesTheNewestAsWell(Rack):
    async def delete(self, handle):
        await super().delete(handle)
        others = [m for m in self.world.machines.values() if m.user != handle.data["user"]]
        for machine in others[-1:]:
            self.world.delete(machine)
            machine.volume = False


@fails("extend_moves_the_deadline", says="is written")
class MovesNothing(Rack):
    async def extend(self, handle, deadline):
        written = self.world.machines[handle.id].deadline
        await super().extend(handle, written)


@fails("extend_moves_the_deadline", says="claims to have moved the deadline of what is gone")
class MovesWhatIsGone(Rack):
    async def extend(self, handle, deadline):
        with contextlib.suppress(NotFound):
            await super().extend(handle, deadline)


# --- stop, start ---


@fails("capabilities_are_possible", says="stop_start needs stop, start and the storage keep")
class KeepsWithoutSayingSo(Rack):
    def capabilities(self):
        return replace(super().capabilities(), storage=(Storage.EPHEMERAL,))


@fails("stop_and_start_keep_it", says="its files were of its user, and now are")
class StartsFromTheImage(Rack):
    async def start(self, handle):
        await super().start(handle)
        self.world.machines[handle.id].files = ""


@fails(*SWITCHING, says="NotFound was raised: It does not run.")
class ComplainsOfWhatIsStopped(Rack):
    async def stop(self, handle):
        if (await self._there(handle)).stopped is not None:
            raise NotFound("It does not run.")
        await super().stop(handle)


@fails(*SWITCHING, "what_is_stopped_is_seen_and_deleted", says="does not become stopped")
class AcceptsAndDoesNothing(Rack):
    async def stop(self, handle):
        await self._there(handle)


@fails(
    *SWITCHING,
    "what_is_stopped_is_seen_and_deleted",
    says="it says that it is stopped, and the child runs",
)
class StopsAroundTheChild(Place):
    async def stop(self, handle):
        running = (await self._there(handle)).running
        await super().stop(handle)
        self.world.machines[handle.id].running = running


@fails("what_is_stopped_is_seen_and_deleted", says="stopped, it is listed as []")
class ListsNothingStopped(Rack):
    def _owned(self, machine, scope):
        owned = super()._owned(machine, scope)
        return [] if self.world.state(machine) is STOPPED else owned


@fails("what_is_gone_is_not_started", says="start claims to have been done with what is gone")
class StartsWhatIsGone(Rack):
    async def start(self, handle):
        with contextlib.suppress(NotFound):
            await super().start(handle)


@fails("stop_and_start_can_be_cancelled", says="start, cancelled at its wait number 1")
class SwallowsInStart(Rack):
    async def start(self, handle):
        try:
            await super().start(handle)
        except asyncio.CancelledError:
            await super().start(handle)


@fails("stop_and_start_can_be_cancelled", says="does not become ready")
class StartsInTwoSteps(Rack):
    """What was only begun looks as if it had been done."""

    async def start(self, handle):
        machine = await self._there(handle)
        if machine.stopped is not None:
            machine.stopped, machine.made = None, float("inf")
            await asyncio.sleep(0)
            machine.made = self.world.now


@fails("unreachable_proves_nothing", says="stop answered None")
class StopsIntoTheVoid(Rack):
    async def stop(self, handle):
        self._require(handle.scope)
        with contextlib.suppress(Transient):
            await super().stop(handle)


@fails("refused_credentials_prove_nothing", says="start answered None")
class TakesRefusalForStarted(Rack):
    async def start(self, handle):
        with contextlib.suppress(Unauthorized):
            await super().start(handle)


@fails("a_foreign_scope_proves_nothing", says="stop answered None")
class StopsHereWhatIsElsewhere(Rack):
    async def stop(self, handle):
        await super().stop(replace(handle, scope=Scope("", "rack")))


# --- children ---


@fails("child_traits_are_traits", says="has no trait memory_limit")
class GivesWhatNobodyTakes(Place):
    def child_traits(self, intent, handle):
        return {"memory_limit": 1}


@fails("child_traits_are_traits", says="TraitError was raised")
class GivesWhatDoesNotFit(Place):
    def child_traits(self, intent, handle):
        return {"port": "many"}


@fails("child_class_is_a_subclass", "child_traits_are_traits", says="became <class 'object'>")
class StartsSomethingElse(Place):
    def child_class(self, base):
        return object


@fails("what_the_child_made_is_seen", *STOPPING, says="the child runs, and it is pending")
class SeesNoChild(Place):
    async def describe(self, handle):
        seen = await super().describe(handle)
        return Observation(PENDING) if seen.state is READY else seen


# --- cancellation ---


@fails("create_can_be_cancelled", says="returned instead of ending")
class SwallowsInCreate(Rack):
    async def create(self, intent, keys):
        try:
            return await super().create(intent, keys)
        except asyncio.CancelledError:
            return self._handle(self.world.make(intent), intent.offer.scope)


@fails("the_rest_can_be_cancelled", says="describe, cancelled at its wait number 1")
class SwallowsInDescribe(Rack):
    async def describe(self, handle):
        try:
            return await super().describe(handle)
        except asyncio.CancelledError:
            return await super().describe(handle)


@fails("create_can_be_cancelled", says="is still found")
class MakesItBehind(Rack):
    """As a thread does that nobody waits for any more."""

    async def create(self, intent, keys):
        left = asyncio.Event()
        try:
            return await asyncio.shield(asyncio.ensure_future(self._late(intent, keys, left)))
        except asyncio.CancelledError:
            left.set()
            raise

    async def _late(self, intent, keys, left):
        began = self.world.now
        await asyncio.sleep(0)
        while left.is_set() and self.world.now < began + 0.2:
            await asyncio.sleep(0)
        return await self._create(intent, keys)


@fails("create_can_be_cancelled", says="this was left behind: ['m-")
class TagsAfterwards(Rack):
    async def create(self, intent, keys):
        await self.world.ask()
        machine = self.world.make(intent)
        machine.installation = machine.intent_id = None
        await self.world.answer()
        machine.installation, machine.intent_id = intent.installation_id, intent.id
        return self._handle(machine, intent.offer.scope)


@fails("delete_can_be_cancelled", says="still listed")
class DeletesInTwoSteps(Rack):
    """What was only begun looks as if it had been done."""

    async def delete(self, handle):
        self._require(handle.scope)
        await self.world.ask()
        machine = self.world.machines.get(handle.id)
        if machine is not None and machine.deleted is None:
            self.world.delete(machine)
            await asyncio.sleep(0)
            machine.volume = False


@fails("the_child_s_start_can_be_cancelled", says="was deleted and still is ready")
class EndsOnlyWhatHasStarted(Place):
    async def delete(self, handle):
        machine = self.world.machines.get(handle.id)
        if machine is None or machine.started or not machine.running:
            await super().delete(handle)


# --- what it does to its hub ---


def nap(provider):
    """Only where it is looked for: a client library that is slow is slow in every check."""
    if "blocking" in str(provider.state_dir):
        time.sleep(0.45)


@fails("the_loop_is_never_blocked", says="in nap; ")
class SleepsOnTheLoop(Rack):
    async def list_owned(self, installation_id, scope):
        nap(self)
        return await super().list_owned(installation_id, scope)


@fails("the_loop_is_never_blocked", says="startup held up the loop")
class StartsSlowly(Rack):
    async def startup(self):
        nap(self)


@fails("the_loop_is_never_blocked", says="delete held up the loop")
class SleepsBehind(Rack):
    """Not in the coroutine that is awaited, but in the same loop."""

    async def delete(self, handle):
        asyncio.get_running_loop().call_soon(nap, self)
        await super().delete(handle)


@fails("the_loop_is_never_blocked", says="stop held up the loop")
class SleepsInStop(Rack):
    async def stop(self, handle):
        nap(self)
        await super().stop(handle)


@fails("no_secret_is_shown", says="Unauthorized of start while unauthorized shows a secret")
class NamesItsTokenInStart(Rack):
    async def start(self, handle):
        try:
            await super().start(handle)
        except Unauthorized as error:
            raise Unauthorized(f"{self.api_token} was refused") from error


@fails("no_secret_is_shown", says="the log shows a secret")
class LogsKeys(Rack):
    async def _create(self, intent, keys):
        self.log.debug("user data: %s", keys.user_data)
        return await super()._create(intent, keys)


@fails("no_secret_is_shown", says="the handle as JSON shows a secret")
class StoresKeys(Rack):
    async def _create(self, intent, keys):
        handle = await super()._create(intent, keys)
        return replace(handle, data={**handle.data, "user_data": keys.user_data})


@fails("no_secret_is_shown", says="Unauthorized of find while unauthorized shows a secret")
class NamesItsToken(Rack):
    async def find(self, intent, scope):
        try:
            return await super().find(intent, scope)
        except Unauthorized as error:
            raise Unauthorized(f"{self.api_token} was refused") from error


@fails("no_secret_is_shown", says="which others can read, shows a secret")
class LeavesItsTokenLying(Rack):
    async def startup(self):
        path = self.state_dir / "token"
        path.write_text(self.api_token)
        path.chmod(0o644)
