"""What shows of a plugin: in logs, errors, command lines and what is imported for it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from multiplespawner_core.contracts import Plugin

_NEVER = ("jupyterhub", "sqlalchemy")
_IMPORTED = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
__import__(sys.argv[2])
print(json.dumps([name for name in json.loads(sys.argv[3]) if name in sys.modules]))
"""


def imports(cls: type[Plugin], declaring: str, sdk: Sequence[str]) -> str:
    """What is wrong with importing the module that declares the class; empty if nothing is."""
    if cls.__module__ == declaring:
        return f"{declaring} holds {cls.__name__}"
    names = json.dumps([*sdk, *_NEVER, cls.__module__])
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _IMPORTED, json.dumps(sys.path), declaring, names],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"{declaring} cannot be imported: {done.stderr}"
    found = json.loads(done.stdout)
    return f"importing {declaring} imports {', '.join(found)}" if found else ""


def chain(error: BaseException | None) -> Iterator[str]:
    """What a traceback in the log would show of it."""
    while error is not None:
        yield f"{error} {error!r}\n"
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def recorded(plugin: Plugin, places: dict[str, str]) -> Iterator[None]:
    """Everything that is logged, at any level, and printed."""
    log, printed = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    loggers = [logging.getLogger(), getattr(plugin.log, "logger", plugin.log)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        places["the log"] = log.getvalue()
        places["what was printed"] = printed.getvalue()


def command_lines() -> Iterator[tuple[str, Path]]:
    """Of every process, where the system shows them as files."""
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name != str(os.getpid()):
            yield folder.name, folder / "cmdline"


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # it has ended


__all__ = ("chain", "command_lines", "imports", "read", "recorded")
