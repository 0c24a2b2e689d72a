"""The rules of the small cloud, one by one."""

from __future__ import annotations

import json
import random

import pytest
from testing.parts import CALM, Clock

from multiplespawner_core.testing.cloud import Call, Cloud, Fault, FaultKind, Instance, Settings

LONG = 100


def test_an_instance_runs_and_is_terminated_with_what_depends_on_it(site):
    vm = site.id_of()
    assert site.state(vm) == "PROVISIONING"
    site.after(LONG)
    assert site.state(vm) == "RUNNING"
    assert site.ask("get", id=vm).body["instance"]["address"]["host"].startswith("192.0.2.")
    assert len(site.list("list_dependents")) == 2
    assert site.ask("terminate", id=vm).status == 200
    assert site.state(vm) == "TERMINATING"
    site.after(LONG)
    assert site.state(vm) == "TERMINATED"
    assert site.list("list_dependents") == []
    assert site.cloud.live() == []


def test_an_instance_is_stopped_and_started(site):
    vm = site.id_of()
    assert site.ask("stop", id=vm).body["code"] == "IncorrectState"
    site.after(LONG)
    site.ask("stop", id=vm)
    assert site.state(vm) == "STOPPING"
    site.after(LONG)
    assert site.state(vm) == "STOPPED"
    assert site.ask("get", id=vm).body["instance"]["address"] is None
    site.ask("start", id=vm)
    assert site.state(vm) == "STARTING"
    site.after(LONG)
    assert site.state(vm) == "RUNNING"


def test_a_token_stands_for_one_instance_while_it_is_valid(site):
    vm = site.id_of("t")
    assert site.id_of("t") == vm
    refused = site.create("t", name="another")
    assert (refused.status, refused.body["code"]) == (409, "InvalidatedRetryToken")
    assert site.create("t", scope="south").status == 409
    site.after(site.cloud.settings.token_validity)
    assert site.id_of("t") != vm


def test_the_token_of_what_was_terminated_is_refused(site):
    vm = site.id_of("t")
    site.ask("terminate", id=vm)
    assert site.create("t").body["code"] == "InvalidatedRetryToken"


def test_lists_lag_and_then_are_complete(site_with):
    site = site_with(lag=10.0)
    made = {site.id_of(f"t{n}") for n in range(50)}
    site.after(5)
    seen = {one["id"] for one in site.list()}
    assert set() < seen < made
    site.after(5)
    assert {one["id"] for one in site.list()} == made


def test_two_reads_may_go_back_in_time(site_with):
    site = site_with(lag=10.0)
    vm = site.id_of()
    site.after(5)
    statuses = [site.ask("get", id=vm).status for _ in range(40)]
    assert "200 404" in " ".join(map(str, statuses))


def test_a_list_has_pages_and_the_first_is_empty(site_with):
    site = site_with(page=2)
    made = [site.id_of(f"t{n}") for n in range(5)]
    first = site.ask("list").body
    assert (first["instances"], first["next"]) == ([], "")
    second = site.ask("list", page="").body
    assert len(second["instances"]) == 2
    assert sorted(one["id"] for one in site.list()) == sorted(made)


def test_a_list_is_of_one_scope_and_selects_by_name(site):
    site.id_of("a", name="x")
    site.id_of("b", name="y")
    site.id_of("c", scope="south", name="x")
    assert [one["name"] for one in site.list(name="x")] == ["x"]
    assert len(site.list()) == 2


def test_what_was_terminated_is_shown_for_a_while(site):
    vm = site.id_of()
    site.ask("terminate", id=vm)
    site.after(LONG)
    assert [one["state"] for one in site.list()] == ["TERMINATED"]
    site.after(site.cloud.settings.retention)
    assert site.list() == []
    assert site.ask("get", id=vm).status == 404
    assert site.ask("terminate", id=vm).status == 404


def test_quota_counts_until_terminated_and_capacity_while_it_runs(site_with):
    bounds = {"north": {"small": 1}}
    of_quota, of_capacity = site_with(quotas=bounds), site_with(capacity=bounds)
    for site, said in ((of_quota, "QuotaExceeded"), (of_capacity, "InternalError")):
        vm = site.id_of("a")
        assert site.create("b").body["code"] == said
        assert site.create("c", shape="large").status == 200
        assert site.create("d", scope="south").status == 200
        availability = site.ask("shapes").body["shapes"][0]["availability"]
        assert availability == ("NO_QUOTA" if site is of_quota else "NO_CAPACITY")
        site.after(LONG)
        site.ask("stop", id=vm)
        site.after(LONG)
        assert (site.create("e").status == 200) == (site is of_capacity)
    assert of_capacity.ask("start", id=vm).body["message"] == "Out of host capacity."


