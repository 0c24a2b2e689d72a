"""The two files change while a real hub runs."""

from __future__ import annotations

import json

import pytest
from harness import wait_for
from site_fixture import DEPLOYMENTS, TEMPLATES, phases

pytestmark = pytest.mark.hub

OTHER = {"bare_metal": [{"name": "other", "provider": "local"}]}

WITH_HANDLER = """
from jupyterhub.apihandlers import APIHandler, default_handlers
from jupyterhub.spawner import SimpleLocalProcessSpawner


class Told(APIHandler):
    def get(self):
        self.finish({"told": True})


class CampusSpawner(SimpleLocalProcessSpawner):
    pass


default_handlers.append((r"/api/told", Told))
"""

EXTENDED = "c.MultipleSpawner.component_classes = {'spawner': ['campus.CampusSpawner']}\n"


def write(hub, templates=TEMPLATES, deployments=DEPLOYMENTS):
    (hub.folder / "spawner_templates.json").write_text(json.dumps(templates))
    (hub.folder / "spawner_deployment.json").write_text(json.dumps(deployments))


@pytest.mark.essential
def test_a_server_whose_template_was_renamed_runs_on_and_can_be_stopped(site):
    hub = site()
    hub.client.start("ada")
    write(hub, [{**TEMPLATES[0], "name": "renamed"}], OTHER)
    hub.client.start("bob", {"deployment": "other"})
    hub.client.ensure_user("eve")
    answer = hub.client.try_start("eve", {"deployment": "local_machine"})
    assert answer.status_code == 400
    assert "'local_machine' is not offered; allowed: other" in answer.text
    assert not hub.client.is_stopped("ada")
    hub.kill()
    hub.start()
    assert not hub.client.is_stopped("ada")
    hub.client.stop("ada")
    hub.client.stop("bob")
    wait_for(lambda: phases(hub) == ["closed", "closed"], "both are given back")
    assert not hub.server_processes()


def test_a_broken_edit_changes_nothing_and_is_said_once(site):
    hub = site()
    (hub.folder / "spawner_templates.json").write_text("[{")
    for user in ("ada", "bob"):
        hub.client.start(user)
        hub.client.stop(user)
    assert hub.log.count("the change is not taken over; the last good one stays") == 1


def test_a_class_that_brings_handlers_answers_when_it_is_there_from_the_start(site):
    campus = [{**TEMPLATES[0], "spawner": {"class": "campus.CampusSpawner"}}]
    hub = site(
        "sys.path.insert(0, str(Path.cwd()))\n" + EXTENDED,
        templates=campus,
        more_files={"campus.py": WITH_HANDLER},
    )
    assert hub.client.http.get("/told").json() == {"told": True}
    hub.client.start("ada")
    hub.client.stop("ada")


def test_a_class_that_brings_handlers_is_refused_while_the_hub_runs(site):
    hub = site(
        "sys.path.insert(0, str(Path.cwd()))\n" + EXTENDED,
        more_files={"campus.py": WITH_HANDLER},
    )
    # The first edit is wrong for another reason as well, and imports the class nevertheless.
    for more in ({"colour": "red"}, {"name": "two"}):
        write(hub, [{**TEMPLATES[0], "spawner": {"class": "campus.CampusSpawner"}, **more}])
        hub.client.start("ada")
        hub.client.stop("ada")
    said = "CampusSpawner must be there when the hub starts: restart needed"
    assert hub.log.count(said) == 2
    write(hub, [{**TEMPLATES[0], "name": "three"}])
    hub.client.start("ada")
    hub.client.stop("ada")


NOTHING_TO_SET = {"cpu": None, "memory": None, "gpu": None, "lifetime": {"min": 60, "max": 60}}


@pytest.mark.essential
def test_a_query_that_is_no_option_starts_nothing_where_there_is_no_form(site):
    hub = site(templates=[{**TEMPLATES[0], "limits": NOTHING_TO_SET}])
    opt = "opt-" if hub.client.version() >= (6,) else ""
    page = hub.session("ada").get("/hub/spawn", params={f"{opt}cpu": "many"})
    assert page.status_code == 400
    assert "Error: cpu: &#39;many&#39; is no number." in page.text
    assert hub.client.is_stopped("ada")
    assert not phases(hub)


def test_where_there_is_nothing_to_choose_there_is_no_form(site):
    limits = NOTHING_TO_SET
    hub = site(templates=[{**TEMPLATES[0], "limits": limits}])
    session = hub.session("ada")
    page = session.spawn_form()
    assert "multiplespawner-choice" not in page.text
    hub.client.wait_until_running("ada")
    hub.client.stop("ada")
    # What JupyterHub stored is not offered any more: the form is there, and a start repairs it.
    write(hub, [{**TEMPLATES[0], "limits": limits}], OTHER)
    hub.client.try_start("ada", {"deployment": "local_machine"})
    page = session.spawn_form()
    assert "multiplespawner-choice" in page.text
