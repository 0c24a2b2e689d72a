"""What people read of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import yaml

from multiplespawner_core.cli.resources.door import Model

SHORT: Final = 12
"""Characters of an id that are shown, and can be given back."""

_WIDEST: Final = {"OWNER": 16, "PROVIDER": 12, "SIZE": 18, "SCOPE": 20, "HANDLE": 36, "REASON": 36}


def listing(found: Model) -> str:
    """The answer of `list`."""
    return "".join(f"{line}\n" for line in _listed(found))


def history(found: Model) -> str:
    """The answer of `history`."""
    rows = [
        {**_row(one), "CLOSED (UTC)": _time(one["closed_at"]), "REASON": one["reason"]}
        for one in found["resources"]
    ]
    for row in rows:
        del row["ENDS (UTC)"], row["SIZE"], row["PRICE"]
    return "".join(f"{line}\n" for line in _table(rows) or ["nothing"])


def whole(found: Model) -> str:
    """One resource with all that is known of it."""
    shown: str = yaml.safe_dump(found, sort_keys=False, allow_unicode=True)
    return shown


def released(found: Model) -> str:
    """The outcome of `release`."""
    if "phase" not in found:
        return f"{found['handle']}: {'gone' if found['state'] == 'gone' else 'being deleted'}\n"
    who = f"{found['id']} of {_owner(found)}"
    if found["phase"] == "closed":
        return f"{who} is given back\n"
    why = found["unreachable"] or found["last_error"]
    return f"{who} is still being given back{f': {why}' if why else ''}\n"


def forgotten(found: Model) -> str:
    """The outcome of `forget`."""
    left = f"; {found['handle']} in {found['provider']} {found['scope']} may still be there"
    return f"{found['id']} of {_owner(found)}: {found['reason']}{left if found['handle'] else ''}\n"


def swept(found: Model) -> str:
    """The outcome of `reconcile`."""
    return "".join(f"{line}\n" for line in _swept(found)) or "no provider was ever used\n"


FORMS: Final[dict[str, Callable[[Model], str]]] = {
    "list": listing,
    "show": whole,
    "release": released,
    "forget": forgotten,
    "reconcile": swept,
    "history": history,
}


def _listed(found: Model) -> Iterator[str]:
    resources = found["resources"]
    lines = _table([_row(one) for one in resources])
    yield lines[0] if lines else "no resources"
    for line, one in zip(lines[1:], resources, strict=True):
        yield line
        for problem in filter(None, (one["unreachable"], one["last_error"])):
            yield f"{'':{SHORT}}  {problem}"
    if found["quarantined"]:
        yield "quarantined, to be deleted by: multiplespawner resources release ID --quarantined"
        yield from _table(
            [
                {
                    "ID": one["id"][:SHORT],
                    "PROVIDER": one["provider"],
                    "SCOPE": one["scope"],
                    "HANDLE": one["handle"],
                    "STATE": one["state"],
                }
                for one in found["quarantined"]
            ]
        )
    for scope in found["unknown_scopes"]:
        yield f"nothing is known of {_place(scope)}: {scope['error']}"


def _swept(found: Model) -> Iterator[str]:
    for scope in found["scopes"]:
        if scope["error"]:
            yield f"{_place(scope)}: nothing is known: {scope['error']}"
            continue
        yield f"{_place(scope)}: {scope['count']} found"
        for intent_id in scope["ended"]:
            yield f"    {intent_id[:SHORT]} is gone, so its server has ended"
        for thing in scope["found"]:
            yield f"    {_thing(thing, dry_run=found['dry_run'])}"


def _thing(thing: Model, *, dry_run: bool) -> str:
    if thing["verdict"] == "unknown":
        return f"{thing['handle']} is quarantined as {thing['id'][:SHORT]}: no intent is known"
    what = "a second one for" if thing["verdict"] == "extra" else "left over from"
    done = "would be deleted" if dry_run else "deleted"
    outcome = done if thing["deleted"] else f"could not be deleted: {thing['error']}"
    return f"{thing['handle']}, {what} {(thing['intent'] or '')[:SHORT]}: {outcome}"


def _row(one: Model) -> dict[str, str]:
    return {
        "ID": one["id"][:SHORT],
        "OWNER": _owner(one),
        "PHASE": one["phase"],
        "PROVIDER": one["provider"],
        "SIZE": _size(one),
        "CREATED (UTC)": _time(one["created_at"]),
        "ENDS (UTC)": _time(one["expires_at"]),
        "PRICE": "" if one["price"] is None else f"{one['price']:g}",
    }


def _owner(one: Model) -> str:
    return f"{one['user']}/{one['server']}" if one["server"] else str(one["user"])


def _size(one: Model) -> str:
    sizes = (("cpu", "CPU"), ("memory", "GB"), ("gpu", "GPU"))
    return ", ".join(f"{one[key]:g} {unit}" for key, unit in sizes if one[key])


def _time(moment: str | None) -> str:
    return "" if moment is None else moment[:16].replace("T", " ")


def _place(scope: Model) -> str:
    return f"{scope['provider']} {scope['scope']} ({', '.join(scope['resource_types'])})"


def _table(rows: Sequence[dict[str, str]]) -> list[str]:
    """Lines, the first with the names of the columns; columns without any value are left out."""
    if not rows:
        return []
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    cells = [names, *([_cut(row[name], _WIDEST.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _cut(text: str, widest: int | None) -> str:
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return shown if widest is None or len(shown) <= widest else f"{shown[: widest - 1]}…"


__all__ = ("FORMS", "SHORT")
