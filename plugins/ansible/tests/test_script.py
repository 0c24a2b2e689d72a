"""Real scripts on real machines."""

from __future__ import annotations

import json

import pytest

from multiplespawner_core import ConfigureFailed

pytestmark = pytest.mark.slow

NASTY = ["", " ", "it's", '"', "$HOME `id` $(id)", "a\nb", "\\", "-n", "*", "ü", "{x}", "!1", "~"]


async def test_arguments_and_variables_arrive_as_they_are(site, run_script, machine):
    site(
        "s.py",
        "#!/usr/bin/env python3\nimport json, os, sys\n"
        "json.dump([sys.argv[1:], os.environ['NASTY']], open(os.environ['TO'], 'w'))\n",
    )
    await run_script("s.py", *NASTY, NASTY="\x01".join(NASTY), TO=str(machine.home / "found"))
    assert json.loads((machine.home / "found").read_text()) == [NASTY, "\x01".join(NASTY)]


async def test_output_is_progress_and_nothing_is_left(site, run_script, machine):
    site("s.sh", "#!/bin/sh\necho one; echo; printf 'two %s' \"$1\"\n")
    assert await run_script("s.sh", "three") == ["one", "two three"]
    assert await run_script("s.sh", "three") == ["It is configured already"]
    assert await run_script("s.sh", "four") == ["one", "two four"]
    state = machine.home / ".local/state/multiplespawner"
    assert [path.name for path in state.iterdir()] == ["done"]


@pytest.mark.parametrize(("status", "shown"), [(3, 3), (255, 254)])
async def test_a_failure_shows_the_last_line_of_its_errors(site, run_script, status, shown):
    site("s.sh", f"#!/bin/sh\necho noise >&2; echo no room for $THE_TOKEN >&2; exit {status}\n")
    with pytest.raises(ConfigureFailed) as failed:
        await run_script("s.sh", THE_TOKEN="sesame")
    assert str(failed.value) == f"The script s.sh ended with {shown} on 127.0.0.1: no room for ..."
    site("s.sh", "#!/bin/sh\necho fine\n")
    assert await run_script("s.sh", THE_TOKEN="sesame") == ["fine"]


async def test_each_user_is_configured_for(site, run_script):
    site("s.sh", "#!/bin/sh\necho done\n")
    assert await run_script("s.sh", user="ada") == ["done"]
    assert await run_script("s.sh", user="bob") == ["done"]
    assert await run_script("s.sh", user="ada") == ["It is configured already"]
