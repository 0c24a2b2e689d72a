"""Templates and deployments: the two kinds of entry that the configuration files hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import ErrorDetails

from multiplespawner_core.catalogue.document import Document
from multiplespawner_core.catalogue.findings import Finding, KeyPath, shown, suggestion
from multiplespawner_core.catalogue.limits import FLAWED, Limits, Range, flawed
from multiplespawner_core.contracts import RESOURCE_TYPES, Storage


def _not_empty(text: str) -> str:
    if not text.strip():
        raise flawed("is empty")
    return text


def _resource_type(name: str) -> str:
    if name not in RESOURCE_TYPES:
        raise flawed(f"unknown resource type {name!r}", suggestion(name, RESOURCE_TYPES))
    return name


def _storage(value: Any) -> Any:
    known = [one.value for one in Storage]
    if value is not None and value not in known:
        raise flawed(f"is no kind of storage: {shown(value)}", suggestion(str(value), known))
    return value


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise flawed(f"{shown(url)} is no web address", "such as http://10.0.0.1:8081")
    if parts.path.rstrip("/").endswith("/hub/api"):
        # JupyterHub appends it whatever stands there, and no server would find the hub.
        raise flawed(f"{shown(url)} ends in /hub/api, which JupyterHub adds", "leave that out")
    return url


def _none_if_empty(value: Any) -> Any:
    return None if value == {} else value


def _some(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise flawed("is empty")
    return names


Name = Annotated[str, AfterValidator(_not_empty)]


class Restricted(BaseModel):
    """What only some users may choose.

    Args:
        allowed_users: names of JupyterHub's users.
        allowed_groups: names of JupyterHub's groups. A user who is named or is in one of these
            groups may choose it; where neither is set, everybody may.
    """

    model_config = ConfigDict(frozen=True)

    allowed_users: tuple[Name, ...] | None = None
    allowed_groups: tuple[Name, ...] | None = None

    def admits(self, user: str, groups: Collection[str]) -> bool:
        """Whether that user, in these groups, may choose it."""
        if self.allowed_users is None and self.allowed_groups is None:
            return True
        return user in (self.allowed_users or ()) or not set(groups).isdisjoint(
            self.allowed_groups or ()
        )


class Block(BaseModel):  # type: ignore[no-redef]  # mypy's plugin adds a **kwargs of its own
    """A component and what its class is constructed with; further keys go to the class as well.

    Args:
        class_name: by which the registry knows the component; ``class`` in the file.
        args: positional arguments.
        kwargs: keyword arguments.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    class_name: Name = Field(alias="class")
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield "class", self.class_name  # the rest may hold secrets

    @property
    def extra(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})

    def keywords(self) -> Iterator[tuple[KeyPath, str, Any]]:
        """Path within the block, name and value of everything that goes to the class by name."""
        for name, value in self.kwargs.items():
            yield ("kwargs", name), name, value
        for name, value in self.extra.items():
            yield (name,), name, value


class ConfigurerBlock(Block):  # type: ignore[no-redef]
    """A configurer.

    Args:
        options: what it should do; the class gets it as ``options``.
    """

    options: dict[str, Any] = {}

    def keywords(self) -> Iterator[tuple[KeyPath, str, Any]]:
        yield from super().keywords()
        if self.options:
            yield ("options",), "options", self.options


class Template(Restricted):
    """One entry of the Spawner Template configuration.

    Args:
        name: what users see.
        resource_type: one of `RESOURCE_TYPES`.
        providers: names of the providers that it may start on.
        spawner: the child spawner.
        configurer: makes the resource ready; None for nothing to do.
        authenticator: opens the resource; None where nothing is to be opened.
        hub_connect_url: where the server reaches the hub, if not where the hub itself says;
            without the path of its API.
        limits: how much users may ask for.
        storage: what becomes of users' files; None for what the provider does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    resource_type: Annotated[Name, AfterValidator(_resource_type)]
    providers: Annotated[tuple[Name, ...], AfterValidator(_some)]
    spawner: Block
    configurer: Annotated[ConfigurerBlock | None, BeforeValidator(_none_if_empty)] = None
    authenticator: Annotated[Block | None, BeforeValidator(_none_if_empty)] = None
    hub_connect_url: Annotated[str, AfterValidator(_web_address)] | None = None
    limits: Limits = Limits()
    storage: Annotated[Storage | None, BeforeValidator(_storage)] = None

    _index: int = PrivateAttr(default=0)
    _flat: bool = PrivateAttr(default=False)

    @property
    def index(self) -> int:
        """Its place in the file, from 0."""
        return self._index

    def placed(self, index: int, *, flat: bool = False) -> Template:
        """Remember where it stands, and whether ``class`` stands beside ``name``."""
        self._index, self._flat = index, flat
        return self

    def path(self, *steps: str | int) -> KeyPath:
        """Where a part of it stands in the file."""
        if self._flat and steps[:1] == ("spawner",):
            steps = steps[1:]
        return (self._index, *steps)

    def blocks(self) -> Iterator[tuple[str, Block]]:
        """Its components under their keys."""
        for key in ("spawner", "configurer", "authenticator"):
            block = getattr(self, key)
            if block is not None:
                yield key, block


class Deployment(Restricted):
    """One entry of the Spawner Deployment configuration.

    Args:
        name: what users see.
        provider: the only provider that it is for; None for every one of its type.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Name
    provider: Name | None = None

    _resource_type: str = PrivateAttr(default="")
    _index: int = PrivateAttr(default=0)

    @property
    def resource_type(self) -> str:
        """The key under which it stands."""
        return self._resource_type

    @property
    def index(self) -> int:
        """Its place in that list, from 0."""
        return self._index

    @property
    def attributes(self) -> dict[str, Any]:
        """What goes to the provider and to the child spawner."""
        return dict(self.model_extra or {})

    def placed(self, resource_type: str, index: int) -> Deployment:
        """Remember where it stands."""
        self._resource_type, self._index = resource_type, index
        return self

    def path(self, *steps: str | int) -> KeyPath:
        """Where a part of it stands in the file."""
        return (self._resource_type, self._index, *steps)

    def fits(self, resource_type: str, provider: str) -> bool:
        """Whether it may be started as a resource of that type on that provider."""
        return self._resource_type == resource_type and (
            self.provider is None or self.provider.strip().lower() == provider.strip().lower()
        )


