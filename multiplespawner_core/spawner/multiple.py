"""MultipleSpawner, the Spawner that JupyterHub sees: it asks the manager, answers from memory."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, Final

from jupyterhub.spawner import Spawner
from sqlalchemy.orm import object_session
from tornado import web
from tornado.ioloop import IOLoop
from traitlets import Any as Anything
from traitlets import default

from multiplespawner_core.contracts import ConfigurationError, Owner
from multiplespawner_core.planning.plan import Plan
from multiplespawner_core.planning.site import Site
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.failures import StartCancelled, StartFailed
from multiplespawner_core.resources.manager import FAILED
from multiplespawner_core.resources.record import Record
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.selection import form
from multiplespawner_core.selection.request import Choice, InvalidOptions, Request, User
from multiplespawner_core.spawner import traits
from multiplespawner_core.spawner.child import ChildSpawner
from multiplespawner_core.spawner.errors import for_jupyterhub, uncounted
from multiplespawner_core.spawner.runtime import Runtime
from multiplespawner_core.spawner.settings import Settings

OFFERS_WAIT: Final = 2.0
"""Seconds for which form and API wait for what providers say of their capacity."""

_entered: ContextVar[Mapping[str, Any] | None] = ContextVar("entered", default=None)
"""The fields of the request under way. If it is refused, JupyterHub renders the form once more,
and for a named server by another Spawner, the default server's (``handlers/pages.py``, _post)."""

_SETTLE = 5.0
"""Seconds for which a poll waits for a commit under way, or for the provider after a restart."""

_STOP_WAIT = 30.0
"""Seconds for which `stop` waits until the resource is gone; the release goes on behind."""


