"""The contract of a provider."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from multiplespawner_core.contracts.base import Plugin
from multiplespawner_core.contracts.errors import InvalidSpecification

if TYPE_CHECKING:
    from datetime import datetime

    from jupyterhub.spawner import Spawner

    from multiplespawner_core.contracts.values import (
        Capabilities,
        Handle,
        Intent,
        Keys,
        Observation,
        Offer,
        Owned,
        Scope,
        Specification,
        Starter,
    )

_CANNOT = "This provider does not stop and start resources."


class Provider(Plugin):
    """Offers resources of some types and creates, describes, finds, lists and deletes them.

    No method blocks the event loop: calls of a synchronous client library run in a bounded
    thread pool. Every method may be cancelled at any await. They raise the errors of
    `multiplespawner_core.contracts.errors`; the core does all the retrying and waiting.
    """

    deployment_schema: ClassVar[Mapping[str, Any]] = {}
    """Which attributes of a deployment belong to this provider: a JSON Schema for each key.

    What no provider claims must be a trait of the child spawner.
    """

    @classmethod
    def starter(cls) -> Starter | None:
        """What an administrator can start from, here; ``multiplespawner init`` asks for it.

        None, as by default, where nothing works without knowing more.
        """
        return None

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this provider can do here and now; constant while the hub runs."""

    @abstractmethod
    async def scopes(self) -> Sequence[Scope]:
        """The scopes that the configuration reaches, the same after every restart.

        Asked about a scope that it cannot look into, such as another machine, every method raises.
        """

    @abstractmethod
    async def offers(self, specification: Specification) -> Sequence[Offer]:
        """What could be created for it, best first; answers from a cache where asking is slow.

        An offer that cannot be had now is listed with its availability and the reason.

        Raises:
            InvalidSpecification: no offer will ever fit; the message says what is allowed.
        """

    @abstractmethod
    async def create(self, intent: Intent, keys: Keys) -> Handle:
        """Ask for the resource and return as soon as it has an id; never wait for readiness.

        Sends the intent's id, token, installation, owner and deadline as tags. Called again with
        the same token after an answer was lost, it makes no second resource where
        `Capabilities.idempotent_create` promises so. Where the child spawner makes the thing,
        this reserves the place for it, and refuses (`Capacity`) what does not fit beside the rest.

        Cancelled while a request is under way that cannot be taken back, such as one in a
        thread, it ends only once the outcome of that request is settled.

        Raises:
            ProviderError: the subclass decides what the core does next.
        """

    @abstractmethod
    async def find(self, intent: Intent, scope: Scope) -> Sequence[Handle]:
        """Every resource that carries this intent, in any state but gone; may be several."""

    @abstractmethod
    async def describe(self, handle: Handle) -> Observation:
        """One look. GONE only on positive evidence: an error is raised, never taken for absence.

        A resource that was accepted and then found no room is FAILED, with `Observation.error`: the
        core has it deleted and tries the next offer.

        STOPPED once nothing of it runs any more; while it is stopping it is PENDING.

        Where the child spawner makes the thing, GONE says that nothing of it is there: neither
        what the child made nor a process left of it. The core believes it only after the child's
        start was recorded.
        """

    @abstractmethod
    async def delete(self, handle: Handle) -> None:
        """Delete it with everything that depends on it. Idempotent; a missing one is a success.

        Returning means accepted, not gone: the core asks `describe` until it says GONE, and calls
        this again, ever more rarely, while it does not.
        """

    @abstractmethod
    async def list_owned(self, installation_id: str, scope: Scope) -> Sequence[Owned]:
        """Everything of this installation in the scope, complete, or raise.

        Includes what is pending or stopped, and dependents such as boot volumes.
        """

    def child_traits(self, intent: Intent, handle: Handle) -> Mapping[str, Any]:  # noqa: ARG002 - for subclasses
        """What the child spawner must be given for this resource: limits, labels, network.

        These win over everything that a template says; dictionaries such as ``environment`` are
        merged into it. A name that the child's class has no trait for fails the start.
        """
        return {}

    def child_class(self, base: type[Spawner]) -> type[Spawner]:
        """The class to start in place of `base`, which a template names; by default `base`.

        Called when the configuration is loaded. A provider returns a subclass where traits do
        not suffice, for instance to keep a client that the class shares apart per engine.

        Raises:
            ConfigurationError: this provider cannot work with such a child; the message says
                why and what to do.
        """
        return base

    async def extend(self, handle: Handle, deadline: datetime) -> None:
        """Move the deadline wherever `create` wrote it; nothing by default.

        Called while the server runs, for one handle never twice at once, with a moment (aware,
        UTC) that is later than the one before; and when a resource that was stopped has been
        started again, with any moment. Returning means moved, everywhere: only then does
        the core believe in the new end. After an error, or after 30 seconds, it keeps to the
        earlier one, whatever was moved meanwhile; so a second call with the same or another later
        moment must work. A release may begin while this runs, and `delete` is called then.

        Raises:
            ProviderError: not moved, or nobody knows; the user is told the message.
        """

    async def stop(self, handle: Handle) -> None:  # noqa: ARG002 - for subclasses
        """Stop it: nothing of it runs, and its files stay. Where `Capabilities.stop_start` says so.

        Idempotent; also where it failed, if files can be saved. Returning means accepted, not
        stopped: the core asks `describe` until it says STOPPED. What is stopped stays until
        `delete`, whatever deadline was written on it.

        Raises:
            ProviderError: the core asks `describe` whether it is gone, and else tries again.
        """
        raise InvalidSpecification(_CANNOT)

    async def start(self, handle: Handle) -> None:  # noqa: ARG002 - for subclasses
        """Start again what was stopped, with the same files.

        Idempotent: what runs already is a success. Returning means accepted: the core asks
        `describe` until it says READY, with an address that may be another one, and then
        `extend` for the new end. Where the child spawner makes the thing, this reserves the place
        for it again, and the child starts it.

        Raises:
            Capacity: there is no room for it now; it stays stopped.
        """
        raise InvalidSpecification(_CANNOT)


__all__ = ("Provider",)
