"""See every resource that a hub has, give one back, and compare with what providers hold.

While the hub runs its API is asked, with a token from the environment variable
JUPYTERHUB_API_TOKEN or a file of mode 0600; it needs the scope admin:servers. While the hub is
down, the command works on the ledger itself and holds its lock meanwhile. Exit status 1 if
something is left to be decided or done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from typing import Final

from multiplespawner_core.cli import hub_config
from multiplespawner_core.cli.resources import alone, output, remote
from multiplespawner_core.cli.resources.door import Door, Model, View
from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.resources import queries
from multiplespawner_core.resources.backend import LedgerInUse
from multiplespawner_core.resources.failures import Refused
from multiplespawner_core.resources.inventory import MOST, Reader
from multiplespawner_core.resources.unavailable import LedgerUnavailable
from multiplespawner_core.spawner.assembly import Assembly

_WAIT: Final = 60.0
_LOOK_PAUSE: Final = 0.3

_COMMANDS: Final = {
    "list": "everything that is not given back, and what is quarantined",
    "show": "one resource, closed or not",
    "release": "give one back, and wait until nothing is left of it",
    "forget": "close the row of one that can never be given back; its provider is not asked",
    "reconcile": "compare what providers hold with the ledger now, and delete what is left over",
    "history": "what there was, newest first",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's subcommands and their options."""
    common = argparse.ArgumentParser(add_help=False)
    hub_config.add_argument(common)
    common.add_argument(
        "--hub-url",
        metavar="URL",
        help="the hub's API, such as http://127.0.0.1:8081/hub/api (default: that of the hub's"
        " configuration)",
    )
    common.add_argument(
        "--token-file",
        metavar="FILE",
        type=hub_config.existing,
        help="holds a token for the API; nobody else may read it (default: the environment"
        " variable JUPYTERHUB_API_TOKEN)",
    )
    common.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    parsers = {
        name: commands.add_parser(name, help=summary, description=summary, parents=[common])
        for name, summary in _COMMANDS.items()
    }
    for name in ("show", "release", "forget"):
        parsers[name].add_argument(
            "id", metavar="ID", type=_id, help="or a beginning of it that no other has"
        )
    for name in ("list", "history"):
        parsers[name].add_argument("--user", metavar="NAME", help="only those of this user")
    parsers["history"].add_argument(
        "--limit", metavar="N", type=_limit, default=100, help="how many (default: 100)"
    )
    parsers["release"].add_argument(
        "--quarantined", action="store_true", help="ID is quarantined, and is to be deleted"
    )
    parsers["forget"].add_argument(
        "--reason", metavar="TEXT", type=_text, required=True, help="why, for the ledger"
    )
    parsers["reconcile"].add_argument(
        "--dry-run", action="store_true", help="only say what would be done"
    )
    for name in ("release", "reconcile"):
        parsers[name].add_argument(
            "--wait",
            metavar="SECONDS",
            type=_seconds,
            default=_WAIT,
            help=f"for what is being given back (default: {_WAIT:.0f})",
        )


def run(chosen: argparse.Namespace) -> int:
    """Do it, in whichever way the hub's state allows."""
    hub = hub_config.load(chosen.config)
    assembly = hub.assembly()
    url, token = remote.url_of(hub, chosen.hub_url), remote.token_of(chosen.token_file)
    asked = None if token is None else remote.Hub(url, token)
    try:
        if chosen.action in _READING:
            return _read(chosen, assembly, asked)
        return _change(chosen, assembly, asked)
    except (Refused, remote.Unreachable, LedgerUnavailable) as refused:
        print(f"multiplespawner: {refused}", file=sys.stderr)
        return 1


def _read(chosen: argparse.Namespace, assembly: Assembly, asked: remote.Hub | None) -> int:
    """Reading takes no lock: it must not come in the way of a hub that is just starting."""
    read = _READING[chosen.action]
    why = remote.NOT_ASKED
    if asked is not None:
        try:
            return _tell(chosen, *asyncio.run(read(chosen, asked)))
        except remote.Unreachable as error:
            why = f"{error}"
    url, place = assembly.settings.ledger_url, alone.state_dir(assembly)
    with queries.reading(url, place) as connection:
        print(f"multiplespawner: {why}; this is what the ledger says", file=sys.stderr)
        reader = Reader(connection, assembly.registry)
        return _tell(chosen, *asyncio.run(read(chosen, reader)))


def _change(chosen: argparse.Namespace, assembly: Assembly, asked: remote.Hub | None) -> int:
    change = _CHANGING[chosen.action]

    async def without_hub() -> tuple[Model, int]:
        async with alone.opened(assembly) as door:
            return await change(chosen, door)

    try:
        return _tell(chosen, *asyncio.run(without_hub()))
    except LedgerInUse:
        if asked is None:
            raise ConfigurationError(remote.NEEDED) from None
    return _tell(chosen, *asyncio.run(change(chosen, asked)))


def _tell(chosen: argparse.Namespace, found: Model, status: int) -> int:
    if chosen.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print(output.FORMS[chosen.action](found), end="", flush=True)
    return status


async def _list(chosen: argparse.Namespace, door: View) -> tuple[Model, int]:
    return await door.list(chosen.user), 0


async def _show(chosen: argparse.Namespace, door: View) -> tuple[Model, int]:
    return await door.show(chosen.id), 0


async def _history(chosen: argparse.Namespace, door: View) -> tuple[Model, int]:
    return await door.history(chosen.limit, chosen.user), 0


async def _release(chosen: argparse.Namespace, door: Door) -> tuple[Model, int]:
    if chosen.quarantined:
        thing = await door.discard(chosen.id, alone.caller())
        return thing, 0 if thing["state"] == "gone" else 1
    found = await door.release(chosen.id, alone.caller())
    deadline = time.monotonic() + chosen.wait
    while not _settled(found) and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_PAUSE)
        found = await door.show(found["id"])
    return found, 0 if found["phase"] == "closed" else 1


def _settled(found: Model) -> bool:
    """Nothing is to be waited for where nobody can be asked."""
    unreachable = found["phase"] == "releasing" and bool(found["unreachable"])
    return found["phase"] == "closed" or unreachable


async def _forget(chosen: argparse.Namespace, door: Door) -> tuple[Model, int]:
    return await door.forget(chosen.id, chosen.reason, alone.caller()), 0


async def _reconcile(chosen: argparse.Namespace, door: Door) -> tuple[Model, int]:
    report = await door.reconcile(dry_run=chosen.dry_run)
    if not chosen.dry_run:
        await door.finish(chosen.wait)
    things = [thing for scope in report["scopes"] for thing in scope["found"]]
    unasked = any(scope["error"] for scope in report["scopes"])
    return report, 1 if unasked or any(not thing["deleted"] for thing in things) else 0


_READING: Final = {"list": _list, "show": _show, "history": _history}
_CHANGING: Final = {"release": _release, "forget": _forget, "reconcile": _reconcile}


def _id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{4,32}|q[0-9a-f]{4,15}", text):
        msg = f"{text!r} is no id: see multiplespawner resources list"
        raise argparse.ArgumentTypeError(msg)
    return text


def _text(text: str) -> str:
    if not text.strip():
        msg = "must not be empty"
        raise argparse.ArgumentTypeError(msg)
    return text


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MOST):
        msg = f"{text!r} is no number from 1 to {MOST}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        msg = f"{text!r} is no number of seconds"
        raise argparse.ArgumentTypeError(msg)
    return seconds


__all__ = ("add_arguments", "run")
