"""Standing before JupyterHub's home page: in both environments, and never in its way."""

from __future__ import annotations

from types import SimpleNamespace

import jinja2
import pytest

from multiplespawner_core.contracts import Owner
from multiplespawner_core.web import home as home_module
from multiplespawner_core.web.home import Home, duration

PAGE = "<html>{% block main %}JupyterHub's{% endblock %}</html>"
ADA = SimpleNamespace(name="ada", spawners={})
STRANDED = {
    "eve": [SimpleNamespace(owner=Owner("eve")), SimpleNamespace(owner=Owner("eve", "lab"))]
}
MANAGER = SimpleNamespace(stranded=lambda user: STRANDED.get(user, ()), kept=lambda _: ())
RUNTIME = SimpleNamespace(manager=MANAGER)


def environment(*, templates=None, **options):
    return jinja2.Environment(
        loader=jinja2.DictLoader({"home.html": PAGE} if templates is None else templates),
        autoescape=True,
        **options,
    )


def installed(*, sync=None, asynchronous=None):
    home = Home(RUNTIME)
    settings = {
        "jinja2_env": asynchronous or environment(enable_async=True),
        "jinja2_env_sync": sync or environment(),
    }
    home.install(settings)
    return home, settings


def names(user=ADA):
    return {"user": user, "base_url": "/hub/", "xsrf": "x"}


async def test_both_environments_render_it():
    home, settings = installed()
    home.tell("ada", "one", good=True)
    text = settings["jinja2_env_sync"].get_template("home.html").render(names())
    assert "JupyterHub's" in text
    assert "one" in text
    home.tell("ada", "two", good=True)
    text = await settings["jinja2_env"].get_template("home.html").render_async(names())
    assert "JupyterHub's" in text
    assert "two" in text


def test_where_there_is_nothing_to_show_the_page_is_as_it_was():
    _, settings = installed()
    text = settings["jinja2_env_sync"].get_template("home.html").render(names())
    assert "".join(text.split()) == "<html>JupyterHub's</html>"


def test_other_pages_are_as_they_were():
    templates = {"home.html": PAGE, "page.html": "page", "templates/home.html": "original"}
    _, settings = installed(sync=environment(templates=templates))
    for name in ("page.html", "templates/home.html"):
        assert settings["jinja2_env_sync"].get_template(name).render() == templates[name]


@pytest.mark.parametrize(
    "templates", [{}, {"home.html": "{% endblock %}"}], ids=["missing", "broken"]
)
def test_a_page_before_which_none_can_stand_is_left_alone(templates, caplog):
    sync = environment(templates=templates)
    before = sync.loader
    _, settings = installed(sync=sync)
    assert sync.loader is before
    assert "cannot show when servers end (jinja2_env_sync)" in caplog.text
    assert settings["jinja2_env"].loader is not before


@pytest.mark.parametrize("settings", [{}, {"jinja2_env": None, "jinja2_env_sync": object()}])
def test_a_hub_without_such_environments_runs_on(settings, caplog):
    Home(RUNTIME).install(settings)
    assert "cannot show when servers end (jinja2_env)" in caplog.text


@pytest.mark.parametrize("user", [None, SimpleNamespace(name="ada", spawners=None)])
def test_a_defect_of_ours_does_not_break_the_page(user, caplog):
    _, settings = installed()
    text = settings["jinja2_env_sync"].get_template("home.html").render(names(user))
    assert "JupyterHub's" in text
    assert "the home page cannot show when servers end" in caplog.text


def test_texts_are_escaped_also_where_the_administrator_turned_that_off():
    sync = jinja2.Environment(loader=jinja2.DictLoader({"home.html": PAGE}), autoescape=False)
    home, _ = installed(sync=sync)
    home.tell("ada", "<script>alert(1)</script>", good=False)
    text = sync.get_template("home.html").render(names())
    assert "&lt;script&gt;alert(1)" in text
    assert "alert(1)</script>" not in text


def test_nothing_undefined_is_used():
    sync = environment(undefined=jinja2.StrictUndefined)
    home, _ = installed(sync=sync)
    home.tell("ada", "told", good=True)
    assert "told" in sync.get_template("home.html").render(names())


def test_an_outcome_is_told_once_to_its_user_and_only_while_it_is_news(monkeypatch):
    home, _ = installed()
    home.tell("ada", "moved", good=True)
    assert home.ends(SimpleNamespace(name="bob", spawners={})).outcome is None
    assert home.ends(ADA).outcome.text == "moved"
    assert home.ends(ADA).outcome is None
    home.tell("ada", "moved", good=True)
    monkeypatch.setattr(home_module, "_NEWS", -1)
    assert home.ends(ADA).outcome is None


def test_what_was_stopped_and_may_still_run_is_told():
    _, settings = installed()
    page = settings["jinja2_env_sync"].get_template("home.html")
    text = page.render(names(SimpleNamespace(name="eve", spawners={})))
    for server in ("My Server", "lab"):
        assert f"{server} was stopped, but may still run: the hub lacks" in text


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (-5, "less than 1 min"),
        (0, "less than 1 min"),
        (1, "1 min"),
        (60, "1 h"),
        (80, "1 h 20 min"),
        (24 * 60, "1 d"),
        (24 * 60 + 5, "1 d 5 min"),
        (3 * 24 * 60 + 7 * 60 + 5, "3 d 7 h"),
    ],
)
def test_durations(minutes, text):
    assert duration(minutes) == text
