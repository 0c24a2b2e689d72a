"""``jupyterhub_config.py``, read the way JupyterHub reads it, without a hub."""

from __future__ import annotations

import argparse
import logging
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitlets.config import Config

from multiplespawner_core.catalogue.findings import Finding, looks_secret, without_secrets
from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.spawner.assembly import Assembly, assemble

_DEFAULT = Path("jupyterhub_config.py")


@dataclass(frozen=True)
class HubConfig:
    """What a hub would be configured with.

    Args:
        file: the file; None if there is none, and everything is as by default.
        app: the application that has taken its settings, not initialised; None without a file.
        findings: what kept the file from being read, and what JupyterHub itself says of it.
    """

    file: Path | None
    app: Any = None
    findings: tuple[Finding, ...] = ()

    @property
    def broken(self) -> list[Finding]:
        """Why no hub starts with this file, whatever multiplespawner thinks of it."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def config(self) -> Config:
        """Everything that is configured."""
        config: Config = Config() if self.app is None else self.app.config
        return config

    def assembly(self) -> Assembly:
        """What the hub is put together from.

        Raises:
            ConfigurationError: the hub would not start; the message says why.
        """
        if self.broken:
            raise ConfigurationError("\n".join(map(str, self.broken)))
        return assemble(self.config).required()


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the file, as the command ``jupyterhub`` has it."""
    parser.add_argument(
        "-f",
        "--config",
        metavar="FILE",
        type=existing,
        help=f"the hub's configuration (default: {_DEFAULT} in this directory, if it is there)",
    )


def existing(text: str) -> Path:
    """A file that is there, as an argument of a command."""
    path = Path(text)
    if not path.is_file():
        msg = f"there is no file {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return path


def load(given: Path | None) -> HubConfig:
    """Read the file that was named, else the one in this directory, else none."""
    file = given or (_DEFAULT if _DEFAULT.is_file() else None)
    if file is None:
        return HubConfig(None)
    from jupyterhub.app import JupyterHub  # noqa: PLC0415 - takes seconds

    said = _Said(file)
    app = JupyterHub(log=said.logger)
    _run(app, file, said)
    return HubConfig(file, app, tuple(said.findings))


def _run(app: Any, file: Path, said: _Said) -> None:
    try:
        app.load_config_file(str(file))
    except SystemExit:
        # JupyterHub's way of refusing a value, of which it has told; else the file's own doing.
        if not any(finding.severity == "error" for finding in said.findings):
            said.findings.append(Finding(str(file), None, None, "", "ends the hub (SystemExit)"))
    except Exception as error:  # noqa: BLE001 - it is a program, and may raise anything
        line, column = _place(error, file)
        message = without_secrets(f"{type(error).__name__}: {error}{_elsewhere(error, file)}")
        said.findings.append(Finding(str(file), line, column, "", message))


def _place(error: Exception, file: Path) -> tuple[int | None, int | None]:
    """Where in the file it happened."""
    if isinstance(error, SyntaxError) and error.filename and _same(error.filename, file):
        return error.lineno, error.offset
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if _same(frame.filename, file)]
    return (lines[-1], 1) if lines else (None, None)


def _elsewhere(error: Exception, file: Path) -> str:
    """Where it happened, if in what the file calls or loads."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, SyntaxError) or _same(last.filename, file):
        return ""
    return f" ({last.filename}, line {last.lineno})"


def _same(name: str, file: Path) -> bool:
    return Path(name).resolve() == file.resolve()


def _without_secret_value(message: str) -> str:
    """What JupyterHub says of a setting, which repeats the value that it does not take."""
    setting = re.search(r"The '(\w+)' trait of .*?(, not )", message)
    if setting and looks_secret(setting[1]):
        return f"{message[: setting.start(2)]}, not what is there"
    return str(without_secrets(message))


class _Said(logging.Handler):
    """Takes what JupyterHub would log about the file."""

    def __init__(self, file: Path) -> None:
        super().__init__(logging.WARNING)
        self.findings: list[Finding] = []
        self._file = file
        self.logger = logging.Logger("multiplespawner")  # noqa: LOG001 - for our ears alone
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        message = _without_secret_value(" ".join(record.getMessage().split()))
        error = record.levelno >= logging.ERROR
        severity: Any = "error" if error else "warning"
        self.findings.append(Finding(str(self._file), None, None, "", message, "", severity))


__all__ = ("HubConfig", "add_argument", "existing", "load")
