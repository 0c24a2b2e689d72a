"""What JupyterHub's tests assert of its mock spawners, and what they assert of ours instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Altered:
    """A test that runs with other assertions.

    Args:
        asserts: what it asserts, as it is written.
        instead: what it asserts here.
        replace: pieces of its source, each with what stands in its place.
        only_in: the one version of JupyterHub that has it; 0 for every one.
    """

    asserts: str
    instead: str
    replace: Mapping[str, str]
    only_in: int = 0


_PID = Altered(
    asserts="the mock's state has a `pid`",
    instead="our state has an `intent`, and none once the server is stopped",
    replace={"'pid' ": "'intent' "},
)

_STATE = Altered(
    asserts="the mock's whole state is its `pid`",
    instead="our whole state is an `intent`",
    replace={"{'pid': 0}": "{'intent': mock.ANY}"},
)

_TECHNICAL = (
    '"Starting the server failed for a technical reason. Tell your administrator the id "'
    " + evt['message'].split()[-1]"
)

ALTERED: Mapping[str, Altered] = {
    "test_api::test_spawn": _PID,
    "test_api::test_user_options": _PID,
    "test_api::test_cookie": Altered(
        asserts=_PID.asserts, instead="our state has an `intent`", replace=_PID.replace
    ),
    "test_named_servers::test_default_server": _STATE,
    "test_named_servers::test_create_named_server": Altered(
        asserts=_STATE.asserts, instead=_STATE.instead, replace=_STATE.replace, only_in=5
    ),
    "test_named_servers::test_create_or_start_named_server": Altered(
        asserts=_STATE.asserts, instead=_STATE.instead, replace=_STATE.replace, only_in=6
    ),
    "test_api::test_info": Altered(
        asserts="the mock's class and version",
        instead="the class that stands in its place",
        replace={
            """'jupyterhub.tests.mocking.MockSpawner',
        'version': jupyterhub.__version__""": """'jupyterhub_suite.wrapping.MockSpawner',
        'version': 'unknown'"""
        },
    ),
    "test_api::test_progress": Altered(
        asserts="the mock has one event of progress, that of JupyterHub's base class",
        instead="ours come first, the child's is among those that follow",
        replace={
            """== {'progress': 50, 'message': 'Spawning server...'}
    evt = await ex.submit(next_event, line_iter)
""": """== {'progress': 1, 'message': 'Looking for a place'}
    seen = []
    while evt['progress'] < 100:
        seen.append(evt['message'])
        evt = await ex.submit(next_event, line_iter)
    assert 'Spawning server...' in seen
""",
        },
    ),
    "test_api::test_progress_bad": Altered(
        asserts="the user is shown the text of whatever the mock raised",
        instead="the user is told the step that failed: such a text may hold a secret",
        replace={'''"Spawn failed: I don't work!"''': f'"Spawn failed: " + {_TECHNICAL}'},
    ),
    "test_api::test_progress_bad_slow": Altered(
        asserts="the same, after the mock's one event of progress",
        instead="the same, after our events and the child's",
        replace={
            """assert evt['progress'] == 50
    evt = await ex.submit(next_event, line_iter)
""": """assert evt['progress'] == 1
    while not evt.get('failed'):
        assert "I don't work!" not in evt['message']
        before = evt['progress']
        evt = await ex.submit(next_event, line_iter)
""",
            "'progress': 100": "'progress': before",
            '''"Spawn failed: I don't work!"''': _TECHNICAL,
        },
    ),
    "test_named_servers::test_named_server_limit": Altered(
        asserts="the record of a server is gone as soon as its deletion was answered; JupyterHub"
        " removes it after the answer",
        instead="it is gone soon afterwards: what its children kept is removed before it",
        replace={
            """    # Create 3rd named server again
""": """    for _ in range(500):
        if servername1 not in user.orm_spawners:
            break
        await asyncio.sleep(0.01)
"""
        },
    ),
    "test_api::test_start_stop_race": Altered(
        asserts="a server whose start was cancelled is stopping for as long as the mock's slow stop"
        " takes, and cannot be started meanwhile",
        instead="it ends within a second and can be started; what is left of it goes on behind",
        replace={
            # Within the tenth of a second that JupyterHub waits for it here, or a little later.
            """== 202
    assert spawner.pending == 'stop'
""": """in {202, 204}
    for _ in range(100):
        if spawner.pending is None:
            break
        await asyncio.sleep(0.01)
    assert spawner.pending is None
""",
            """== 202
    assert m.call_count == 0
    # start while stopping is not allowed
""": """== 204
    assert m.call_count == 0
    # start while stopping is not allowed
""",
            """    assert r.status_code == 400

    while spawner.active:
        await asyncio.sleep(0.1)
""": """    assert r.status_code == 202
    assert m.call_count == 0
""",
        },
    ),
}


def altered_in(version: int) -> set[str]:
    """Their names in one version of JupyterHub."""
    return {name for name, altered in ALTERED.items() if altered.only_in in (0, version)}


__all__ = ("ALTERED", "Altered", "altered_in")
