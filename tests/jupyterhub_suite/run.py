"""Run JupyterHub's tests around MultipleSpawner: run.py [--bare] [--ssl] NAME.

In processes beside each other, since most of the time is waiting. NAME.xml goes to the folder of
reports and the output to NAME-*.log in build/jupyterhub-suite. Exit status 1 if a test failed.
"""

# ruff: noqa: T201 - a command that reports
from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jupyterhub

from multiplespawner_core.cli.descendants import Descendants

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
REPORTS = PROJECT / "build" / "reports"
LOGS = PROJECT / "build" / "jupyterhub-suite"
PROXY = PROJECT / ".tools" / "node_modules" / ".bin" / "configurable-http-proxy"
SITE = Path(jupyterhub.__file__).parents[1]

MODULES = {
    "one": ("api", "orm", "proxy", "spawner", "user"),
    "two": ("named_servers", "pages"),
}

# They skip themselves in a hub without subdomains, and only they are run in one that has them.
SUBDOMAINS = tuple(
    f"jupyterhub/tests/test_proxy.py::test_extra_routes[{spec}]"
    for spec in ("host.name/path/", "other.host/path/no/slash")
)

STARTED = {
    "BadSpawner",
    "FalsyCallableFormSpawner",
    "FormSpawner",
    "MockSpawner",
    "NeverSpawner",
    "SlowBadSpawner",
    "SlowSpawner",
}
"""The mocks that these tests start; each must have been a child."""

_TIMEOUT = 1500


class Part:
    """One process of pytest.

    Args:
        name: of its log and report.
        arguments: for pytest.
        folder: for everything that it leaves.
        environment: further variables.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.report = folder / f"{name}.xml"
        self.children = folder / f"{name}.json"
        self.log = LOGS / f"{name}.log"
        temporary = folder / name
        temporary.mkdir()
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "jupyterhub_suite.plugin", "-c", str(HERE / "pytest.ini")),
            *("--rootdir", str(SITE), "--junitxml", str(self.report)),
            *("--children", str(self.children), *arguments),
        ]
        # No home, so that no test finds or leaves anything there.
        own = {"HOME": str(temporary), "TMPDIR": str(temporary)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=temporary,
                env={**environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        self.process.wait(_TIMEOUT)


def parts(name: str, folder: Path, *, bare: bool, ssl: bool) -> Iterator[Part]:
    environment = {key: value for key, value in os.environ.items() if "JUPYTERHUB" not in key}
    environment.pop("SSL_ENABLED", None)
    environment["PATH"] = os.pathsep.join(
        (str(PROXY.parent), str(Path(sys.executable).parent), environment["PATH"])
    )
    environment["PYTHONPATH"] = str(HERE.parent)
    if ssl:
        environment["SSL_ENABLED"] = "1"
    how = ["--bare"] if bare else []
    for part, modules in MODULES.items():
        files = [f"{SITE}/jupyterhub/tests/test_{module}.py" for module in modules]
        left_out = [f"--deselect={test}" for test in SUBDOMAINS]
        yield Part(f"{name}-{part}", [*how, *left_out, *files], folder, environment)
    tests = [f"{SITE}/{test}" for test in SUBDOMAINS]
    environment["JUPYTERHUB_TEST_SUBDOMAIN_HOST"] = f"http://localhost:{_free_port()}"
    yield Part(f"{name}-subdomains", [*how, *tests], folder, environment)


def run(report: Path, *, bare: bool, ssl: bool) -> int:
    if not PROXY.exists():
        sys.exit(f"These tests need the proxy from npm: make {PROXY.relative_to(PROJECT)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    descendants = Descendants()
    try:
        with tempfile.TemporaryDirectory(
            prefix="jupyterhub-suite-", ignore_cleanup_errors=True
        ) as folder:
            started = list(parts(report.stem, Path(folder), bare=bare, ssl=ssl))
            for part in started:
                part.wait()
            # Before the folder goes: JupyterHub's tests leave servers behind.
            descendants.end()
            return _sum_up(started, report, bare=bare)
    finally:
        descendants.end()


def _sum_up(parts: Sequence[Part], report: Path, *, bare: bool) -> int:
    suites = ET.Element("testsuites")
    children: Counter[str] = Counter()
    status = 0
    for part in parts:
        print(f"{part.name}: {part.log.read_text(errors='replace').splitlines()[-1]}")
        if part.process.returncode:
            status = 1
            print(f"  see {part.log.relative_to(PROJECT)}")
        if part.report.exists():
            suites.extend(ET.parse(part.report).getroot())
        if part.children.exists():
            children.update(json.loads(part.children.read_text()))
    for case in suites.iter("testcase"):
        if any(case.find(kind) is not None for kind in ("failure", "error")):
            print(f"failed   {case.get('classname')}::{case.get('name')}")
            for found in (*case.iter("failure"), *case.iter("error")):
                print(found.text)
    ET.ElementTree(suites).write(report, encoding="utf-8", xml_declaration=True)
    if not bare:
        print("children:", ", ".join(f"{name} {n}" for name, n in children.most_common()))
        if missing := STARTED - set(children):
            print(f"ERROR: never a child: {', '.join(sorted(missing))}")
            status = 1
    return status


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the report")
    parser.add_argument("--bare", action="store_true", help="the mock spawners as they are")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder for the report")
    parser.add_argument("--ssl", action="store_true", help="with internal SSL")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    report = options.reports / f"{options.name}.xml"
    sys.exit(run(report, bare=options.bare, ssl=options.ssl))
