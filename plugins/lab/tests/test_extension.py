"""The extension in a real Jupyter Server, asked as JupyterLab asks it."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import pytest
from lab_parts import TOKEN, FakeHub, Server, in_minutes, said, warn
from multiplespawner_lab.extension import MultipleSpawnerLab
from multiplespawner_lab.lifetime import Lifetime
from traitlets import TraitError
from traitlets.config import Config


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A hub that answers, and a server that has asked nothing yet."""
    with FakeHub() as hub:
        hub.answer = said(in_minutes(60), latest_end=in_minutes(90))
        folder = tmp_path_factory.mktemp("running")
        with Server(folder, "jupyter_server", hub, *warn(2, 10.5)) as server:
            yield hub, server


@pytest.mark.slow
def test_a_stranger_is_told_nothing(running):
    hub, server = running
    assert server.http.get("multiplespawner-lab/lifetime").status_code == 403
    assert hub.requests == []


@pytest.mark.slow
def test_it_answers_what_the_hub_says(running):
    hub, server = running
    answer = server.get()
    assert answer.status_code == 200, server.log
    assert answer.headers["Content-Type"].startswith("application/json")
    found = answer.json()
    now = datetime.fromisoformat(found.pop("now").replace("Z", "+00:00"))
    assert abs((now - in_minutes(0)).total_seconds()) < 20
    assert found == {
        "lifetime": hub.answer,
        "warn_minutes": [10.5, 2],
        "extend_url": "/hub/home#multiplespawner-ends",
        "ask_again": 300,
    }
    assert TOKEN not in answer.text
    assert TOKEN not in str(answer.headers)
    assert TOKEN not in server.log


@pytest.mark.slow
def test_a_page_that_asks_keeps_no_idle_server_alive(running):
    _, server = running
    before = server.get("api/status").json()["last_activity"]
    assert server.get().status_code == 200
    assert server.get("api/status").json()["last_activity"] == before
    assert server.get("api/contents").status_code == 200
    assert server.get("api/status").json()["last_activity"] > before


@pytest.mark.slow
def test_a_hub_that_fails_is_a_bad_gateway(start_server, fake_hub):
    fake_hub.answer = 500
    server = start_server("jupyter_server", fake_hub)
    answer = server.get()
    assert answer.status_code == 502
    assert answer.json()["message"] == "The hub answered 500."
    assert TOKEN not in answer.text + server.log


@pytest.mark.slow
def test_without_a_hub_it_is_silent(start_server):
    found = start_server("jupyter_server", None).get().json()
    assert (found["lifetime"], found["extend_url"], found["ask_again"]) == (None, None, 900)


def ask_again(lifetime, now="2026-01-01T10:00:00Z"):
    times = {"ends_at": lifetime, "latest_end": lifetime}
    extension = MultipleSpawnerLab(config=Config(MultipleSpawnerLab={"warn_minutes": [15, 1]}))
    at = Lifetime.parse({"ends_at": now}).ends_at
    return extension._ask_again(Lifetime.parse(times), at)


@pytest.mark.parametrize(
    ("ends_at", "seconds"),
    [
        (None, 300),
        ("2026-01-02T10:00:00Z", 300),
        ("2026-01-01T10:23:00Z", 240),
        ("2026-01-01T10:16:30Z", 45),
        ("2026-01-01T10:15:30Z", 30),
        ("2026-01-01T10:01:00Z", 30),
        ("2026-01-01T09:00:00Z", 30),
    ],
)
def test_the_nearer_the_end_the_sooner_it_is_asked_again(ends_at, seconds):
    assert ask_again(ends_at) == seconds


@pytest.mark.parametrize("wrong", [[], [-1], ["soon"], 5])
def test_times_that_cannot_be_are_refused(wrong):
    with pytest.raises(TraitError):
        MultipleSpawnerLab(config=Config(MultipleSpawnerLab={"warn_minutes": wrong}))


def test_neither_the_core_nor_jupyterhub_is_imported():
    code = (
        "import sys, multiplespawner_lab.extension;"
        "print([name for name in ('jupyterhub', 'multiplespawner_core') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
