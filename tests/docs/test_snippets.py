"""Every block of code in README and documentation does what the text around it says."""

from __future__ import annotations

import ast
import configparser
import json
import re
import sqlite3
import subprocess
import sys

import pytest
from fakes import free_limits
from snippets import PAGES, PLUGIN_READMES, PROJECT, README, snippets, toml, tomllib

from multiplespawner_core import RESOURCE_TYPES, Storage
from multiplespawner_core.catalogue import Paths, load, resolve
from multiplespawner_core.catalogue.document import parse
from multiplespawner_core.plugins.discovery import discover, installed
from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.selection.endings import on_end
from multiplespawner_core.selection.request import Choice, select
from multiplespawner_core.web.lifetime import Lifetime

PAGES = [README, *PLUGIN_READMES, *PAGES]
KNOWN = {"", "console", "ini", "json", "python", "sql", "text", "toml", "yaml"}
DIRECTIVES = re.compile(r"\{(eval-rst|include|literalinclude|toctree|traits)\}")
CHOICE = Choice("local", "bare_metal", "JupyterLab", "This machine", free_limits("cpu", "memory"))


def each(*languages):
    found = [one for one in snippets(*PAGES) if one.language in languages]
    return pytest.mark.parametrize("snippet", found, ids=str)


def kind(snippet):
    """What the value of a JSON or YAML block is."""
    value = parse(snippet.text, str(snippet)).value
    if isinstance(value, list):
        return "templates"
    if "ends_at" in value:
        return "lifetime"
    return "deployments" if set(value) <= set(RESOURCE_TYPES) else "options"


def files(of, page=None):
    pages = PAGES if page is None else [page]
    found = snippets(*pages)
    return [one for one in found if one.language in ("json", "yaml") and kind(one) == of]


@pytest.fixture(scope="module")
def registry():
    found = installed()
    return Registry(discover(found, enabled=["local"]), found.spawners)


def test_no_block_goes_untested():
    strange = [
        str(one)
        for one in snippets(*PAGES)
        if one.language not in KNOWN and not DIRECTIVES.match(one.language)
    ]
    assert strange == []


@each("json")
def test_json_is_json(snippet):
    json.loads(snippet.text)


WRONG = "resource_type: bare-metal"


@pytest.mark.parametrize("snippet", files("templates"), ids=str)
def test_templates_work(snippet, tmp_path, registry):
    """With a deployment for every type they can be started, where the plugins exist."""
    if WRONG in snippet.text:
        return
    (tmp_path / "t").write_text(snippet.text)
    (tmp_path / "d").write_text(json.dumps({name: [{"name": "any"}] for name in RESOURCE_TYPES}))
    catalogue = load(Paths(tmp_path / "t", tmp_path / "d"))
    assert [str(one) for one in catalogue.findings if one.severity == "error"] == []
    if all(template.providers == ("local",) for template in catalogue.templates):
        resolution = resolve(catalogue, registry)
        assert resolution.findings == ()
        assert len(list(resolution.combinations())) == len(catalogue.templates)


@pytest.mark.parametrize("snippet", files("deployments"), ids=str)
def test_deployments_work(snippet, tmp_path, registry):
    """The templates of the same page start what is local in them."""
    (template, *_) = [one for one in files("templates", snippet.page) if WRONG not in one.text]
    (tmp_path / "t").write_text(template.text)
    (tmp_path / "d").write_text(snippet.text)
    catalogue = load(Paths(tmp_path / "t", tmp_path / "d"))
    assert [str(one) for one in catalogue.findings if one.severity == "error"] == []
    if '"directory"' in template.text:
        return  # test_example_plugin.py starts it
    resolution = resolve(catalogue, registry)
    assert resolution.findings == ()
    started = [deployment.name for _, _, deployment in resolution.combinations()]
    assert started == [
        one.name for one in catalogue.deployments if one.resource_type == "bare_metal"
    ]


