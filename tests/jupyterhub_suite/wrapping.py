"""MultipleSpawner in the place of JupyterHub's mock spawners, and these as its children."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from jupyterhub.spawner import Spawner
from jupyterhub.tests import mocking
from jupyterhub.user import User

from multiplespawner_core import MultipleSpawner
from multiplespawner_core.selection import request

MOCKS: Mapping[str, type[Spawner]] = {
    name: found
    for name, found in vars(mocking).items()
    if isinstance(found, type) and issubclass(found, mocking.MockSpawner)
}
"""The mock spawners of this JupyterHub."""

_FORM = ("options_form", "options_from_form")
_KNOBS = frozenset({"_start_future", "delay", "use_this_api_token", "will_resume"})
"""What tests set on a mock spawner to make it behave; it keeps them from one start to the next."""

children: Counter[str] = Counter()
"""How many children of each mock were built."""

mistakes: list[str] = []
"""Spawners that were not what they had to be."""

_outer_of: WeakKeyDictionary[Any, Wrapped] = WeakKeyDictionary()


class Wrapped(MultipleSpawner):
    """MultipleSpawner for the users of one mock, as a site would derive it.

    Its users are in a group of the mock's name, to which one template is open: nothing is left to
    choose. What tests choose means nothing to us; it is stored and shown, and not validated.
    """

    mock: type[Spawner]

    def __init__(self, **kwargs):
        self.knobs: dict[str, Any] = {}
        super().__init__(**kwargs)
        _outer_of[self.orm_spawner] = self

    @property
    def chooser(self):
        chooser = super().chooser
        return request.User(chooser.name, chooser.groups | {self.mock.__name__})

    async def _choose(self, options):
        return await super()._choose({} if isinstance(options, Mapping) else options)

    async def start(self):
        _outer_of[self.orm_spawner] = self
        return await super().start()

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in _KNOBS:
            self.knobs[name] = value
            linked = vars(self).get("_child")
            child = linked.spawner if linked else None
            if child is not None and getattr(child, name) != value:
                setattr(child, name, value)


class Child:
    """Put before a mock: shares the knobs with the Wrapped that starts it."""

    knobs: Mapping[str, Any] = {}

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        name = type(self).__name__
        outer = _outer_of.get(self.orm_spawner)
        expected = None if outer is None else outer.mock
        if MOCKS[name] is not expected:
            mistakes.append(f"{name} was built as the child of {outer!r} for {expected}")
        children[name] += 1
        for knob, value in list(outer.knobs.items()):
            setattr(self, knob, value)
        self.knobs = outer.knobs

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in _KNOBS:
            self.knobs[name] = value


def wrap() -> None:
    """Put a Wrapped in the place of each mock, before JupyterHub's test modules import them."""
    for name, mock in MOCKS.items():
        setattr(mocking, name, _wrapped(mock))
    User._new_spawner = _watched(User._new_spawner)


def as_child(mock: type[Spawner], module: str) -> type[Spawner]:
    """The mock as templates name it."""
    return type(mock.__name__, (Child, mock), {"__module__": module})


def _wrapped(mock: type[Spawner]) -> type[Wrapped]:
    """With the form that the mock has of its own, if it has one; a site may bring one as well."""
    bases = [base for base in mock.__mro__ if base in MOCKS.values()]
    own = {name for base in bases for name in _FORM if name in vars(base)}
    form = {name: inspect.getattr_static(mock, name) for name in own}
    return type(mock.__name__, (Wrapped,), {"__module__": __name__, "mock": mock, **form})


def _watched(new_spawner):
    def wrapper(self, server_name, spawner_class=None, **kwargs):
        spawner = new_spawner(self, server_name, spawner_class, **kwargs)
        # Some tests are about a class of JupyterHub's own, or name none.
        configured = spawner_class is None and "spawner_class" in self.settings
        if configured and not isinstance(spawner, MultipleSpawner):
            mistakes.append(f"{spawner!r} is no MultipleSpawner")
        return spawner

    return wrapper


__all__ = ("MOCKS", "Child", "Wrapped", "as_child", "children", "mistakes", "wrap")
