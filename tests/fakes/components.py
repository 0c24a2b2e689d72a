"""Components of several kinds, under the names that the reference's examples write."""

from __future__ import annotations

from typing import ClassVar

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Any, Bool, Dict, Enum, Float, Int, List, Set, Tuple, Unicode, Union
from traitlets import Callable as Function

from multiplespawner_core.contracts import (
    Authenticator,
    Component,
    Configurer,
    Kind,
    Provider,
    Starter,
)
from multiplespawner_core.plugins.discovery import Declared, Plugin, installed
from multiplespawner_core.plugins.registry import Registry


class SSHSpawner(LocalProcessSpawner):
    """Starts servers by SSH.

    Not really.
    """

    remote_hosts = List(Unicode(), help="Where to log in.").tag(config=True)
    remote_port = Unicode("22").tag(config=True)
    ssh_keyfile = Unicode("~/.ssh/id_rsa").tag(config=True)
    remote_port_command = Unicode().tag(config=True)
    retries = Int(3, min=0, max=9, help="How often.\n\n    Then it gives up.").tag(config=True)
    patience = Float(1.5, min=0).tag(config=True)
    verbose = Bool().tag(config=True)
    cipher = Enum(["aes", "chacha", 3], "aes").tag(config=True)
    ports = List(Int(), minlen=1).tag(config=True)
    names = Set(Unicode()).tag(config=True)
    pair = Tuple(Int(), Int()).tag(config=True)
    labels = Dict(value_trait=Unicode()).tag(config=True)
    amount = Union([Int(), Unicode()], allow_none=True).tag(config=True)
    hook = Function(None, allow_none=True).tag(config=True)
    anything = Any().tag(config=True)


class VMProvider(Provider):
    """Virtual machines."""

    deployment_schema: ClassVar = {
        "image": {"type": "string", "minLength": 1, "description": "what it boots"},
        "disk": {"type": "integer", "minimum": 10, "default": 50},
        "tags": {"$ref": "#/$defs/tags", "$defs": {"tags": {"type": "array", "maxItems": 2}}},
        "free": {},
        "defective": {"type": "no such type"},
    }


class RackProvider(Provider):
    """Machines of the site."""

    deployment_schema: ClassVar = {"rack": {"enum": ["a", "b"]}}

    @classmethod
    def starter(cls):
        template = {
            "name": "Rack",
            "resource_type": "virtual_machine",
            "providers": ["rack"],
            "spawner": {"class": "ssh"},
        }
        return Starter(template, [{"name": "A", "provider": "rack", "rack": "a"}])


class AnsibleConfigurer(Configurer):
    """Runs a playbook."""

    options = Dict()
    forks = Int().tag(config=True)

    async def apply(self, intent, access, report):
        pass


class SSHAuthenticator(Authenticator):
    """Makes keys."""

    create_certificate = Bool().tag(config=True)

    def __init__(self, *, comment="", **kwargs):
        super().__init__(**kwargs)
        self.comment = comment

    async def prepare(self, intent):
        raise NotImplementedError

    async def open(self, intent, endpoint, keys):
        raise NotImplementedError


def declared(kind, name, cls, *aliases, resource_types=()):
    component = Component(name, f"fakes.components:{cls}", aliases, resource_types)
    return Declared(kind, component, "fake 1.0")


PLUGIN = Plugin(
    "fake",
    "fake",
    "1.0",
    declared=(
        declared(Kind.SPAWNER, "ssh", "SSHSpawner", "sshspawner.sshspawner.SSHSpawner"),
        declared(Kind.PROVIDER, "oci", "VMProvider", resource_types=("virtual_machine",)),
        declared(
            Kind.PROVIDER, "rack", "RackProvider", resource_types=("virtual_machine", "bare_metal")
        ),
        declared(
            Kind.CONFIGURER, "ansible", "AnsibleConfigurer", "corc.configurer.AnsibleConfigurer"
        ),
        declared(
            Kind.AUTHENTICATOR, "ssh", "SSHAuthenticator", "corc.authenticator.SSHAuthenticator"
        ),
    ),
)


def registry(*more):
    """Those, JupyterHub's own spawners, and more plugins."""
    return Registry([PLUGIN, *more], installed().spawners)