class MultipleSpawner(Settings, Spawner):
    """Starts servers where their users want them.

    Construction and `load_state` are cheap, offline and never raise: JupyterHub does both
    whenever a page shows the server (``jupyterhub/user.py``, ``User._new_spawner``).
    """

    user_options = Anything(
        help="""What the user chose.

        JupyterHub 5 stores any body of a request before it is validated. A trait that refused it
        would leave a server that can neither be shown nor started.
        """
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._as_configured = traits.administered(self)
        self._events = EventLog()
        self._intent_id: str | None = None
        self._resource: Resource | None = None
        self._child: ChildSpawner | None = None

    # -- what the user chooses --------------------------------------------------------------

    @default("user_options")
    def _default_user_options(self) -> dict[str, Any]:
        return {}

    @default("options_form")
    def _default_options_form(self) -> Any:
        return _render_form

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return _parse_form

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        return MultipleSpawner._apply

    async def _apply(self, options: Mapping[str, Any]) -> None:
        await self._choose(options)

    async def _choose(
        self, options: Mapping[str, Any]
    ) -> tuple[Site, list[tuple[Request, Choice]]]:
        """Validate the options, from whichever door they came, and set the deadlines they need.

        Returns what they mean here, and then what may take its place.
        """
        site = await self._runtime.fresh_site()
        try:
            request, choice = site.select(options, self.chooser)
        except InvalidOptions as error:
            raise self._ended_by(_refused(error)) from None
        wanted = [(request, choice), *site.fallbacks(options, self.chooser, choice)]
        choices = [one for _, one in wanted]
        self._set_timeout("start_timeout", max(site.budget(one).start_timeout for one in choices))
        self._set_timeout("http_timeout", max(map(site.http_timeout, choices)))
        return site, wanted

    def _ended_by(self, failure: StartFailed) -> web.HTTPError:
        """What ends a start; one that was refused is no failure of the hub's."""
        if failure.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            uncounted(self.handler)
        return for_jupyterhub(failure)

    def _set_timeout(self, name: str, seconds: float) -> None:
        """What the administrator sets for MultipleSpawner itself stands."""
        if not self._configures(name):
            setattr(self, name, int(seconds))

    # -- start, stop, poll --------------------------------------------------------------------

    async def start(self) -> str:
        """Ask the manager for a server and wait for its URL.

        JupyterHub cancels this when it takes too long, when the user cancels and when the hub
        ends; then the release begins at once and goes on behind.
        """
        # Once more: a hook may have changed them.
        site, wanted = await self._choose(self.user_options)
        runtime = self._runtime
        self._child = ChildSpawner(self)

        async def planner() -> Plan:
            return await site.plan(wanted, self.owner)

        async def resumer(kept: Record) -> Plan | None:
            return await site.plan_again(wanted, self.owner, kept)

        manager = runtime.manager
        resource = manager.begin(self.owner, planner, self._child, self._events, resumer)
        self._resource, self._intent_id = resource, resource.id
        try:
            url = await asyncio.shield(resource.url)
        except asyncio.CancelledError:
            # Said at once: JupyterHub 6 takes the second in which it waits for us for "ready".
            self._events.fail(str(StartCancelled()))
            manager.begin_release(resource, "the start was cancelled", FAILED)
            raise
        except StartFailed as failure:
            raise self._ended_by(failure) from None
        # It is another one where what was obtained first failed.
        self._intent_id = resource.id
        return url

    async def stop(self, now: bool = False) -> None:
        """Release the resource; returns once the server has ended."""
        resource = self._held()
        if resource is None:
            return
        self._runtime.manager.begin_release(resource, "it was stopped")
        closed = asyncio.ensure_future(resource.closed.wait())
        await asyncio.wait({closed}, timeout=1.0 if now else _STOP_WAIT)
        closed.cancel()

    async def poll(self) -> int | None:
        """None until the release of this server is committed, then its exit status."""
        try:
            resource = self._held()
        except ConfigurationError:
            self.log.exception("%s: nobody knows whether it runs", self.owner)
            return None
        if resource is None:
            return 0
        await resource.settled(_SETTLE)
        return resource.poll()

    async def get_url(self) -> str:
        """Where the server answers: what the ledger says, else what JupyterHub's database says."""
        with contextlib.suppress(ConfigurationError):
            resource = self._held()
            if resource is not None and resource.record is not None and resource.record.url:
                return resource.record.url
        return self.server.url if self.server else ""

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Every event of the start under way from its first one on, for each page that looks."""
        async for event in self._events.follow():
            yield event

    def add_poll_callback(self, callback: Any, *args: Any, **kwargs: Any) -> None:
        """Call back when the server ends, also where it has ended already.

        JupyterHub asks for this last, once the proxy knows the server. An end before that was
        told to nobody, and has stopped JupyterHub's own polling.
        """
        super().add_poll_callback(callback, *args, **kwargs)
        if self._resource is not None and self._resource.poll() is not None:
            IOLoop.current().add_callback(self.poll_and_notify)

    # -- state ----------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """The intent's id; everything else stands in the ledger."""
        state: dict[str, Any] = super().get_state()
        # Of a start under way it may change: what is kept has its own.
        intent = self._intent_id if self._resource is None else self._resource.id
        if intent is not None:
            state["intent"] = intent
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Remember the intent; it is looked up when it is needed."""
        super().load_state(state)
        self._intent_id = intent_of(state)

    def clear_state(self) -> None:
        """Forget the server. What is still to be released is the manager's, not ours to forget."""
        super().clear_state()
        self._intent_id = None
        self._resource = None
        self._child = None
        self._events = EventLog()

    # -- the rest of the contract -------------------------------------------------------------

    async def move_certs(self, paths: dict[str, Any]) -> dict[str, Any]:
        """Nothing: the address is not known yet. The child's are made and moved in `start`."""
        return paths

    async def delete_forever(self) -> None:
        """Release what may be left or is kept, and let each kind of child remove what it kept."""
        runtime = self._runtime
        for resource in runtime.manager.of(self.owner):
            await runtime.manager.release(resource, "the server was deleted", for_good=True)
        for child in await runtime.past_children(self):
            try:
                await _finish(child.delete_forever())
            except Exception:
                self.log.exception("%s: %s removed nothing", self.owner, type(child).__name__)

    async def rename(self, old_name: str, new_name: str) -> None:
        """Let each kind of child follow or refuse, then the ledger's rows (JupyterHub 6).

        Args:
            old_name: name of the server.
            new_name: what it will be.
        """
        for child in await self._runtime.past_children(self):
            await _finish(child.rename(old_name, new_name))
        await self._runtime.rename(self.owner, old_name, new_name)

    # -- what the runtime and the child need ------------------------------------------------

    @property
    def owner(self) -> Owner:
        """Whose server this is."""
        return Owner(self.user.name, self.name or "")

    @property
    def chooser(self) -> User:
        """Who chooses, with the groups that JupyterHub knows now."""
        return User(self.user.name, frozenset(group.name for group in self.user.groups))

    @property
    def resource(self) -> Resource | None:
        """What the manager holds of this server; None if there is nothing to be given back."""
        return self._held()

    @property
    def child(self) -> Spawner | None:
        """The child spawner, once it is built."""
        self._held()
        return self._child.spawner if self._child else None

    def serving(self) -> set[str] | None:
        """The intents that JupyterHub's database shows as running servers; None if unknown."""
        session = object_session(self.orm_spawner)
        if session is None:
            return None
        rows = session.query(type(self.orm_spawner)).all()
        return {intent for row in rows if row.server and (intent := intent_of(row.state))}

    def own_traits(self) -> dict[str, Any]:
        """What configuration sets for us, rather than for every Spawner."""
        return {name: v for name, v in self._as_configured.items() if self._configures(name)}

    def changed_traits(self) -> dict[str, Any]:
        """What hooks and group overrides changed since construction."""
        return traits.changed(self._as_configured, self)

    def adopt(self, child: Spawner) -> None:
        """Take over what JupyterHub reads from us but only the child knows."""
        self.will_resume = child.will_resume
        self.ip, self.port = child.ip, child.port

    def _configures(self, name: str) -> bool:
        ours = [cls.__name__ for cls in type(self).__mro__ if issubclass(cls, MultipleSpawner)]
        return any(name in self.config.get(section, {}) for section in ours)

    def _held(self) -> Resource | None:
        """The resource, and after a restart the child that belongs to it."""
        if self._resource is None and self._intent_id is not None:
            self._resource = self._runtime.manager.find(self._intent_id)
        resource = self._resource
        if resource is not None:
            self._runtime.manager.reassign(resource, self.owner)
        if resource is not None and self._child is None:
            self._child = self._runtime.relink(self, resource)
        return resource

    @property
    def _runtime(self) -> Runtime:
        return Runtime.current(self)


def intent_of(state: Any) -> str | None:
    """The intent's id in what JupyterHub's database holds, whoever wrote it."""
    intent = state.get("intent") if isinstance(state, Mapping) else None
    return intent if isinstance(intent, str) else None


async def _finish(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


async def _render_form(spawner: MultipleSpawner) -> str:
    """The form; none where there is nothing to choose."""
    site = await spawner._runtime.fresh_site()  # noqa: SLF001 - JupyterHub calls a function
    choices = site.choices(spawner.chooser)
    stored = spawner.orm_spawner.user_options
    last = stored if isinstance(stored, Mapping) else {}
    # JupyterHub asks for the form after a query that was refused. Without one it starts a server
    # as if nothing had been asked for.
    if _entered.get() is None and not form.needed(choices, last):
        return ""
    return form.render(
        choices,
        last,
        await site.unavailable(choices, OFFERS_WAIT),
        entered=_entered.get(),
        script=form.script_url(spawner.hub.base_url),
    )


def _parse_form(data: Mapping[str, Any]) -> dict[str, Any]:
    _entered.set(data)
    try:
        return form.parse(data)
    except InvalidOptions as error:
        raise for_jupyterhub(_refused(error)) from None


def _refused(error: InvalidOptions) -> StartFailed:
    return StartFailed(f"{error}.", "options", HTTPStatus.BAD_REQUEST)


__all__ = ("OFFERS_WAIT", "MultipleSpawner", "intent_of")
