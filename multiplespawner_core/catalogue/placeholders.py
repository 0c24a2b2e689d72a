"""Placeholders: plain names in braces, replaced once, by text that nothing reads again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from multiplespawner_core.catalogue.findings import KeyPath
from multiplespawner_core.contracts import ConfigurationError, Owner
from multiplespawner_core.contracts.accounts import unix_user

PLACEHOLDERS: Final[Mapping[str, str]] = {
    "JUPYTERHUB_USER": "the user's name",
    "username": "the user's name",
    "unix_user": "an account name for the user: the user's name where it can be one",
    "servername": "the name of the server, empty for the default one",
    "endpoint": "the address of the resource",
    "auth_key": "who may log in to the resource, as a line of authorized_keys",
    "server_public_ip": "the address of the resource",
    "server_host_key": "the public host key of the resource",
}
"""Every name that a configuration file may use, and what takes its place."""

_BRACED = re.compile(r"(\{+)([A-Za-z_][A-Za-z0-9_]*)(\}+)")


def render(value: Any, mapping: Mapping[str, str]) -> Any:
    """The value with every placeholder in its texts replaced; keys of mappings stay as they are.

    ``{name}`` is replaced, ``{{name}}`` becomes ``{name}`` as in `str.format`. Braces around
    anything but a plain name are text like any other: ``{"a": 1}``, ``{{ jinja }}``, ``{0.x}``.

    Raises:
        ConfigurationError: a placeholder has no value here.
    """
    if isinstance(value, str):
        return _BRACED.sub(lambda match: _replace(match, mapping), value)
    if isinstance(value, Mapping):
        return {key: render(item, mapping) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(render(item, mapping) for item in value)
    return value


def of_owner(owner: Owner) -> dict[str, str]:
    """The placeholders that are known before there is a resource."""
    return {
        "JUPYTERHUB_USER": owner.user,
        "username": owner.user,
        "unix_user": unix_user(owner.user),
        "servername": owner.server,
    }


def placeholders(value: Any) -> Iterator[tuple[KeyPath, str]]:
    """Every placeholder in the value, known or not, with the path to the text that holds it."""
    if isinstance(value, str):
        for match in _BRACED.finditer(value):
            if _depth(match) % 2:
                yield (), match[2]
    elif isinstance(value, (Mapping, list, tuple)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for step, item in items:
            for path, name in placeholders(item):
                yield (step, *path), name


def unknown_placeholders(value: Any) -> list[tuple[KeyPath, str]]:
    """Those that are no placeholder of ours; loading refuses them."""
    return [(path, name) for path, name in placeholders(value) if name not in PLACEHOLDERS]


def has_placeholder(value: Any) -> bool:
    """Whether rendering would replace something in the value."""
    return next(placeholders(value), None) is not None


def _depth(match: re.Match[str]) -> int:
    return min(len(match[1]), len(match[3]))


def _replace(match: re.Match[str], mapping: Mapping[str, str]) -> str:
    depth, name = _depth(match), match[2]
    before = match[1][depth:] + "{" * (depth // 2)
    after = "}" * (depth // 2) + match[3][depth:]
    if depth % 2 == 0:
        return f"{before}{name}{after}"
    if name not in mapping:
        raise ConfigurationError(f"the placeholder {{{name}}} has no value here")
    return f"{before}{mapping[name]}{after}"


__all__ = ("PLACEHOLDERS", "has_placeholder", "placeholders", "render", "unknown_placeholders")
