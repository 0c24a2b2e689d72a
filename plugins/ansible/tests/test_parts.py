"""Masking, files, facts, turns, and what is told of Ansible's events."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiplespawner_ansible import files
from multiplespawner_ansible.facts import digest
from multiplespawner_ansible.masking import Mask
from multiplespawner_ansible.turns import Turns
from multiplespawner_ansible.worker import Follower

from multiplespawner_core import ConfigurationError


@settings(derandomize=True, max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=5).filter(str.strip))
def test_a_secret_shows_in_no_spelling(secret):
    mask = Mask({"deep": [{"db_password": secret}]})
    for text in (secret, json.dumps({"x": secret}), repr([secret]), f"{secret}{secret}"):
        assert secret not in mask(f"it is {text}.")


@pytest.mark.parametrize(
    "name",
    ["password", "ansible_become_pass", "API_TOKEN", "client_secret", "apikey", "ssh_passphrase"],
)
def test_these_names_are_of_secrets(name):
    assert Mask({name: "sesame"})("open sesame") == "open ..."


@pytest.mark.parametrize("name", ["auth_key", "ansible_ssh_private_key_file", "passenger"])
def test_these_are_not(name):
    assert Mask({name: "sesame"})("open sesame") == "open sesame"


def test_lines_of_a_secret_are_secret_as_well():
    assert Mask({"token": "first line\nsecond line"})("saw second line") == "saw ..."


def test_a_line_is_one_and_not_long():
    line = Mask({}).line("a\nb\r\n  c" + "d" * 1000)
    assert line.startswith("a b cdd")
    assert len(line) <= 600


def test_the_administrator_s_playbook_comes_first(tmp_path):
    assert files.playbook("setup_ssh_spawner.yml", tmp_path).parent == files.SHIPPED
    own = tmp_path / "setup_ssh_spawner.yml"
    own.touch()
    assert files.playbook("setup_ssh_spawner.yml", tmp_path) == own


def test_only_names_are_looked_for_among_the_shipped(tmp_path):
    with pytest.raises(ConfigurationError, match="nor is one shipped"):
        files.playbook("../playbooks/setup_ssh_spawner.yml", tmp_path)


def test_what_decides_makes_another_digest(tmp_path):
    playbook, role = tmp_path / "a.yml", tmp_path / "roles/r/tasks/main.yml"
    role.parent.mkdir(parents=True)
    seen = set()
    for text in ("one", "two"):
        for of_role in ("one", "two"):
            for variables in ({}, {"x": 1}):
                playbook.write_text(text)
                role.write_text(of_role)
                seen.add(digest(variables, [playbook]))
    assert len(seen) == 8
    assert digest({"x": 1}, [playbook]) in seen


async def test_so_many_run_at_once_in_order():
    turns, running, most, order, waited = Turns(), 0, 0, [], []

    async def work(number):
        nonlocal running, most
        async with turns.turn(2, waited.append):
            order.append(number)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*map(work, range(6)))
    assert (most, order, waited) == (2, [*range(6)], [0, 1, 2, 3])


async def test_whoever_gives_up_waiting_takes_no_turn():
    turns, began = Turns(), []

    async def work(name, gate):
        async with turns.turn(1, lambda _: None):
            began.append(name)
            await gate.wait()

    gates = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.ensure_future(work(n, gate)) for n, gate in enumerate(gates)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    gates[0].set()
    gates[2].set()
    await asyncio.gather(tasks[0], tasks[2])
    assert began == [0, 2]


async def test_a_turn_that_is_given_while_it_is_given_up_goes_to_the_next():
    turns = Turns()
    first = turns.turn(1, lambda _: None)
    await first.__aenter__()

    async def work():
        async with turns.turn(1, lambda _: None):
            return "done"

    second, third = asyncio.ensure_future(work()), asyncio.ensure_future(work())
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)  # it is the second's turn now
    second.cancel()
    assert await asyncio.wait_for(third, 5) == "done"


def told_of(kind, **data):
    stream = io.StringIO()
    Follower(stream).event({"event": kind, "event_data": data})
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_loop_tells_of_the_item_that_failed():
    results = [{"msg": "fine"}, {"failed": True, "msg": "no room", "stderr": "disk full"}]
    res = {"msg": "One or more items failed", "results": results}
    (told,) = told_of("runner_on_failed", host="h", task="t", res=res)
    assert told["failed"] == {"host": "h", "task": "t", "message": "no room disk full"}


def test_what_is_ignored_is_no_failure():
    assert told_of("runner_on_failed", host="h", task="t", res={}, ignore_errors=True) == []


def test_what_no_log_hides_stays_hidden():
    res = {"censored": "the output has been hidden", "msg": "sesame"}
    (told,) = told_of("runner_on_failed", host="h", task="t", res=res)
    assert told["failed"]["message"] == "what it says is hidden (no_log)"


def test_of_a_terminal_the_end_is_told():
    res = {
        "msg": "non-zero return code",
        "stdout": "1\n2\n3\nno room\n",
        "stderr": "Shared connection to 127.0.0.1 closed.\n",
    }
    (told,) = told_of("runner_on_failed", host="h", task="t", res=res)
    assert told["failed"]["message"] == "non-zero return code 2 3 no room"
