"""What the author of a provider says about it; the checks do the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from multiplespawner_core.contracts import (
    Handle,
    Intent,
    Keys,
    Provider,
    ProviderError,
    Specification,
)
from multiplespawner_core.testing.conformance import planted, standalone
from multiplespawner_core.testing.conformance.rules import LeftOut, Rule

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner

    from multiplespawner_core.testing.conformance.bench import Bench

Context = AbstractContextManager[Any] | AbstractAsyncContextManager[Any]


class Child(Protocol):
    """A started child spawner, as the checks see it; both may be coroutines."""

    def poll(self) -> Any:
        """None while it runs."""
        ...

    def stop(self) -> Any:
        """End it."""
        ...


class Subject:
    """The author's part. `provider` and `specification` are needed, and `child` where it makes
    what runs; everything else is optional, and what is missing is reported with the checks that
    are left out for it.
    """

    provider: ClassVar[type[Provider]]
    """The class under test."""

    traits: ClassVar[Mapping[str, Any]] = {}
    """Its settings, as ``c.<Class>`` and templates give them."""

    component: ClassVar[str] = "conformance"
    """The name under which it is to be known."""

    specification: ClassVar[Specification]
    """Something that can be created, several times at once."""

    impossible: ClassVar[Specification | None] = None
    """Something that it will never offer; by default a resource type that it does not have."""

    child: ClassVar[type[Spawner] | None] = None
    """A child spawner's class that templates may name for it."""

    child_kwargs: ClassVar[Mapping[str, Any]] = {}
    """Traits of the child, as a template gives them."""

    plugin: ClassVar[str] = ""
    """The module that the distribution's entry point names."""

    sdk: ClassVar[Sequence[str]] = ()
    """Modules that it must not import: the client library."""

    secrets: ClassVar[Sequence[str]] = ()
    """Secret values among the settings, such as an API token, which must show nowhere. Those of
    traits that are tagged ``secret=True`` or named like secrets are known."""

    many: ClassVar[int] = 3
    """Resources that are listed at once: more than fit on one page of the provider's API."""

    patience: ClassVar[float] = 30
    """Seconds that a call may take, and for which the checks wait for anything to happen."""

    longest_block: ClassVar[float] = 0.1
    """Seconds for which a callback may hold up the event loop."""

    def make_provider(self, installation_id: str, state_dir: Path) -> Any:
        """The provider of a hub; may be a coroutine. Those of all hubs see one cloud."""
        return self.provider(
            component=self.component,
            state_dir=state_dir,
            installation_id=installation_id,
            **self.traits,
        )

    def make_keys(self, folder: Path) -> Keys:
        """What an authenticator would have prepared, with files in `folder`."""
        return planted.keys(folder)

    async def start_child(self, provider: Provider, intent: Intent, handle: Handle) -> Child:
        """Start what the child makes, and return it; by default an instance of `child`."""
        if self.child is None:
            raise LeftOut("no child spawner is named: child = ...")
        given, folder = provider.child_traits(intent, handle), provider.state_dir.parent
        child = standalone.built(self.child, provider, given, folder, self.child_kwargs)
        await child.start()
        started: Child = child
        return started

    async def sleep(self, seconds: float) -> None:
        """Wait; where the provider's time is not the machine's, move it."""
        await asyncio.sleep(seconds)

    def make_bench(self: Any, rule: Rule, folder: Path, parts: list[str]) -> Bench:
        """What a check works with; the kit's own."""
        from multiplespawner_core.testing.conformance.bench import Bench  # noqa: PLC0415 - a cycle

        return Bench(self, rule, folder, parts)

    # --- what happens outside of the provider: faults, and the truth ---

    def unreachable(self, provider: Provider) -> Context:  # noqa: ARG002 - for subclasses
        """While it lasts, no request reaches the provider's API."""
        raise _missing("unreachable", "what an API that cannot be reached does")

    def unauthorized(self, provider: Provider) -> Context:  # noqa: ARG002 - for subclasses
        """While it lasts, the API refuses the credentials."""
        raise _missing("unauthorized", "what refused credentials do")

    def lost_answer(self, provider: Provider) -> Context:  # noqa: ARG002 - for subclasses
        """The next create in it is accepted, and its answer is lost."""
        raise _missing("lost_answer", "a create whose answer is lost")

    def never_ready(self, provider: Provider) -> Context:  # noqa: ARG002 - for subclasses
        """What is created in it does not become ready while it lasts."""
        raise _missing("never_ready", "a resource that takes its time to become ready")

    def fails_later(
        self,
        provider: Provider,  # noqa: ARG002 - for subclasses
        error: type[ProviderError],  # noqa: ARG002 - for subclasses
    ) -> Context:
        """What is created in it is accepted and fails before it is ready, for want of room
        (`error` is Capacity) or quota (Quota).
        """
        raise _missing("fails_later", "a resource that was accepted and finds no room")

    def broken_list(self, provider: Provider) -> Context:  # noqa: ARG002 - for subclasses
        """While it lasts, lists break off after their first part."""
        raise _missing("broken_list", "a list that breaks off")

    async def inventory(self, provider: Provider) -> Collection[str]:  # noqa: ARG002 - for subclasses
        """What exists of this provider's installation, asked past the provider: names of any kind.

        Shows what is left behind without the mark by which the provider finds it.
        """
        raise _missing("inventory", "leaks that the provider itself does not see")

    async def deadline(self, provider: Provider, handle: Handle) -> datetime | None:  # noqa: ARG002 - for subclasses
        """The end that is written on a resource, asked past the provider."""
        raise _missing("deadline", "whether the deadline was moved")

    async def files(self, provider: Provider, handle: Handle) -> Any:  # noqa: ARG002 - for subclasses
        """What a resource that runs holds of its user's, asked past the provider, to be compared.

        For instance a file that the first call writes, or the id of its volume.
        """
        raise _missing("files", "whether files survive a stop")


def _missing(method: str, what: str) -> LeftOut:
    return LeftOut(f"{what}: no {method}() is given")


__all__ = ("Child", "Context", "Subject")
