"""Every distribution as a wheel, in an empty environment, far from the checkout.

The workspace's own environment holds everything at once and so hides a requirement that a
distribution forgot to declare; here each one is installed alone and every module is imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]

PROJECT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
PROJECTS = [PROJECT, *sorted(file.parent for file in PROJECT.glob("plugins/*/pyproject.toml"))]


def metadata(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text())["project"]


DISTRIBUTIONS = [metadata(project)["name"] for project in PROJECTS]
# Installed where notebooks run, and no plugin of the hub's.
LAB = "multiplespawner-lab"

# What imports something that only an extra brings.
OF_EXTRAS = {"testing": ["multiplespawner_core.testing.machines"]}

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

REPORT = """
import importlib, json, pkgutil, sys
from importlib.metadata import distribution, distributions

name = sys.argv[1].replace("-", "_")
package = importlib.import_module(name)
modules = [m.name for m in pkgutil.walk_packages(package.__path__, name + ".")]
for module in modules:
    if not module.endswith(".__main__") and module not in sys.argv[2:]:
        importlib.import_module(module)
entry_points = distribution(sys.argv[1]).entry_points
print(json.dumps({
    "file": package.__file__,
    "version": distribution(sys.argv[1]).version,
    "modules": modules,
    "installed": sorted(d.name for d in distributions()),
    "entry_points": [[e.group, e.name, str(e.load())] for e in entry_points],
}))
"""


def run(*command: object, cwd: Path) -> str:
    """The command's output, in an environment that does not know the checkout."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    constraints = PROJECT / "constraints.txt"
    for project in PROJECTS:
        run(
            UV, "build", "--wheel", "--quiet", "--out-dir", folder,
            "--build-constraints", constraints, project, cwd=folder,
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory):
    """installed(NAME) -> the bin folder of an environment with that distribution alone."""
    made: dict[str, Path] = {}

    def install(name: str) -> Path:
        if name not in made:
            place = tmp_path_factory.mktemp(re.sub(r"\W", "-", name))
            venv = place / "venv"
            run(UV, "venv", "--quiet", "--python", sys.executable, venv, cwd=place)
            run(
                UV, "pip", "install", "--quiet", "--python", venv / "bin/python",
                "--find-links", wheels, "--constraint", PROJECT / "constraints.txt", name,
                cwd=place,
            )  # fmt: skip
            made[name] = venv / "bin"
        return made[name]

    return install


def report(binaries: Path, name: str, cwd: Path) -> dict:
    # -I: neither the current folder nor the user's packages are on the path.
    late = [module for modules in OF_EXTRAS.values() for module in modules]
    output = run(binaries / "python", "-I", "-c", REPORT, name, *late, cwd=cwd)
    return json.loads(output.splitlines()[-1])


def test_one_wheel_for_each_distribution(wheels):
    built = sorted(wheel.name.split("-")[0] for wheel in wheels.glob("*.whl"))
    assert built == sorted(name.replace("-", "_") for name in DISTRIBUTIONS)


@pytest.mark.parametrize("extra", OF_EXTRAS)
def test_an_extra_brings_what_its_modules_import(installed, extra, tmp_path):
    binaries = installed(f"{DISTRIBUTIONS[0]}[{extra}]")
    for module in OF_EXTRAS[extra]:
        run(binaries / "python", "-I", "-c", f"import {module}", cwd=tmp_path)


def _between(file: Path, package: Path) -> list[Path]:
    return [parent for parent in file.parents if parent.is_relative_to(package)]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_alone_declares_all_that_it_imports(installed, name, tmp_path):
    found = report(installed(name), name, tmp_path)
    assert not Path(found["file"]).is_relative_to(PROJECT)
    source = next(p for p, d in zip(PROJECTS, DISTRIBUTIONS, strict=True) if d == name)
    package = source / name.replace("-", "_")
    in_checkout = {
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for file in package.rglob("*.py")
        if all((parent / "__init__.py").exists() for parent in _between(file, package))
    }
    assert in_checkout - {name.replace("-", "_")} <= set(found["modules"])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_nothing_else_of_ours_comes_with_it(installed, name, tmp_path):
    ours = set(report(installed(name), name, tmp_path)["installed"]) & set(DISTRIBUTIONS)
    assert ours == ({name} if name == LAB else {name, DISTRIBUTIONS[0]})


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entry_points(installed, name, tmp_path):
    found = report(installed(name), name, tmp_path)["entry_points"]
    source = next(p for p, d in zip(PROJECTS, DISTRIBUTIONS, strict=True) if d == name)
    project = metadata(source)
    declared = {
        (group, entry)
        for group, entries in project.get("entry-points", {}).items()
        for entry in entries
    } | {("console_scripts", script) for script in project.get("scripts", {})}
    assert {(group, entry) for group, entry, _ in found} == declared
    assert declared or name == LAB


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_data_files_are_in_the_wheel(installed, name):
    source = next(p for p, d in zip(PROJECTS, DISTRIBUTIONS, strict=True) if d == name)
    package = source / name.replace("-", "_")
    wanted = {
        str(file.relative_to(source))
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    (site,) = installed(name).parent.glob("lib/python*/site-packages")
    assert not {file for file in wanted if not (site / file).is_file()}


def test_jupyterlab_finds_both_parts_of_the_extension(wheels, tmp_path):
    venv = tmp_path / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, venv, cwd=tmp_path)
    run(
        UV, "pip", "install", "--quiet", "--python", venv / "bin/python", "--find-links", wheels,
        "--constraint", PROJECT / "constraints.txt", LAB, "jupyterlab", cwd=tmp_path,
    )  # fmt: skip
    version = report(venv / "bin", LAB, tmp_path)["version"]
    # They tell their findings on the error output, in colours.
    both = ["sh", "-c", '"$@" 2>&1', "sh"]
    in_lab = run(*both, venv / "bin/jupyter-labextension", "list", cwd=tmp_path)
    assert f" {LAB} v{version} enabled OK (python, {LAB})\n" in _COLOUR.sub("", in_lab)
    in_server = run(*both, venv / "bin/jupyter-server", "extension", "list", cwd=tmp_path)
    assert " multiplespawner_lab enabled\n" in _COLOUR.sub("", in_server)
    assert f" multiplespawner_lab {version} OK\n" in _COLOUR.sub("", in_server)


def test_all_together_with_plain_pip(wheels, tmp_path):
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv, cwd=tmp_path)
    pip = [venv / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    constraints = PROJECT / "constraints.txt"
    run(*pip, "install", "--find-links", wheels, "-c", constraints, *DISTRIBUTIONS, cwd=tmp_path)
    run(*pip, "check", cwd=tmp_path)
    usage = run(venv / "bin/multiplespawner", "--help", cwd=tmp_path)
    assert "demo" in usage
    for name in DISTRIBUTIONS:
        found = report(venv / "bin", name, tmp_path)
        assert Path(found["file"]).is_relative_to(venv)