_FLAT_KEYS = ("class", "args", "kwargs")
_EXPECTED = {
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}
_Entry = TypeVar("_Entry", Template, Deployment)


def read_template(document: Document, index: int) -> tuple[Template | None, list[Finding]]:
    """The template at that place of the document, and everything that is wrong with it.

    Where something is wrong, what is right of it is there to be checked further; None if that
    makes no template.
    """
    raw = document.value[index]
    # The prototype wrote the spawner's class and kwargs beside the template's name.
    flat = isinstance(raw, dict) and "class" in raw and "spawner" not in raw
    if flat:
        spawner = {key: raw[key] for key in _FLAT_KEYS if key in raw}
        rest = {key: value for key, value in raw.items() if key not in _FLAT_KEYS}
        raw = {**rest, "spawner": spawner}
    template, findings = _read(document, Template, raw, (index,), flat=flat)
    return template and template.placed(index, flat=flat), findings


def read_deployment(
    document: Document, resource_type: str, index: int
) -> tuple[Deployment | None, list[Finding]]:
    """The deployment at that place of the document, likewise."""
    raw = document.value[resource_type][index]
    deployment, findings = _read(document, Deployment, raw, (resource_type, index))
    return deployment and deployment.placed(resource_type, index), findings


def _read(
    document: Document, model: type[_Entry], raw: Any, base: KeyPath, *, flat: bool = False
) -> tuple[_Entry | None, list[Finding]]:
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    findings = [_finding(document, base, detail, flat=flat) for detail in details]
    wrong = {detail["loc"][0] for detail in details if detail["loc"]}
    if not wrong:
        return None, findings
    try:
        rest = {key: value for key, value in raw.items() if key not in wrong}
        return model.model_validate(rest), findings
    except ValidationError:
        return None, findings


def _finding(document: Document, base: KeyPath, detail: ErrorDetails, *, flat: bool) -> Finding:
    steps = detail["loc"]
    if flat and steps[:1] == ("spawner",):
        steps = steps[1:]
    path = (*base, *steps)
    if detail["type"] == "missing":
        return document.finding(path[:-1], f"the key {path[-1]!r} is missing")
    message, hint = explain(detail, steps)
    return document.finding(path, message, hint, at_key=detail["type"] == "extra_forbidden")


def explain(detail: ErrorDetails, steps: tuple[int | str, ...]) -> tuple[str, str]:
    """What is wrong, and what would be right.

    Args:
        detail: what pydantic found.
        steps: where in a template it found it.
    """
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "unknown key", suggestion(str(steps[-1]), _allowed_keys(steps))
    if kind == FLAWED:
        return detail["msg"], detail["ctx"]["hint"]
    message = _EXPECTED.get(kind, detail["msg"])
    return f"{message}, but is {shown(detail['input'], steps)}", ""


def _allowed_keys(steps: tuple[int | str, ...]) -> list[str]:
    """Which keys may stand where an unknown one was found."""
    parents: list[type[BaseModel]] = [Template, Limits, Range]
    model = parents[len(steps) - 1] if steps[0] == "limits" else Template
    names = [field.alias or name for name, field in model.model_fields.items()]
    return sorted(names, key=Restricted.model_fields.__contains__)  # what it is comes first


__all__ = (
    "Block",
    "ConfigurerBlock",
    "Deployment",
    "Restricted",
    "Template",
    "explain",
    "read_deployment",
    "read_template",
)
