"""What tests ask of the ends of servers."""

from __future__ import annotations

import datetime as dt
import re

LIMITED = """
c.MultipleSpawner.limits = {"lifetime": {"max": 120}}
"""
FILES_STAY = (
    "At the end the server is stopped. Your files stay; running programs and unsaved work are lost."
)


def path(user, server=""):
    where = f"servers/{server}" if server else "server"
    return f"/multiplespawner/users/{user}/{where}/lifetime"


def moment(text):
    """Of ISO 8601 with Z, which Python 3.10 cannot read by itself."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text), text
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()


def lifetime(hub, user="ada", server=""):
    response = hub.client.request("GET", path(user, server))
    assert response.status_code == 200, response.text
    return response.json()
