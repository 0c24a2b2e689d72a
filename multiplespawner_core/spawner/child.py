"""The child spawner of one server: built, started, watched and stopped here."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyterhub.spawner import Spawner

from multiplespawner_core.catalogue.coercion import coerce, settable_traits
from multiplespawner_core.catalogue.placeholders import has_placeholder, render
from multiplespawner_core.contracts import (
    ConfigurationError,
    MultipleSpawnerError,
    Owner,
    TakesAccess,
)
from multiplespawner_core.planning.boundary import expect
from multiplespawner_core.planning.plan import Placeholders, Plan
from multiplespawner_core.resources.child import Launch
from multiplespawner_core.resources.failures import ChildFailed
from multiplespawner_core.resources.storable import storable
from multiplespawner_core.resources.timing import bounded, end
from multiplespawner_core.spawner import traits

if TYPE_CHECKING:
    from multiplespawner_core.spawner.multiple import MultipleSpawner

_LOW, _HIGH = 70.0, 95.0
"""Between these percents lies the child's own progress."""

_LARGEST_STATUS = 2**31 - 1
"""What every database stores; operating systems know no larger one."""

_POLL_TIMEOUT = 10.0
"""Seconds for which a stop asks whether there is anything to stop."""

START_ONLY = frozenset({"args", "cmd", "env", "environment", "shell_cmd", "user_options"})
"""Traits that only matter while a server starts: not stored, since they may hold secrets."""

_FORMATTED = frozenset({"default_url", "notebook_dir"})
"""Traits that JupyterHub formats once more (``Spawner.get_env``): names are not read there."""

_log = logging.getLogger(__name__)


class ChildSpawner:
    """Links a child to the Spawner that JupyterHub knows.

    The child gets its traits explicitly: who the server is, what the administrator set, what
    template, deployment and provider say. It never sees the user's raw options.

    Args:
        outer: the Spawner that JupyterHub constructed.
    """

    def __init__(self, outer: MultipleSpawner) -> None:
        self._outer = outer
        self._child: Spawner | None = None
        self._stored: dict[str, Any] = {}
        self._unlink: Callable[[], None] = _nothing

    @property
    def owner(self) -> Owner:
        """Whose server it is, as JupyterHub has it now."""
        return self._outer.owner

    @property
    def spawner(self) -> Spawner | None:
        """The child itself, once it is built."""
        return self._child

    @classmethod
    def restore(
        cls, outer: MultipleSpawner, stored: Mapping[str, Any], child_class: type[Spawner]
    ) -> ChildSpawner:
        """The child of a server that runs already, as `snapshot` described it.

        Args:
            outer: the Spawner that JupyterHub constructed.
            stored: from `snapshot`.
            child_class: the class that `stored` names, adapted by its provider.
        """
        self = cls(outer)
        self._stored = dict(stored)
        self._build(child_class, dict(stored.get("kwargs", {})))
        assert self._child is not None  # noqa: S101 - just built
        self._child.load_state(dict(stored.get("state", {})))
        return self

    async def start(self, launch: Launch) -> str:
        """Build the child, start it and return the URL at which it answers."""
        plan = launch.plan
        kwargs = _rendered(plan, launch.placeholders)
        given = _given(plan, launch)
        hub_url = {"hub_connect_url": plan.hub_connect_url} if plan.hub_connect_url else {}
        own, changed = self._outer.own_traits(), self._outer.changed_traits()
        self._build(plan.child_class, traits.merge(own, hub_url, kwargs, changed, given))
        self._stored = {
            "class": f"{plan.child_class.__module__}.{plan.child_class.__qualname__}",
            "kwargs": storable(traits.merge(kwargs, given), START_ONLY.__contains__),
        }
        child = self._child
        assert child is not None  # noqa: S101 - just built
        await self._certificates(child)
        progress = asyncio.ensure_future(_pass_on(child, launch))
        try:
            result = await _await(child.start())
        except Exception as error:
            raise _translated(error) from error
        finally:
            await end(progress, grace=1)
        self._outer.adopt(child)
        return self._url(child, result)

    async def poll(self) -> int | None:
        """None while the child runs; children answer with strings and other values as well."""
        if self._child is None:
            return None
        status = await _await(self._child.poll())
        if status is None or (isinstance(status, int) and abs(status) <= _LARGEST_STATUS):
            return status
        return 1

    async def stop(self) -> None:
        """Stop the child, if it was built and still runs, or if nobody knows."""
        child = self._child
        if child is None:
            return
        try:
            if await self._may_run():
                await _await(child.stop())
            self._outer.adopt(child)
        finally:
            self._unlink()

    def snapshot(self) -> Mapping[str, Any]:
        """What is needed to poll and stop the child after a restart of the hub."""
        state = self._child.get_state() if self._child is not None else {}
        return {**self._stored, "state": storable(state, START_ONLY.__contains__)}

    async def notice(self) -> None:
        """Make JupyterHub see that the server has ended, as its own poll would in a while."""
        await self._outer.poll_and_notify()

    async def _may_run(self) -> bool:
        try:
            return await bounded(self.poll(), _POLL_TIMEOUT) is None
        except Exception as error:  # noqa: BLE001 - a poll that fails proves nothing
            _log.warning("%s: its poll failed: %r", type(self._child).__name__, error)
            return True

    def _build(self, child_class: type[Spawner], kwargs: dict[str, Any]) -> None:
        outer = self._outer
        identity = {name: getattr(outer, name) for name in traits.IDENTITY}
        runtime = {name: getattr(outer, name) for name in traits.RUNTIME}
        environment = kwargs.pop("environment", None)
        child = child_class(**{**kwargs, **identity, **runtime, "user_options": {}})
        if environment:
            # Beside what the child's own configuration says, not instead of it.
            merged = {**child.environment, **environment}
            child.environment = {key: value for key, value in merged.items() if value is not None}
        self._child = child
        self._unlink = traits.keep_equal(outer, child)

    async def _certificates(self, child: Spawner) -> None:
        """Issue certificates for the address that the child knows now, and move them to it.

        JupyterHub asks the outer Spawner for certificates before there is any address.
        """
        if not child.internal_ssl:
            return
        paths = await _await(child.create_certs())
        child.cert_paths = await _await(child.move_certs(paths))

    def _url(self, child: Spawner, result: Any) -> str:
        if isinstance(result, str):
            if _names_a_place(result):
                return result
            result = ()
        if result is None:
            # Spawners from before JupyterHub 0.7 leave it in their own traits.
            result = (child.ip, child.port)
        address, port = result or (None, None)
        if not address or not port:
            message = f"{type(child).__name__} did not say where the server answers"
            raise ConfigurationError(message)
        scheme = "https" if child.internal_ssl else "http"
        host = f"[{address}]" if ":" in address else address
        return f"{scheme}://{host}:{int(port)}"


