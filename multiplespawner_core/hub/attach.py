"""Starting and ending with the hub, also while no server of ours runs.

JupyterHub constructs nothing of a Spawner class until a server is asked for, and it imports every
class in the entry-point group ``jupyterhub.spawners`` (``jupyterhub/app.py``, ``_load_classes``)
whichever is configured. Two methods of the application are therefore wrapped once, and do
something only where the configured class is ours:

* ``JupyterHub.init_handlers`` runs with configuration, database, templates and event loop, before
  the handlers are in use and before servers are looked at;
* ``JupyterHub.cleanup`` runs when the hub ends.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from jupyterhub import orm
from jupyterhub.app import JupyterHub

from multiplespawner_core.contracts import ConfigurationError, Owner
from multiplespawner_core.spawner.multiple import MultipleSpawner, intent_of
from multiplespawner_core.spawner.runtime import Runtime
from multiplespawner_core.spawner.settings import unknown
from multiplespawner_core.web import choices, handlers, inventory, kept, static
from multiplespawner_core.web.home import Home

_MARK = "_multiplespawner_attached"


def attach(application: type[Any] = JupyterHub) -> None:
    """Wrap the two methods, once for a class."""
    if _MARK in vars(application):
        return
    init_handlers = getattr(application, "init_handlers", None)
    cleanup = getattr(application, "cleanup", None)
    if init_handlers is None or cleanup is None:
        logging.getLogger(__name__).warning(
            "this JupyterHub has no %s.init_handlers or cleanup; multiplespawner starts with the"
            " first server",
            application.__name__,
        )
        return
    setattr(application, _MARK, True)
    application.init_handlers = _starting(init_handlers)
    application.cleanup = _ending(cleanup)


def _starting(init_handlers: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(init_handlers)
    def wrapper(app: Any) -> None:
        if issubclass(app.spawner_class, MultipleSpawner):
            # First: some spawners bring handlers, which their import adds to JupyterHub's lists.
            _start(app)
        init_handlers(app)
        runtime = app.__dict__.get("_multiplespawner")
        if runtime is not None:
            _answer(app, runtime)

    return wrapper


def _ending(cleanup: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    @functools.wraps(cleanup)
    async def wrapper(app: Any) -> None:
        try:
            await cleanup(app)
        finally:
            runtime = app.__dict__.pop("_multiplespawner", None)
            if runtime is not None:
                await runtime.shutdown()

    return wrapper


def _start(app: Any) -> None:
    _warn_of_typos(app)
    try:
        revive = functools.partial(_spawner_of, app)
        runtime = Runtime.start(app.config, revive, functools.partial(_serving, app), app.log)
    except ConfigurationError as error:
        app.log.critical("multiplespawner cannot start: %s", error)
        app.exit(1)
    except Exception as error:
        app.log.critical("multiplespawner cannot start: %r", error, exc_info=True)
        app.exit(1)
    else:
        app.__dict__["_multiplespawner"] = runtime


def _answer(app: Any, runtime: Runtime) -> None:
    """Add our handlers before JupyterHub's, whose last ones answer everything with 404."""
    home = Home(runtime)
    home.install(app.tornado_settings)
    answers = [
        *handlers.handlers(runtime, home),
        *kept.handlers(runtime, home),
        *choices.handlers(runtime),
        *inventory.handlers(runtime),
        *static.handlers(),
    ]
    ours = app.add_url_prefix(app.hub_prefix, answers)
    app.handlers = [*ours, *app.handlers]


def _warn_of_typos(app: Any) -> None:
    """JupyterHub says this itself, but only when the first Spawner is made."""
    known = MultipleSpawner.class_trait_names(config=True)
    for finding in unknown(app.config, "MultipleSpawner", known):
        app.log.warning("%s", finding)


def _serving(app: Any) -> set[str]:
    """The intents that JupyterHub's database shows as running servers."""
    rows = app.db.query(orm.Spawner).filter(orm.Spawner.server != None)  # noqa: E711 - SQLAlchemy's
    return {intent for row in rows if (intent := intent_of(row.state))}


def _spawner_of(app: Any, owner: Owner) -> Any:
    """The Spawner that JupyterHub has or makes for a server that exists in its database."""
    orm_user = orm.User.find(app.db, owner.user)
    if orm_user is None or owner.server not in orm_user.orm_spawners:
        return None
    return app.users[orm_user].spawners[owner.server]


__all__ = ("attach",)
