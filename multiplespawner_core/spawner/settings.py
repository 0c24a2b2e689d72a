"""The settings of the hub's part, written as ``c.MultipleSpawner.<name>``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from traitlets import Dict, Float, List, TraitError, Unicode, default
from traitlets.config import Config, Configurable

from multiplespawner_core.catalogue.findings import Finding, nearest, suggestion
from multiplespawner_core.catalogue.limits import Limits
from multiplespawner_core.catalogue.model import explain
from multiplespawner_core.contracts import Kind
from multiplespawner_core.resources.manager import SWEEP_INTERVAL


class Settings(Configurable):
    """What concerns the hub as a whole rather than one server."""

    template_file = Unicode(
        help="""The Spawner Template configuration, JSON or YAML.

        Default: the environment variable MULTIPLE_SPAWNER_TEMPLATE_FILE, else
        ``spawner_templates.json`` (or ``.yaml``, ``.yml``) in ``~/.multiplespawner``.
        """
    ).tag(config=True)

    deployment_file = Unicode(
        help="""The Spawner Deployment configuration, JSON or YAML.

        Default: the environment variable MULTIPLE_SPAWNER_DEPLOYMENT_FILE, else
        ``spawner_deployment.json`` or ``spawner_deployments.json`` (or ``.yaml``, ``.yml``)
        in ``~/.multiplespawner``.
        """
    ).tag(config=True)

    enabled_plugins = List(
        Unicode(),
        default_value=None,
        allow_none=True,
        help="""Plugins or distributions to use; unset means all that are installed.

        A name that matches nothing stops the hub.
        """,
    ).tag(config=True)

    disabled_plugins = List(
        Unicode(),
        help="""Plugins or distributions not to use; they are not even imported.

        Wins over ``enabled_plugins``. A name that matches nothing stops the hub.
        """,
    ).tag(config=True)

    component_classes = Dict(
        value_trait=List(Unicode()),
        help="""Classes that templates may name although no plugin declares them.

        By kind, for example ``{"spawner": ["mysite.spawners.CampusSpawner"]}``; the kinds are
        spawner, provider, configurer and authenticator. Templates resolve class names through the
        registry and never import what a file says: this is the administrator's way to extend it
        without a plugin.
        """,
    ).tag(config=True)

    state_dir = Unicode(
        help="""Private directory for ledger, lock, installation id and what plugins keep.

        One hub uses it at a time. Back it up with JupyterHub's own database, but for
        ``ledger_mark``, by which the hub notices that a ledger was restored.
        Default: ``~/.multiplespawner/state``.
        """
    ).tag(config=True)

    ledger_url = Unicode(
        help="""URL of the ledger, the record of every resource of this hub.

        An SQLite file, such as ``sqlite:////srv/hub/ledger.sqlite``, or a PostgreSQL database,
        such as ``postgresql+psycopg://hub@db.example.org/ledger``, which needs
        ``multiplespawner-core[postgresql]``. A password may stand in ``~/.pgpass`` instead.
        Default: ``ledger.sqlite`` in ``state_dir``.
        """
    ).tag(config=True)

    limits = Dict(
        help="""How much any user may ask for, whatever a template allows.

        By quantity (cpu in vCPUs, memory in GB of 2**30 bytes, gpu in devices, lifetime in
        minutes), each with ``min``, ``max``, ``default`` and ``step``, for example
        ``{"cpu": {"max": 8}, "lifetime": {"max": 720, "default": 120}}``. A quantity that is
        None is not for users to set.
        """
    ).tag(config=True)

    sweep_interval = Float(
        SWEEP_INTERVAL,
        min=1,
        help="""Seconds from one look at everything that providers hold to the next.

        Each scope that was ever used is asked for all that belongs to this hub. What no server
        needs is deleted; what the ledger never knew is left alone and reported.
        """,
    ).tag(config=True)

    @default("state_dir")
    def _default_state_dir(self) -> str:
        return str(Path("~/.multiplespawner/state").expanduser())


def read(config: Config) -> tuple[Settings, list[Finding]]:
    """The settings that ``c.MultipleSpawner`` holds, before any Spawner exists.

    What is of the wrong kind is left out, and said.
    """
    names = Settings.class_trait_names(config=True)
    own = {name: value for name, value in section(config).items() if name in names}
    good: dict[str, Any] = {}
    problems = []
    for name, value in own.items():
        try:
            _settings({name: value})
        except TraitError as error:
            message = str(error).replace(" of a Settings instance", "")
            problems.append(problem(name, message))
        else:
            good[name] = value
    try:
        Path(good.get("state_dir", "")).expanduser()
    except RuntimeError:
        problems.append(problem("state_dir", f"there is no such home: {good.pop('state_dir')!r}"))
    return _settings(good), problems


def class_paths(settings: Settings) -> tuple[dict[Kind, list[str]], list[Finding]]:
    """`component_classes` by kind, and what names no kind."""
    known = {kind.value: kind for kind in Kind}
    found = {
        known[name]: list(paths)
        for name, paths in settings.component_classes.items()
        if name in known
    }
    problems = [
        problem(f"component_classes.{name}", "is no kind of component", suggestion(name, known))
        for name in settings.component_classes
        if name not in known
    ]
    return found, problems


def site_limits(settings: Settings) -> tuple[Limits, list[Finding]]:
    """`limits`, and what does not make sense in them; then there are none."""
    try:
        return Limits.model_validate(settings.limits), []
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False):
            steps = ("limits", *detail["loc"])
            problems.append(problem(".".join(map(str, steps)), *explain(detail, steps)))
        return Limits(), problems


def unknown(config: Config, name: str, known: Collection[str]) -> list[Finding]:
    """What a section of ``jupyterhub_config.py`` sets that no class of its name can take.

    Args:
        config: the hub's.
        name: of the section.
        known: every setting that there is.
    """
    return [
        Finding("", None, None, f"c.{name}.{key}", "is no setting", _meant(key, known))
        for key in section(config, name)
        if key not in known and not key[:1].isupper()  # a section within the section
    ]


def problem(setting: str, message: str, hint: str = "") -> Finding:
    """A finding about one of our settings; in which file it stands, who read it may know."""
    return Finding("", None, None, f"c.MultipleSpawner.{setting}", message, hint)


def section(config: Config, name: str = "MultipleSpawner") -> Mapping[str, Any]:
    """A section of the hub's configuration, empty where it is not there."""
    found: Mapping[str, Any] = config.get(name, {})
    return found


def _settings(values: Mapping[str, Any]) -> Settings:
    return Settings(config=Config({"Settings": values}))


def _meant(name: str, known: Collection[str]) -> str:
    close = nearest(name, known)
    return "" if close is None else f"did you mean {close!r}?"


__all__ = ("Settings", "class_paths", "problem", "read", "section", "site_limits", "unknown")