def _names_a_place(url: str) -> bool:
    try:
        return bool(urlsplit(url).netloc)
    except ValueError:
        return False


def _given(plan: Plan, launch: Launch) -> Mapping[str, Any]:
    """What provider and authenticator give; a misspelt limit would be dropped without a word."""
    given: Any = plan.provider.child_traits(launch.intent, launch.handle)
    who = f"{type(plan.provider).__name__}.child_traits"
    _require_traits(expect(given, Mapping, plan.provider, "child_traits"), plan, who)  # type: ignore[type-abstract]
    if not issubclass(plan.child_class, TakesAccess):
        return dict(given)
    access: Any = plan.child_class.access_traits(launch.access)
    _require_traits(access, plan, f"{plan.child_class.__name__}.access_traits")
    return traits.merge(access, given)


def _require_traits(given: Mapping[str, Any], plan: Plan, who: str) -> None:
    known = plan.child_class.class_traits()
    for name in given:
        if name not in known:
            msg = f"{who} gave {name!r}, which {plan.child_class.__name__} has not"
            raise TypeError(msg)


def _rendered(plan: Plan, placeholders: Placeholders) -> dict[str, Any]:
    """The child's traits with what is known now in the place of the placeholders."""
    known = settable_traits(plan.child_class)
    result = {}
    for name, value in plan.child_kwargs.items():
        rendered = render(value, placeholders)
        if name in _FORMATTED and isinstance(rendered, str):
            rendered = rendered.replace("{", "{{").replace("}", "}}")
        # Text that stands in the file was coerced when it was loaded.
        result[name] = coerce(known[name], rendered) if has_placeholder(value) else rendered
    return result


async def _pass_on(child: Spawner, launch: Launch) -> None:
    """The child's own progress events; whatever goes wrong with them, the start goes on."""
    try:
        stream: AsyncIterator[Any] = child.progress()
        async with contextlib.aclosing(stream) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Mapping) and not event.get("failed"):
                    launch.events.add_from_child(event, _LOW, _HIGH)
                # A generator that never waits must not keep everybody else from running.
                await asyncio.sleep(0)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong with them
        _log.debug("progress of %s ended with %r", type(child).__name__, error)


def _translated(error: Exception) -> Exception:
    """Texts that a spawner means for its user are passed on; all others may hold a secret."""
    if isinstance(error, MultipleSpawnerError):
        return error
    message = getattr(error, "jupyterhub_message", "") or ""
    if not message and type(error).__name__ == "SpawnException":
        message = getattr(error, "message", "")
    return ChildFailed(str(message)) if message else error


def _nothing() -> None:
    """What there is to unlink before a child is built."""


async def _await(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


__all__ = ("ChildSpawner",)
