"""What a plugin declares: one `Component` for each thing that a template can name."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from multiplespawner_core.contracts.values import RESOURCE_TYPES

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z")


class Kind(str, enum.Enum):
    """What a component is for."""

    PROVIDER = "provider"
    CONFIGURER = "configurer"
    AUTHENTICATOR = "authenticator"
    SPAWNER = "spawner"


@dataclass(frozen=True)
class Component:
    """One thing that templates can name, not yet imported.

    Args:
        name: what administrators write; compared without regard to case.
        target: where it is, ``package.module:Class``; imported only when a template names it.
        aliases: other names that mean the same, such as the class path of a predecessor.
        resource_types: of a provider, the types that it offers under this name; two plugins
            may share a provider's name where their types differ.

    Raises:
        ValueError: the name is empty, a resource type is unknown, or the target is not of the
            form ``package.module:Class``.
    """

    name: str
    target: str
    aliases: Sequence[str] = ()
    resource_types: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.name.strip():
            msg = "a component needs a name"
            raise ValueError(msg)
        types = self.resource_types
        if isinstance(types, str) or not set(types) <= set(RESOURCE_TYPES):
            msg = f"component {self.name!r}: resource_types must be some of {RESOURCE_TYPES}"
            raise ValueError(msg)
        if not _TARGET.match(self.target):
            msg = f"component {self.name!r}: target {self.target!r} is not 'package.module:Class'"
            raise ValueError(msg)

    @property
    def path(self) -> str:
        """The target as an import path, ``package.module.Class``."""
        return self.target.replace(":", ".")

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that means this component."""
        return tuple(dict.fromkeys((self.name, *self.aliases, self.path)))


__all__ = ("Component", "Kind")
