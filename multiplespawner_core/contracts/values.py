"""The value objects that travel between the core and its plugins.

Units, everywhere: cpu in vCPUs, fractions allowed; memory in GB of 2**30 bytes, as JupyterHub's
``G``; gpu in devices; durations in seconds, unless a name says otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from multiplespawner_core.contracts.accounts import unix_user
from multiplespawner_core.contracts.errors import ProviderError

GB: Final = 2**30
"""Bytes in one GB of memory."""

RESOURCE_TYPES: Final = ("virtual_machine", "container", "bare_metal")
"""The kinds of resource that the configuration files know."""


@dataclass(frozen=True)
class Specification:
    """What is wanted of a provider.

    Args:
        resource_type: one of `RESOURCE_TYPES`.
        cpu: vCPUs; None leaves the size to the provider.
        memory: GB; None leaves the size to the provider.
        gpu: devices.
        attributes: those attributes of the deployment that the provider's
            `deployment_schema` claims, such as the image of a virtual machine.
    """

    resource_type: str
    cpu: float | None = None
    memory: float | None = None
    gpu: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class Scope:
    """Where a provider acts: an account, region, compartment or host.

    Committed with every attempt, so that a sweep can ask there again after the configuration
    has changed.

    Args:
        provider: the component name of the provider.
        key: what the provider needs to find the place again; it names no secret.
    """

    provider: str
    key: str


class Availability(str, enum.Enum):
    """Whether an offer could be taken now."""

    AVAILABLE = "available"
    NO_CAPACITY = "no_capacity"
    NO_QUOTA = "no_quota"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Offer:
    """What a provider can give for a specification right now.

    Args:
        scope: where.
        shape: the provider's own name of the size, such as ``VM.Standard.E5.Flex``.
        cpu: vCPUs that the resource gets; None where the provider sets no limit.
        memory: GB that the resource gets; None where the provider sets no limit.
        gpu: devices.
        availability: whether it can be had now.
        reason: why not, for the user, where it cannot.
        price: per hour, in the currency of the site's price table; None if unknown.
    """

    scope: Scope
    shape: str
    cpu: float | None = None
    memory: float | None = None
    gpu: int = 0
    availability: Availability = Availability.AVAILABLE
    reason: str = ""
    price: float | None = None


@dataclass(frozen=True)
class Owner:
    """Whose server it is: JupyterHub's user name and server name (empty for the default one)."""

    user: str
    server: str = ""

    def __str__(self) -> str:
        return f"{self.user}/{self.server}" if self.server else self.user

    @property
    def unix_user(self) -> str:
        """An account name for the user, as the placeholder ``{unix_user}`` has it."""
        return unix_user(self.user)


@dataclass(frozen=True)
class Intent:
    """One resource that is wanted, as providers see it; its ledger row is committed already.

    Args:
        id: unique for ever; the resource carries it as a tag, label or name.
        token: idempotency token, a function of `id` and `attempt`. The same token is sent again
            when an answer was lost.
        attempt: counts the offers that were tried, from 1.
        installation_id: marks everything that this hub owns.
        owner: whose server it is for.
        offer: what was chosen; `offer.scope` is where to create it.
        specification: what was asked for.
        expires_at: end of the server's lifetime (aware, UTC), None for no end.
    """

    id: str
    token: str
    attempt: int
    installation_id: str
    owner: Owner
    offer: Offer
    specification: Specification
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Endpoint:
    """Where a resource is reached.

    Args:
        address: host name or IP address.
        port: of the service by which it is opened (sshd), where there is one.
        host_key: OpenSSH public host key, or its fingerprint ``SHA256:...``, where the provider
            vouches for it. Of an opened resource, in `Access`, the key that was verified.
        username: the account that the image lets in, where the provider knows it.
    """

    address: str
    port: int | None = None
    host_key: str | None = None
    username: str | None = None


@dataclass(frozen=True)
class Handle:
    """A resource as its provider knows it. Stored in the ledger: no secret belongs in it.

    Args:
        id: the provider's own identifier.
        scope: where the resource is.
        endpoint: set by `Provider.create` where the address is known at once; required for
            resources that the child spawner makes.
        data: JSON-able; what the provider needs beyond the id.
    """

    id: str
    scope: Scope
    endpoint: Endpoint | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


class ResourceState(str, enum.Enum):
    """What a provider says of a resource."""

    PENDING = "pending"
    READY = "ready"
    STOPPED = "stopped"
    FAILED = "failed"
    DELETING = "deleting"
    GONE = "gone"


@dataclass(frozen=True)
class Observation:
    """One look at a resource.

    Args:
        state: GONE only on positive evidence; an error of the provider's API is none. DELETING
            only of what nothing saves any more.
        endpoint: where it is reached, with READY.
        reason: for the user, with FAILED.
        error: with FAILED, the class that `Provider.create` would have raised had it known:
            after Capacity and Quota the core tries the next offer, as after a refusal; whatever
            else it is ends the start.
    """

    state: ResourceState
    endpoint: Endpoint | None = None
    reason: str = ""
    error: type[ProviderError] | None = None


