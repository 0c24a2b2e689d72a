"""The settings of the hub's part, written as ``c.MultipleSpawner.<name>``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from traitlets import Dict, List, Unicode, default
from traitlets.config import Config, Configurable

from multiplespawner_core.catalogue.limits import Limits
from multiplespawner_core.catalogue.model import explain
from multiplespawner_core.contracts import Kind


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

        One hub uses it at a time. Back it up with JupyterHub's own database.
        Default: ``~/.multiplespawner/state``.
        """
    ).tag(config=True)

    ledger_url = Unicode(
        help="""URL of the ledger's SQLite file, the record of every resource of this hub.

        For example ``sqlite:////srv/hub/ledger.sqlite``. Default: ``ledger.sqlite`` in
        ``state_dir``.
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

    @default("state_dir")
    def _default_state_dir(self) -> str:
        return str(Path("~/.multiplespawner/state").expanduser())


def read(config: Config) -> Settings:
    """The settings that ``c.MultipleSpawner`` holds, before any Spawner exists.

    Raises:
        traitlets.TraitError: a value is of the wrong kind.
    """
    section = config.get("MultipleSpawner", Config())
    names = Settings.class_trait_names(config=True)
    own = {name: value for name, value in section.items() if name in names}
    return Settings(config=Config({"Settings": own}))


def class_paths(settings: Settings) -> dict[Kind, list[str]]:
    """`component_classes` by kind.

    Raises:
        ValueError: a kind that does not exist.
    """
    known: dict[str, Any] = {kind.value: kind for kind in Kind}
    unknown = [name for name in settings.component_classes if name not in known]
    if unknown:
        msg = (
            f"c.MultipleSpawner.component_classes: {unknown[0]!r} is no kind of component;"
            f" allowed: {', '.join(known)}"
        )
        raise ValueError(msg)
    return {known[name]: paths for name, paths in settings.component_classes.items()}


def site_limits(settings: Settings) -> Limits:
    """`limits`, checked.

    Raises:
        ValueError: what does not make sense; the message says where.
    """
    try:
        return Limits.model_validate(settings.limits)
    except ValidationError as error:
        parts = []
        for detail in error.errors(include_url=False):
            steps = ("limits", *detail["loc"])
            message, hint = explain(detail, steps)
            place = ".".join(map(str, steps))
            parts.append(f"c.MultipleSpawner.{place}: {message}{hint and f' ({hint})'}")
        raise ValueError("; ".join(parts)) from None


__all__ = ("Settings", "class_paths", "read", "site_limits")
