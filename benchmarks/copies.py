"""Very many servers in moments: one is started, the others are copies of what it left behind.

Copied are the rows in JupyterHub's database and in the ledger, and the stub's machine, while the
hub is down. Started one by one, a thousand servers would take JupyterHub most of a minute.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Changes = Callable[[int], Mapping[str, Any]]


def multiply(folder: Path, user: str, others: Sequence[str], machines: Path | None) -> None:
    """Give each of the others what `user` has.

    Args:
        folder: of the hub, which is down.
        user: has one server, and it runs.
        others: the new users' names.
        machines: the file of the stub's provider; None where there is no provider.
    """
    intents = [uuid.uuid4().hex for _ in others]
    _copy_hub(folder / "hub.sqlite", user, others, intents)
    if machines is not None:
        _copy_intents(folder / "state" / "ledger.sqlite", user, others, intents)
        with machines.open("a") as file:
            file.writelines(json.dumps([intent, True]) + "\n" for intent in intents)


def _copy_hub(file: Path, user: str, others: Sequence[str], intents: Sequence[str]) -> None:
    with _open(file) as database:
        (owner,) = _rows(database, "users", "name", user)
        (spawner,) = _rows(database, "spawners", "user_id", owner["id"])
        (server,) = _rows(database, "servers", "id", spawner["server_id"])
        roles = _rows(database, "user_role_map", "user_id", owner["id"])
        clients = _rows(database, "oauth_clients", "identifier", spawner["oauth_client_id"])
        first = {table: _last(database, table) + 1 for table in ("users", "spawners", "servers")}
        state = json.loads(spawner["state"])

        def copy(table: str, row: Row, changes: Changes) -> None:
            _insert(database, table, [{**row, **changes(i)} for i in range(len(others))])

        copy(
            "users",
            owner,
            lambda i: {"id": first["users"] + i, "name": others[i], "cookie_id": intents[i]},
        )
        for role in roles:
            copy("user_role_map", role, lambda i: {"user_id": first["users"] + i})
        for client in clients:
            copy("oauth_clients", client, lambda i: {"id": None, **_client(others[i])})
        copy(
            "servers",
            server,
            lambda i: {
                "id": first["servers"] + i,
                "base_url": f"/user/{others[i]}/",
                "cookie_name": f"user-{others[i]}",
            },
        )
        copy(
            "spawners",
            spawner,
            lambda i: {
                "id": first["spawners"] + i,
                "user_id": first["users"] + i,
                "server_id": first["servers"] + i,
                "state": json.dumps(
                    {**state, "intent": intents[i]} if "intent" in state else state
                ),
                "oauth_client_id": _client(others[i])["identifier"],
            },
        )


def _client(other: str) -> Row:
    return {
        "identifier": f"jupyterhub-user-{other}",
        "description": f"Server at /user/{other}/",
        "redirect_uri": f"/user/{other}/oauth_callback",
    }


def _copy_intents(file: Path, user: str, others: Sequence[str], intents: Sequence[str]) -> None:
    with _open(file) as database:
        (row,) = _rows(database, "intents", "user_name", user)
        handle = json.loads(row["handle"])
        copies = [
            {
                **row,
                "id": intent,
                "user_name": other,
                "handle": json.dumps({**handle, "id": intent}),
            }
            for other, intent in zip(others, intents, strict=True)
        ]
        _insert(database, "intents", copies)


@contextlib.contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    """One transaction."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        with database:
            yield database


def _rows(database: sqlite3.Connection, table: str, column: str, value: Any) -> list[Row]:
    query = f"SELECT * FROM {table} WHERE {column} = ?"  # noqa: S608 - our own names
    return [dict(row) for row in database.execute(query, [value])]


def _last(database: sqlite3.Connection, table: str) -> int:
    (found,) = database.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608 - the same
    return int(found)


def _insert(database: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    if rows:
        names = ", ".join(rows[0])
        places = ", ".join(f":{name}" for name in rows[0])
        statement = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608 - the same
        database.executemany(statement, rows)


__all__ = ("multiply",)