def test_the_readme_has_the_example_of_the_reference():
    reference = PROJECT / "tests" / "catalogue" / "reference" / "deployments_example.json"
    assert reference.read_text().strip() in README.read_text()


def test_the_same_in_yaml_is_the_same():
    page = PROJECT / "docs" / "configuration.md"
    first, second, *_ = files("templates", page)
    assert (first.language, second.language) == ("json", "yaml")
    assert parse(first.text, "").value == parse(second.text, "").value


def test_the_findings_are_those_of_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = PROJECT / "docs" / "configuration.md"
    (wrong,) = [one for one in files("templates", page) if WRONG in one.text]
    (tmp_path / "spawner_templates.yaml").write_text(wrong.text)
    findings = load(Paths(type(page)("spawner_templates.yaml"), None)).findings
    text = "".join(f"{finding}\n" for finding in findings)
    assert text in [one.text for one in snippets(page, language="text")]


def test_the_message_about_options_is_real():
    page = (PROJECT / "docs" / "configuration.md").read_text()
    with pytest.raises(Exception, match="cpus") as caught:
        select({"cpus": 1}, [CHOICE])
    assert f"{caught.value}." in page


@pytest.mark.parametrize("snippet", files("options"), ids=str)
def test_rest_bodies_are_valid_options(snippet):
    request, _ = select(json.loads(snippet.text), [CHOICE])
    assert request.model_dump() == {
        "provider": "local",
        "resource_type": "bare_metal",
        "deployment": "JupyterLab",
        "cpu": 2,
        "memory": 4,
        "gpu": 0,
        "lifetime": 480,
    }


def test_what_is_told_of_an_end_is_what_the_api_answers():
    (snippet,) = files("lifetime")
    told = Lifetime(0, 0, 0, Storage.KEEP, on_end(Storage.KEEP, "bare_metal")).model()
    shown = json.loads(snippet.text)
    assert list(shown) == list(told)
    assert shown["on_end"] == told["on_end"]


@each("python")
def test_python_compiles(snippet):
    ast.parse(snippet.text)


@each("toml")
def test_toml_is_toml(snippet):
    tomllib.loads(snippet.text)


@each("ini")
def test_ini_is_ini(snippet):
    configparser.ConfigParser().read_string(snippet.text)


@each("sql")
async def test_queries_run(snippet, tmp_path):
    Ledger.open("", tmp_path).close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.execute(snippet.text).fetchall() == []


def commands(snippet):
    """Command lines of a console block, continued lines joined."""
    text = snippet.text.replace("\\\n", " ")
    return [line.removeprefix("$ ").split() for line in text.splitlines() if line.startswith("$ ")]


@pytest.mark.slow
@each("console")
def test_commands_exist(snippet):
    makefile = (PROJECT / "Makefile").read_text()
    projects = [PROJECT, *(PROJECT / "plugins").iterdir()]
    distributions = {toml(path / "pyproject.toml")["project"]["name"] for path in projects}
    extras = toml(PROJECT / "pyproject.toml")["project"]["optional-dependencies"]
    assert commands(snippet)
    for program, *arguments in commands(snippet):
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE)
        elif program == "multiplespawner":
            assert run_help(arguments[0]).returncode == 0
        elif program == "pip":
            names = [a.strip("'") for a in arguments[1:] if "multiplespawner" in a]
            assert names
            for name, _, extra in (name.rstrip("]").partition("[") for name in names):
                assert name in distributions
                assert not extra or extra in extras


def run_help(command):
    return subprocess.run(
        [sys.executable, "-c", _MAIN, command, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "80", "PYTHON_COLORS": "0"},
    )


_MAIN = "import sys; from multiplespawner_core.cli import main; sys.exit(main())"


def test_the_help_is_what_the_command_says():
    page = PROJECT / "docs" / "getting-started.md"
    shown = [one.text for one in snippets(page, language="console") if "--help" in one.text]
    assert shown == [f"$ multiplespawner demo --help\n{run_help('demo').stdout}"]
