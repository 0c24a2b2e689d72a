"""The page on JupyterHub's own tests lists what their harness changes."""

from __future__ import annotations

import re

from jupyterhub_suite.altered import ALTERED
from snippets import PROJECT


def test_the_tests_that_are_changed_are_listed_with_the_reason():
    text = (PROJECT / "docs" / "jupyterhub-suite.md").read_text()
    shown = re.findall(
        r"^\| `(test_\w+::test_\w+)` \| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE
    )
    expected = [
        (name, str(altered.only_in or "5, 6"), altered.asserts, altered.instead)
        for name, altered in ALTERED.items()
    ]
    assert shown == expected
