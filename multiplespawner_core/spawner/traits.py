"""Which traits of JupyterHub's Spawner reach the child, and how. Every one is classified here.

Read in ``jupyterhub/user.py`` (``User._new_spawner``, ``User.spawn``) and ``jupyterhub/spawner.py``
of 5.5 and 6.1; a test fails on a trait that neither version's list names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from traitlets import HasTraits

IDENTITY = frozenset({
    "_deprecated_db_session",
    "authenticator",
    "config",
    "cookie_host_prefix_enabled",
    "cookie_options",
    "hub",
    "internal_certs_location",
    "internal_ssl",
    "internal_trust_bundles",
    "oauth_client_id",
    "orm_spawner",
    "proxy_spec",
    "public_hub_url",
    "public_url",
    "trusted_alt_names",
    "user",
})  # fmt: skip
"""Who the server is: given to the child as JupyterHub gave it to us."""

RUNTIME = frozenset({"admin_access", "api_token", "handler", "oauth_access_scopes"})
"""What JupyterHub sets while a server lives: the same on both sides at any time."""

REPORTED = frozenset({"port"})
"""What a server reports to the Spawner that JupyterHub knows, while the child waits for it
(``batchspawner/api.py``): of the administered, passed on at any time."""

ADMINISTERED = frozenset({
    "args",
    "cmd",
    "cpu_guarantee",
    "cpu_limit",
    "debug",
    "default_url",
    "disable_user_config",
    "env",
    "env_keep",
    "environment",
    "hub_connect_url",
    "ip",
    "mem_guarantee",
    "mem_limit",
    "notebook_dir",
    "port",
    "ssl_alt_names",
    "ssl_alt_names_include_local",
})  # fmt: skip
"""What administrators set, also by hooks and group overrides on us: passed on where it *was* set,
so that the child's own defaults and configuration stand otherwise."""

OWN = frozenset({
    "_callbacks",
    "_poll_callback",
    "apply_user_options",
    "auth_state_hook",
    "cert_paths",
    "consecutive_failure_limit",
    "db",
    "death_interval",
    "group_overrides",
    "http_timeout",
    "log",
    "oauth_client_allowed_scopes",
    "oauth_roles",
    "options_form",
    "options_from_form",
    "parent",
    "poll_interval",
    "poll_jitter",
    "post_stop_hook",
    "pre_spawn_hook",
    "progress_ready_hook",
    "server_token_scopes",
    "start_timeout",
    "user_options",
    "will_resume",
})  # fmt: skip
"""What concerns JupyterHub and us alone: hooks would run twice, options are raw user input."""


def administered(spawner: HasTraits) -> dict[str, Any]:
    """A copy of the administered values that were set, by configuration or at run time."""
    names = [name for name in ADMINISTERED if spawner.trait_has_value(name)]
    return {name: fresh(getattr(spawner, name)) for name in names}


def changed(before: Mapping[str, Any], spawner: HasTraits) -> dict[str, Any]:
    """The administered values that hooks and group overrides changed since `before`.

    Of dictionaries only the keys that changed, with None for those that were removed.
    """
    result = {}
    for name, value in administered(spawner).items():
        old = before[name] if name in before else _default(spawner, name)
        if value != old:
            both = isinstance(value, Mapping) and isinstance(old, Mapping)
            result[name] = _difference(old, value) if both else value
    return result


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers win; dictionaries such as ``environment`` are merged key by key."""
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if isinstance(value, Mapping) and isinstance(result.get(name), Mapping):
                result[name] = {**result[name], **value}
            else:
                result[name] = value
    return result


def fresh(value: Any) -> Any:
    """The containers anew; what they hold may be callable, and cannot always be copied."""
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    return [fresh(item) for item in value] if isinstance(value, list) else value


def keep_equal(outer: HasTraits, child: HasTraits) -> Callable[[], None]:
    """Keep the runtime traits equal in both directions; returns what ends that."""
    observers = []
    for source, target, passed_on in (
        (outer, child, RUNTIME | REPORTED),
        (child, outer, RUNTIME),
    ):

        def copy(change: Any, target: HasTraits = target) -> None:
            if getattr(target, change["name"]) != change["new"]:
                setattr(target, change["name"], change["new"])

        names = sorted(passed_on)
        source.observe(copy, names=names)
        observers.append((source, copy, names))

    def stop() -> None:
        for source, observer, names in observers:
            source.unobserve(observer, names=names)

    return stop


def _default(spawner: HasTraits, name: str) -> Any:
    return spawner.traits()[name].default(spawner)


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    removed = dict.fromkeys(key for key in old if key not in new)
    return {**removed, **{k: v for k, v in new.items() if k not in old or old[k] != v}}


__all__ = (
    "ADMINISTERED",
    "IDENTITY",
    "OWN",
    "REPORTED",
    "RUNTIME",
    "administered",
    "changed",
    "fresh",
    "keep_equal",
    "merge",
)