@dataclass(frozen=True)
class Owned:
    """One thing that a provider holds for an installation, as a sweep sees it.

    Args:
        handle: to describe or delete it by.
        intent_id: the intent that it carries; None if it carries only the installation.
        state: as for `Observation`.
        dependent: a boot volume, an address, a key, rather than the resource itself.
        depends_on: the id of the resource's handle, where the provider knows it. Without it nobody
            can tell what a second resource of an intent left behind from what the first one uses.
    """

    handle: Handle
    intent_id: str | None
    state: ResourceState
    dependent: bool = False
    depends_on: str | None = None


class Storage(str, enum.Enum):
    """What becomes of a user's files when the server ends.

    EPHEMERAL: they go with the resource. KEEP: they are there at the next start. Where the provider
    can stop and start (`Capabilities.stop_start`) the resource is then stopped, not deleted.
    """

    EPHEMERAL = "ephemeral"
    KEEP = "keep"


class MadeBy(str, enum.Enum):
    """Who makes the thing that runs: the provider (a VM) or the child spawner (a container)."""

    PROVIDER = "provider"
    CHILD = "child"


class IdempotentCreate(str, enum.Enum):
    """How a provider keeps two `create` calls with one token from making two resources."""

    NAME = "name"
    TOKEN = "token"  # noqa: S105 - the kind of idempotency, no secret
    NONE = "none"


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do. The core's policy, the spawn form and the tests follow it.

    Args:
        resource_types: those of `RESOURCE_TYPES` that it offers.
        made_by: who makes the thing that runs.
        idempotent_create: how `create` may be repeated.
        token_validity: seconds for which the provider remembers a token.
        list_grace: seconds after which a list that lacks a new resource is to be trusted.
        sizes: which of ``cpu``, ``memory``, ``gpu`` it enforces; no other size is offered to users.
        storage: what can become of users' files here; a template that does not say gets the first.
        stop_start: whether `Provider.stop` and `Provider.start` are there. Then storage ``keep`` is
            a resource that is stopped when its server ends, and started again with the next one;
            else ``keep`` says that files outlive the resource, which is deleted.
        concurrent_creates: how many `create` calls may be under way at once; further starts
            wait, and their users are told how many are before them.
        create_timeout: seconds that `create` may take to answer.
        ready_timeout: seconds from then until READY; unused where the child makes the thing.
        poll_interval: seconds between looks at a child spawner that runs.
    """

    resource_types: Sequence[str]
    made_by: MadeBy = MadeBy.PROVIDER
    idempotent_create: IdempotentCreate = IdempotentCreate.NONE
    token_validity: float = 0
    list_grace: float = 0
    sizes: frozenset[str] = frozenset()
    storage: Sequence[Storage] = (Storage.EPHEMERAL,)
    stop_start: bool = False
    concurrent_creates: int = 20
    create_timeout: float = 60
    ready_timeout: float = 600
    poll_interval: float = 10


@dataclass(frozen=True)
class Starter:
    """A way to start with a provider on this machine: what ``multiplespawner init`` writes.

    Args:
        template: an entry of the Spawner Template configuration.
        deployments: entries of the Spawner Deployment configuration, of the template's type.
        settings: lines for ``jupyterhub_config.py``; comments in them say why.
    """

    template: Mapping[str, Any]
    deployments: Sequence[Mapping[str, Any]]
    settings: Sequence[str] = ()


@dataclass(frozen=True)
class Keys:
    """What an authenticator prepared before the resource exists. Never stored in the ledger.

    Args:
        public_key: who may log in, as a line of ``authorized_keys``: an OpenSSH public key, or
            ``cert-authority`` with its options before the key of one that certifies keys.
        private_key_file: path of the private key, mode 0600.
        host_key_file: path of the private host key to give to the resource.
        host_public_key: the public half, which `open` expects.
        user_data: what belongs into cloud-init beside these, as keys of cloud-config; it must hold
            no long-lived secret, since every process on the machine can read it.
    """

    public_key: str | None = None
    private_key_file: str | None = field(default=None, repr=False)
    host_key_file: str | None = field(default=None, repr=False)
    host_public_key: str | None = None
    user_data: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Access:
    """An opened resource: what configurer and child spawner need to work on it.

    Args:
        endpoint: where.
        username: account to log in as, where there is one.
        private_key_file: path of the private key, mode 0600.
        certificate_file: path of the OpenSSH user certificate.
        known_hosts_file: path of a known_hosts file with the verified host key.
    """

    endpoint: Endpoint
    username: str | None = None
    private_key_file: str | None = field(default=None, repr=False)
    certificate_file: str | None = field(default=None, repr=False)
    known_hosts_file: str | None = field(default=None, repr=False)


__all__ = (
    "GB",
    "RESOURCE_TYPES",
    "Access",
    "Availability",
    "Capabilities",
    "Endpoint",
    "Handle",
    "IdempotentCreate",
    "Intent",
    "Keys",
    "MadeBy",
    "Observation",
    "Offer",
    "Owned",
    "Owner",
    "ResourceState",
    "Scope",
    "Specification",
    "Starter",
    "Storage",
)
