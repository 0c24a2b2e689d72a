"""Finding and reading the two configuration files; nothing in them makes this raise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from multiplespawner_core.catalogue.document import Document, ParseError, parse
from multiplespawner_core.catalogue.findings import Finding, KeyPath, nearest, shown, suggestion
from multiplespawner_core.catalogue.model import (
    Deployment,
    Template,
    read_deployment,
    read_template,
)
from multiplespawner_core.catalogue.placeholders import PLACEHOLDERS, unknown_placeholders
from multiplespawner_core.contracts import RESOURCE_TYPES

TEMPLATE_VARIABLE = "MULTIPLE_SPAWNER_TEMPLATE_FILE"
DEPLOYMENT_VARIABLE = "MULTIPLE_SPAWNER_DEPLOYMENT_FILE"
FOLDER = ".multiplespawner"

_ENDINGS = ("json", "yaml", "yml")
TEMPLATE_FILES = tuple(f"spawner_templates.{ending}" for ending in _ENDINGS)
DEPLOYMENT_FILES = tuple(
    f"spawner_{name}.{ending}" for name in ("deployment", "deployments") for ending in _ENDINGS
)


@dataclass(frozen=True)
class Paths:
    """Where the two files are.

    Args:
        templates: None if there is none, or more than one.
        deployments: None if there is none, or more than one.
        findings: why not.
    """

    templates: Path | None
    deployments: Path | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """What the two files say.

    Args:
        templates: those without an error.
        deployments: those without an error.
        findings: everything that is wrong, by file and place.
        flawed_templates: those with an error, as far as they can be read; for what else is wrong
            with them, not for use.
        flawed_deployments: likewise.
        template_document: the file of the templates, if it could be parsed.
        deployment_document: the file of the deployments, if it could be parsed.
    """

    templates: tuple[Template, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    findings: tuple[Finding, ...] = ()
    template_document: Document | None = None
    deployment_document: Document | None = None
    flawed_templates: tuple[Template, ...] = ()
    flawed_deployments: tuple[Deployment, ...] = ()


def locate(
    environ: Mapping[str, str], templates: str | None = None, deployments: str | None = None
) -> Paths:
    """Where the files are: a given path wins, then the environment, then the home folder.

    Args:
        environ: the environment.
        templates: path that the administrator gave in ``jupyterhub_config.py``.
        deployments: likewise.
    """
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    findings: list[Finding] = []
    given = (
        _given(home, templates or environ.get(TEMPLATE_VARIABLE)),
        _given(home, deployments or environ.get(DEPLOYMENT_VARIABLE)),
    )
    return Paths(
        given[0] or _search(home, TEMPLATE_FILES, TEMPLATE_VARIABLE, findings),
        given[1] or _search(home, DEPLOYMENT_FILES, DEPLOYMENT_VARIABLE, findings),
        tuple(findings),
    )


def load(paths: Paths) -> Catalogue:
    """Read both files and report everything that is wrong with either.

    A template or deployment with an error is left out; the others are there.
    """
    findings = list(paths.findings)
    template_document = _document(paths.templates, findings)
    deployment_document = _document(paths.deployments, findings)
    templates = _Entries(findings)
    deployments = _Entries(findings)
    if template_document:
        templates.read_templates(template_document)
    if deployment_document:
        deployments.read_deployments(deployment_document)
    found = (tuple(templates.templates), tuple(deployments.deployments))
    if template_document and deployment_document and templates.whole and deployments.whole:
        findings += _unused(template_document, deployment_document, *found)
    findings.sort(key=lambda item: (item.file, item.line or 0, item.column or 0))
    flawed = (tuple(templates.flawed_templates), tuple(deployments.flawed_deployments))
    return Catalogue(*found, tuple(findings), template_document, deployment_document, *flawed)


def _given(home: Path, path: str | None) -> Path | None:
    if not path:
        return None
    return home / path[2:] if path.startswith("~/") else Path(path)


def _search(
    home: Path, candidates: Sequence[str], variable: str, findings: list[Finding]
) -> Path | None:
    folder = home / FOLDER
    present = [name for name in candidates if (folder / name).exists()]
    if len(present) == 1:
        return folder / present[0]
    hint = f"or name another file by the environment variable {variable}"
    if present:
        message, hint = f"{' and '.join(present)} are both there", f"keep one, {hint}"
    else:
        message = f"no {candidates[0]} is there, nor {', '.join(candidates[1:])}"
        hint = f"write one, {hint}"
    findings.append(Finding(str(folder), None, None, "", message, hint))
    return None


def _document(path: Path | None, findings: list[Finding]) -> Document | None:
    if path is None:
        return None
    try:
        return parse(path.read_bytes(), str(path))
    except ParseError as error:
        findings += error.findings
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        findings.append(Finding(str(path), None, None, "", f"cannot be read: {reason}"))
    return None


class _Entries:
    """Reads the entries of one document; `whole` stays true while none was left out."""

    def __init__(self, findings: list[Finding]) -> None:
        self.templates: list[Template] = []
        self.deployments: list[Deployment] = []
        self.flawed_templates: list[Template] = []
        self.flawed_deployments: list[Deployment] = []
        self.whole = True
        self._findings = findings
        self._names: dict[tuple[str, str], KeyPath] = {}

    def read_templates(self, document: Document) -> None:
        if not isinstance(document.value, list):
            self._leave_out(_not_a(document, (), "list of templates"))
        elif not document.value:
            self._leave_out(document.finding((), "no template is there, so no server can start"))
        else:
            for index in range(len(document.value)):
                template, problems = read_template(document, index)
                good = self._good(document, template, problems, "")
                if template is not None:
                    (self.templates if good else self.flawed_templates).append(template)

    def read_deployments(self, document: Document) -> None:
        if not isinstance(document.value, dict):
            self._leave_out(_not_a(document, (), "mapping from resource types to deployments"))
            return
        for resource_type, entries in document.value.items():
            path = (resource_type,)
            if resource_type not in RESOURCE_TYPES:
                message = f"unknown resource type {resource_type!r}"
                hint = suggestion(resource_type, RESOURCE_TYPES)
                self._leave_out(document.finding(path, message, hint, at_key=True))
            if not isinstance(entries, list):
                self._leave_out(_not_a(document, path, "list of deployments"))
                continue
            for index in range(len(entries)):
                deployment, problems = read_deployment(document, resource_type, index)
                good = self._good(document, deployment, problems, resource_type)
                if deployment is not None and resource_type in RESOURCE_TYPES:
                    (self.deployments if good else self.flawed_deployments).append(deployment)

    def _good(
        self,
        document: Document,
        entry: Template | Deployment | None,
        problems: list[Finding],
        group: str,
    ) -> bool:
        if entry is not None:
            problems += _twice(document, entry, group, self._names)
            problems += _unknown_names(document, entry)
            self._findings += _for_nobody(document, entry)
        if isinstance(entry, Template):
            problems += _keys_twice(document, entry)
        self._leave_out(*problems)
        return not problems

    def _leave_out(self, *problems: Finding) -> None:
        self._findings += problems
        self.whole = self.whole and not problems


def _not_a(document: Document, path: KeyPath, what: str) -> Finding:
    value = document.value[path[0]] if path else document.value
    return document.finding(path, f"must be a {what}, but is {shown(value)}")


def _twice(
    document: Document,
    entry: Template | Deployment,
    group: str,
    names: dict[tuple[str, str], KeyPath],
) -> Iterable[Finding]:
    path = entry.path("name")
    first = names.setdefault((group, entry.name), path)
    if first != path:
        line, column = document.position(first)
        message = f"the name {entry.name!r} is taken"
        yield document.finding(path, message, f"by line {line}, column {column}")


def _unknown_names(document: Document, entry: Template | Deployment) -> Iterator[Finding]:
    for path, value in _rendered(entry):
        for steps, name in unknown_placeholders(value):
            close = nearest(name, PLACEHOLDERS)
            meant = f"did you mean {{{close}}}?" if close else f"known: {', '.join(PLACEHOLDERS)}"
            hint = f"{meant}; for these braces as such write {{{{{name}}}}}"
            message = f"unknown placeholder {{{name}}}"
            yield document.finding((*path, *steps), message, hint)


def _rendered(entry: Template | Deployment) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(entry, Deployment):
        yield from ((entry.path(name), value) for name, value in entry.attributes.items())
        return
    for key, block in entry.blocks():
        yield entry.path(key, "args"), block.args
        for steps, _, value in block.keywords():
            yield entry.path(key, *steps), value


def _keys_twice(document: Document, template: Template) -> Iterator[Finding]:
    for key, block in template.blocks():
        for steps, name, _ in block.keywords():
            if len(steps) == 1 and name in block.kwargs:
                path = template.path(key, *steps)
                yield document.finding(path, "stands in 'kwargs' as well", at_key=True)


def _for_nobody(document: Document, entry: Template | Deployment) -> Iterator[Finding]:
    given = {"allowed_users": entry.allowed_users, "allowed_groups": entry.allowed_groups}
    if any(given.values()):
        return
    for key in (key for key, names in given.items() if names is not None):
        message = "is empty, so nobody may choose this"
        hint = "leave the key out for everybody"
        yield document.finding(entry.path(key), message, hint, severity="warning")


def _unused(
    template_document: Document,
    deployment_document: Document,
    templates: Sequence[Template],
    deployments: Sequence[Deployment],
) -> Iterator[Finding]:
    used: set[KeyPath] = set()
    for template in templates:
        fitting = [
            deployment
            for deployment in deployments
            if any(deployment.fits(template.resource_type, name) for name in template.providers)
        ]
        used.update(deployment.path() for deployment in fitting)
        if not fitting:
            message = f"no deployment of type {template.resource_type} fits this template"
            path = template.path("name")
            yield template_document.finding(path, message, severity="warning")
    for deployment in deployments:
        if deployment.path() not in used:
            yield _unused_deployment(deployment_document, deployment, templates)


def _unused_deployment(
    document: Document, deployment: Deployment, templates: Sequence[Template]
) -> Finding:
    same_type = [t for t in templates if t.resource_type == deployment.resource_type]
    message, hint = "no template uses this deployment", ""
    if not same_type:
        hint = f"none is of type {deployment.resource_type}"
    elif deployment.provider is not None:
        offered = sorted({name for template in same_type for name in template.providers})
        hint = suggestion(deployment.provider, offered) or "none lists its provider"
    key = "provider" if same_type and deployment.provider is not None else "name"
    return document.finding(deployment.path(key), message, hint, severity="warning")


__all__ = ("DEPLOYMENT_FILES", "FOLDER", "TEMPLATE_FILES", "Catalogue", "Paths", "load", "locate")
