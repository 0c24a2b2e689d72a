#!/usr/bin/env python3
"""Print the path of a Python X.Y that really runs, or nothing (exit status 1).

pyenv leaves shims on PATH that fail for every version that is not selected, hence the trial run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROBE = "import ssl, sqlite3, venv, sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


def candidates(version: str) -> Iterator[str]:
    if on_path := shutil.which(f"python{version}"):
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = pyenv.glob(f"versions/{version}.*/bin/python")
    yield from (str(path) for path in sorted(installed, key=_patch, reverse=True))
    uv = Path(sys.executable).with_name("uv")
    if found := _output([str(uv), "python", "find", "--no-python-downloads", version]):
        yield found


def find(version: str) -> str | None:
    for candidate in candidates(version):
        found, _, path = _output([candidate, "-c", PROBE]).partition(" ")
        if found == version:
            return path
    return None


def _patch(path: Path) -> tuple[int, ...]:
    name = path.parent.parent.name
    return tuple(int(part) if part.isdigit() else -1 for part in name.split("."))


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - one argument
        sys.exit("usage: find_python.py X.Y")
    interpreter = find(sys.argv[1])
    if interpreter is None:
        sys.exit(1)
    print(interpreter)  # noqa: T201 - its answer