def test_throttling_says_when_to_come_back(site_with):
    site = site_with(rate=1.0, burst=2)
    assert [site.ask("list").status for _ in range(3)] == [200, 200, 429]
    refused = site.ask("list")
    assert refused.retry_after == pytest.approx(1.0)
    site.after(refused.retry_after)
    assert site.ask("list").status == 200


def test_the_meter_counts_seconds_until_everything_is_gone(site):
    vm = site.id_of(tags={"multiplespawner-intent": "me"})
    site.after(10)
    reading = site.cloud.meter()
    assert reading.by_id[vm] == pytest.approx(10)
    assert reading.total == reading.by_intent["me"] == pytest.approx(30)
    assert len(reading.running) == 3
    site.ask("stop", id=vm)
    site.after(LONG)
    before = site.cloud.meter()
    site.after(LONG)
    assert site.cloud.meter().total - before.total == pytest.approx(2 * LONG)
    site.ask("terminate", id=vm)
    site.after(LONG)
    before = site.cloud.meter()
    site.after(LONG)
    assert site.cloud.meter().total == before.total
    assert before.running == frozenset()


def test_what_is_left_behind_costs_until_it_is_deleted(site):
    site.cloud.add_fault(Fault(FaultKind.STRAND, "terminate"))
    vm = site.id_of()
    assert site.ask("delete_dependent", id=site.list("list_dependents")[0]["id"]).status == 409
    site.ask("terminate", id=vm)
    site.after(LONG)
    left = site.list("list_dependents")
    assert [one["state"] for one in left] == ["LEFT", "LEFT"]
    assert len(site.cloud.meter().running) == 2
    for one in left:
        assert site.ask("delete_dependent", id=one["id"]).status == 200
    assert site.cloud.meter().running == frozenset()


def test_an_end_comes_when_it_is_due_and_not_when_somebody_looks(site):
    vm = site.id_of()
    site.ask("terminate", id=vm)
    site.clock.now += 10_000
    assert site.cloud.meter().by_id[vm] <= site.cloud.settings.terminating[1]


def test_tags_are_changed(site):
    vm = site.id_of(tags={"a": "1"})
    site.ask("tag", id=vm, tags={"b": "2"})
    assert site.list()[0]["tags"] == {"a": "1", "b": "2"}


def test_user_data_is_never_shown(site):
    site.id_of(user_data={"secret": "canary"})
    site.after(LONG)
    assert "canary" not in json.dumps([site.list(), site.list("list_dependents")])
    assert "canary" not in repr(site.cloud.records())


@pytest.mark.parametrize(
    "asked",
    [
        ("get", "west", {"id": "x"}),
        ("get", "north", {"id": "x"}),
        ("stop", "north", {}),
        ("fly", "north", {}),
        ("handle", "north", {}),
    ],
)
def test_what_there_is_not_is_not_found(site, asked):
    assert site.cloud.handle(Call(*asked)).status == 404


def test_a_request_without_token_or_with_an_unknown_shape_is_refused(site):
    assert site.create("").status == site.create(shape="vast").status == 400


