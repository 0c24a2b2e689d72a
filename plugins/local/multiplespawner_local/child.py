"""The child spawner, made to start its server inside the limits of its reservation."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from multiplespawner_core import ConfigurationError, InvalidSpecification
from multiplespawner_local.identity import Identity
from multiplespawner_local.processes import INTENT

if TYPE_CHECKING:
    from jupyterhub.spawner import LocalProcessSpawner as Base
    from jupyterhub.spawner import Spawner

    from multiplespawner_local.provider import LocalProvider
else:
    Base = object

Preexec = Callable[[], object]

_REMEDY = "if every user may read the hub's keys, set c.LocalProvider.allow_same_user = True"
_DROPPERS = ("user", "group", "extra_groups")


class LimitedStart(Base):
    """Put before a local process spawner: joins the control groups, then starts as it does.

    A pid from the ledger may be a stranger's by now, for example after a reboot: it is looked at
    and signalled only while it is surely the server's, and otherwise the server has ended.
    """

    local_provider: LocalProvider
    popen_kwargs: Any
    _identity = Identity()

    def make_preexec_fn(self, name: str) -> Preexec:
        # Before privileges are dropped: only root may write into the groups.
        return joining(self._join_files(), super().make_preexec_fn(name))

    async def start(self) -> Any:
        provider = self.local_provider
        if not provider.allow_same_user:
            _require_other_user(self.user.name)
        self._identity = Identity(self._intent_id())
        as_configured = self.popen_kwargs
        self.popen_kwargs = self._joining_kwargs(as_configured)
        try:
            url = await super().start()
        finally:
            self.popen_kwargs = as_configured
        self._identity = Identity.of(self.pid, self._intent_id())
        if not provider.allow_same_user:
            _verify(self.pid)
        return url

    async def poll(self) -> Any:
        if self.proc is None and self.pid:
            ours = self._is_ours()
            if ours is None:
                return None
            if not ours:
                self.log.info("The process %i is not this server's (any more)", self.pid)
                self.clear_state()
                return 0
        return await super().poll()

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._identity = Identity.load(state)

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        return {**state, **self._identity.dump()} if self.pid else state

    def clear_state(self) -> None:
        super().clear_state()
        self._identity = Identity()

    async def _signal(self, sig: int) -> bool:
        ours = self._is_ours()
        if not ours or sig == 0:
            return ours is not False
        sent: bool = await super()._signal(sig)
        return sent

    def _is_ours(self) -> bool | None:
        proc = self.proc
        if proc is not None and proc.pid == self.pid and proc.returncode is None:
            return True  # nobody else gets its number before this hub has waited for it
        return self._identity.fits(self.pid, same_user=self.local_provider.allow_same_user)

    def _intent_id(self) -> str:
        intent_id: str = self.environment.get(INTENT, "")
        return intent_id

    def _join_files(self) -> Sequence[Path]:
        return self.local_provider.join_files(self._intent_id())

    def _joining_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The administrator's `preexec_fn` takes the place of the spawner's: it joins as well."""
        files = self._join_files()
        if files and (droppers := [name for name in _DROPPERS if name in kwargs]):
            message = (
                f"popen_kwargs sets {' and '.join(droppers)}: the server would change its user"
                " before it enters its limits; remove them, or set c.LocalProvider.limits = 'none'"
            )
            raise ConfigurationError(message)
        if "preexec_fn" not in kwargs:
            return kwargs
        return {**kwargs, "preexec_fn": joining(files, kwargs["preexec_fn"])}


def limited(base: type[Spawner], provider: LocalProvider) -> type[Spawner]:
    """A subclass of `base` under the same name, so that ``c.<Base>`` configures it too.

    Raises:
        ConfigurationError: it starts no local processes, or it would run as the hub's own user.
    """
    from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner  # noqa: PLC0415 - heavy

    if not issubclass(base, LocalProcessSpawner):
        message = (
            f"{base.__module__}.{base.__qualname__} starts no processes on this machine:"
            " a template of the provider local needs jupyterhub.spawner.LocalProcessSpawner"
            " or a subclass of it"
        )
        raise ConfigurationError(message)
    if not provider.allow_same_user:
        if issubclass(base, SimpleLocalProcessSpawner):
            _refuse(base, "it starts them as the user that the hub runs as")
        if os.geteuid() != 0:
            _refuse(base, "the hub is not root, so it cannot start them as another user")
    names = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "local_provider": provider,
    }
    metaclass: Any = type(base)
    made: type[Spawner] = metaclass(base.__name__, (LimitedStart, base), names)
    return made


def joining(files: Sequence[Path], then: Preexec | None) -> Preexec:
    """What the forked child does before it becomes the server: nothing but system calls."""
    paths = [os.fspath(path) for path in files]

    def preexec() -> None:
        for path in paths:
            descriptor = os.open(path, os.O_WRONLY)
            os.write(descriptor, b"0")
            os.close(descriptor)
        if then is not None:
            then()

    return preexec


def _refuse(base: type[Spawner], why: str) -> None:
    message = (
        f"{base.__module__}.{base.__qualname__} would run notebooks as the hub's own user,"
        f" who can read the hub's keys and ledger: {why}. Use LocalProcessSpawner with a hub"
        f" that runs as root; {_REMEDY}"
    )
    raise ConfigurationError(message)


def _require_other_user(name: str) -> None:
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        raise InvalidSpecification(f"This machine has no account {name!r}.") from None
    if uid in (0, os.getuid()):
        raise InvalidSpecification(f"The account {name!r} may not run notebooks on this machine.")


def _verify(pid: int) -> None:
    """Whatever a subclass of the spawner has done: nothing of the hub's own user remains."""
    with contextlib.suppress(psutil.Error):
        if psutil.Process(pid).uids().real in (0, os.getuid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            message = f"the server would have run as the hub's own user; {_REMEDY}"
            raise ConfigurationError(message)


__all__ = ("LimitedStart", "joining", "limited")
