"""JupyterHub's home page, with the end of each running server and buttons to move it.

JupyterHub renders ``home.html``, its own or the administrator's. Ours extends that one and adds to
its block ``main``; a page without such a block stays as it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import jinja2
from jupyterhub.utils import url_escape_path

from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.selection.endings import on_deletion
from multiplespawner_core.spawner.multiple import MultipleSpawner
from multiplespawner_core.spawner.runtime import Runtime
from multiplespawner_core.web.lifetime import Lifetime, lifetime_of

ANCHOR = "multiplespawner-ends"
"""Id of our part of the page."""

STEPS = (30, 60, 120)
"""Minutes that the buttons offer, as far as the limit allows."""

_PAGE = "home.html"
_NEXT = "multiplespawner-next"
"""Below this name our page finds the one that it stands before."""

_ENVIRONMENTS = ("jinja2_env", "jinja2_env_sync")

_NEWS = 60.0
"""Seconds after which an outcome that nobody came to read is not shown any more."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What came of a button, for the page that is shown next."""

    text: str
    good: bool
    at: float


@dataclass(frozen=True)
class Server:
    """What the page shows of one running server.

    Args:
        name: of the server, empty for the default one.
        label: how the page calls it.
        path: where its buttons lead, below the hub's prefix.
        ends_at: in ISO 8601; None where it has no end.
        shown: the same for people, until a script shows it in their own time.
        left: how long that is from now.
        steps: minutes by which its user may move it, with their labels.
        on_end: what becomes of its files.
    """

    name: str
    label: str
    path: str
    ends_at: str | None
    shown: str
    left: str
    steps: Sequence[tuple[int, str]]
    on_end: str


@dataclass(frozen=True)
class Kept:
    """What the page shows of what is kept for a server.

    Args:
        label: how the page calls the server.
        path: where its button leads, below the hub's prefix.
        what: it is.
        on_deletion: what its deletion means for its files.
    """

    label: str
    path: str
    what: str
    on_deletion: str


@dataclass(frozen=True)
class Ends:
    """Our part of the page."""

    anchor: str = ANCHOR
    outcome: Outcome | None = None
    servers: Sequence[Server] = ()
    kept: Sequence[Kept] = ()
    stranded: Sequence[str] = ()


class Home:
    """Puts our part into the page, and knows what it shows.

    Args:
        runtime: the hub's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._outcomes: dict[str, Outcome] = {}

    def install(self, settings: Mapping[str, Any]) -> None:
        """Stand before ``home.html`` in both of JupyterHub's environments.

        One renders asynchronously, which is how the page is made, the other one does not.

        Args:
            settings: of the hub's tornado application.
        """
        for name in _ENVIRONMENTS:
            try:
                self._stand_before(settings[name])
            except Exception:  # noqa: BLE001 - the hub runs without this
                _log.exception("the hub's home page cannot show when servers end (%s)", name)

    def tell(self, user_name: str, text: str, *, good: bool) -> None:
        """Show this to a user when the page is made next."""
        self._outcomes[user_name] = Outcome(text, good, time.monotonic())

    def ends(self, user: Any) -> Ends:
        """Our part of the page for a user. Never raises: the page is there for more than this."""
        try:
            outcome = self._outcomes.pop(user.name, None)
            if outcome is not None and time.monotonic() - outcome.at > _NEWS:
                outcome = None
            stranded = [_stranded(one) for one in self._runtime.manager.stranded(user.name)]
            return Ends(
                outcome=outcome,
                servers=list(self._servers(user)),
                kept=list(self._kept(user)),
                stranded=stranded,
            )
        except Exception:  # noqa: BLE001 - as promised
            _log.exception("the home page cannot show when servers end")
            return Ends()

    def _servers(self, user: Any) -> Iterator[Server]:
        for name, spawner in sorted(user.spawners.items()):
            resource = spawner.resource if isinstance(spawner, MultipleSpawner) else None
            known = None if resource is None else lifetime_of(self._runtime, resource)
            if known is not None:
                yield Server(
                    name=name,
                    label=label(name, spawner),
                    path=f"{_path(user, name)}/lifetime",
                    ends_at=known.model()["ends_at"],
                    shown=_shown(known.ends_at),
                    left=_left(known.ends_at),
                    steps=_steps(known),
                    on_end=known.on_end,
                )

    def _kept(self, user: Any) -> Iterator[Kept]:
        kept = self._runtime.manager.kept(user.name)
        for resource in sorted(kept, key=lambda one: one.owner.server):
            name, record = resource.owner.server, resource.record
            if record is not None:
                yield Kept(
                    label=label(name, user.spawners.get(name)),
                    path=f"{_path(user, name)}/kept",
                    what=f"{record.deployment} from {record.provider} ({record.template})",
                    on_deletion=on_deletion(record.specification.resource_type),
                )

    def _stand_before(self, environment: jinja2.Environment) -> None:
        before = environment.loader
        if before is None:
            msg = "there is no loader of templates"
            raise LookupError(msg)
        environment.globals["multiplespawner_ends"] = self.ends
        environment.loader = jinja2.ChoiceLoader(
            [
                jinja2.PrefixLoader({_NEXT: before}),
                jinja2.PackageLoader("multiplespawner_core.web", "pages"),
                before,
            ]
        )
        try:
            # Each of them, since one that extends another looks for it only when it renders.
            environment.get_template(f"{_NEXT}/{_PAGE}")
            environment.get_template(_PAGE)
        except Exception:
            environment.loader = before
            raise


def label(name: str, spawner: Any) -> str:
    """How JupyterHub's page calls a server; names for display came with JupyterHub 6."""
    return getattr(spawner, "display_name", "") or name or "My Server"


def _path(user: Any, server: str) -> str:
    where = f"servers/{url_escape_path(server)}" if server else "server"
    return f"multiplespawner/users/{user.escaped_name}/{where}"


def _stranded(resource: Resource) -> str:
    return (
        f"{label(resource.owner.server, None)} was stopped, but may still run: the hub lacks at"
        " present what is needed to end it. Your administrator can see this"
    )


def _steps(known: Lifetime) -> list[tuple[int, str]]:
    spare = known.spare()
    minutes = [step for step in STEPS if step <= spare]
    if not minutes and spare:
        minutes = [spare]
    return [(step, duration(step)) for step in minutes]


def _shown(moment: float | None) -> str:
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _left(moment: float | None) -> str:
    return "" if moment is None else duration(int((moment - time.time()) // 60))


def duration(minutes: int) -> str:
    """As the page's script says it."""
    days, minutes = divmod(max(minutes, 0), 24 * 60)
    parts = ((days, "d"), (minutes // 60, "h"), (minutes % 60, "min"))
    told = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(told[:2]) or "less than 1 min"


__all__ = ("ANCHOR", "Home", "duration", "label")