class TestFaults:
    def test_refuse_the_nth_call(self, site):
        site.cloud.add_fault(Fault(FaultKind.REFUSE, "list", nth=2, error="internal"))
        assert [site.ask("list").status for _ in range(3)] == [200, 500, 200]
        assert site.cloud.faults.fired["refuse"] == 1

    def test_everything_is_refused_for_a_while(self, site):
        site.cloud.add_fault(Fault.everything("unauthorized", seconds=5))
        assert [site.ask(m).status for m in ("list", "get", "shapes")] == [401, 401, 401]
        site.after(5)
        assert site.ask("list").status == 200

    def test_in_one_scope_and_by_argument(self, site):
        site.cloud.add_fault(Fault.everything("not_found", scope="south"))
        site.cloud.add_fault(
            Fault(FaultKind.REFUSE, "create", when=lambda given: given["name"] == "bad")
        )
        assert site.ask("list").status == 200
        assert site.ask("list", "south").status == 404
        assert site.create("a").status == 200
        assert site.create("b", name="bad").status == 500

    def test_throttled_with_a_time(self, site):
        site.cloud.add_fault(Fault(FaultKind.REFUSE, error="throttled", delay=7))
        assert site.ask("list").retry_after == 7

    def test_the_answer_is_lost_after_it_was_accepted(self, site):
        site.cloud.add_fault(Fault(FaultKind.DROP, "create"))
        assert site.create().lost
        assert len(site.list()) == 1

    def test_answers_are_lost_by_chance(self, tmp_path):
        cloud = Cloud(clock=Clock(), rng=random.Random(1))
        lost = [cloud.handle(Call("shapes", "north")).lost for _ in range(500)]
        assert 1 <= sum(lost) <= 50
        assert cloud.faults.fired["lost"] == sum(lost)

    def test_held_and_delayed(self, site):
        call = Call("list", "north")
        site.cloud.add_fault(Fault(FaultKind.HOLD, "list", delay=3))
        site.cloud.add_fault(Fault(FaultKind.DELAY, "list", delay=4))
        assert [site.cloud.hold(call), site.cloud.handle(call).delay] == [3, 4]
        assert [site.cloud.hold(call), site.cloud.handle(call).delay] == [0, 0]

    def test_accepted_twice(self, site):
        site.cloud.add_fault(Fault(FaultKind.TWICE, "create"))
        vm = site.id_of()
        assert len(site.list()) == 2
        assert site.id_of() == vm

    def test_accepted_and_failed_later(self, site):
        site.cloud.add_fault(Fault(FaultKind.FAIL_LATER, "create"))
        vm = site.id_of()
        site.after(LONG)
        assert site.ask("get", id=vm).body["instance"]["reason"] == "The machine did not come up."
        assert site.state(vm) == "FAILED"
        assert vm in site.cloud.meter().running

    def test_a_delete_is_ignored_once(self, site):
        vm = site.id_of()
        site.cloud.add_fault(Fault(FaultKind.IGNORE, "terminate"))
        assert site.ask("terminate", id=vm).status == 200
        assert site.state(vm) == "PROVISIONING"
        site.ask("terminate", id=vm)
        assert site.state(vm) == "TERMINATING"

    def test_only_what_it_can_happen_to_is_hit(self, site):
        site.cloud.add_fault(Fault(FaultKind.IGNORE))
        vm = site.id_of()
        assert site.list()[0]["id"] == vm
        assert site.cloud.faults.fired["ignore"] == 0
        site.ask("terminate", id=vm)
        assert site.cloud.faults.fired["ignore"] == 1
        assert site.state(vm) == "PROVISIONING"

    def test_down(self, site):
        call = Call("list", "north")
        assert not site.cloud.is_down(call)
        site.cloud.add_fault(Fault.outage(5))
        assert site.cloud.is_down(call)
        assert site.cloud.faults.down_until(site.clock.now) == site.clock.now + 5
        site.after(5)
        assert not site.cloud.is_down(call)

    def test_cleared(self, site):
        site.cloud.add_fault(Fault.everything("internal"))
        site.cloud.faults.clear()
        assert site.ask("list").status == 200

    def test_by_json(self):
        fault = Fault(FaultKind.REFUSE, "create", nth=2, times=None, seconds=3, error="quota")
        assert Fault.from_json(json.loads(json.dumps(fault.to_json()))) == fault
        for wrong in ({"kind": "explode"}, {"kind": "drop", "where": "x"}):
            with pytest.raises((TypeError, ValueError)):
                Fault.from_json(wrong)


def test_it_goes_on_from_its_records(site):
    first, second = site.id_of("a", tags={"multiplespawner-intent": "me"}), site.id_of("b")
    site.after(LONG)
    site.ask("terminate", id=second)
    told = json.loads(json.dumps([one.to_json() for one in site.cloud.records()]))
    before = site.cloud.meter()
    again = Cloud(
        CALM, clock=site.clock, rng=random.Random(7), records=map(Instance.from_json, told)
    )
    assert again.records() == site.cloud.records()
    assert again.meter() == before
    site.cloud = again
    assert site.id_of("a", tags={"multiplespawner-intent": "me"}) == first
    assert site.id_of("c") not in (first, second)
    site.after(LONG)
    assert site.state(second) == "TERMINATED"


def test_the_same_seed_is_the_same_cloud(site_with):
    def run(site):
        for n in range(20):
            site.id_of(f"t{n}")
            site.after(0.3)
        return [site.ask("list", page="").body, site.cloud.records()]

    assert run(site_with(lag=3.0)) == run(site_with(lag=3.0))


def test_settings_by_json():
    settings = Settings(quotas={"north": {"small": 3}}, rate=2.0)
    told = json.loads(json.dumps(settings.to_json()))
    assert Settings.from_json(told) == settings
    assert Settings.from_json({"lag": 0.0}, settings) == Settings(
        quotas={"north": {"small": 3}}, rate=2.0, lag=0.0
    )
    with pytest.raises(TypeError):
        Settings.from_json({"leg": 0.0})
