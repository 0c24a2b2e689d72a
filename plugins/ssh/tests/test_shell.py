"""Any text reaches a program on the machine as it is, through a real shell."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multiplespawner_ssh.shell import encoded, exports, quote, words

from multiplespawner_core import ConfigurationError

SHELLS = [["/bin/sh"], ["bash", "--posix"], ["busybox", "sh"], ["zsh", "--emulate", "sh"]]
FOUND = [shell for shell in SHELLS if shutil.which(shell[0])]

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
NASTY = ["'", "'\\''", "$(id)", "`id`", "\\", "\n", "\r\n", "a'b\"c", "!", "~", "*", "-n", "--", ""]
NASTY += ["$HOME", "é\u202e", "\udcff\udc80", "' ; touch pwned; '", "END\n", "\t", "#x", "=x"]

# Prints what it was given, each ended by a NUL, so that nothing can be taken for something else.
SHOW = ["printf", "%s\\0"]


def run(shell, script):
    done = subprocess.run([*shell, "-s"], input=encoded(script), capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout


def shown(texts):
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def test_the_shells_that_are_tested():
    assert ["/bin/sh"] in FOUND


@pytest.mark.parametrize("shell", FOUND, ids=lambda shell: shell[0])
def test_every_nasty_one(shell):
    assert run(shell, words([*SHOW, *NASTY])) == shown(NASTY)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(TEXT, min_size=1, max_size=8))
@example(NASTY)
def test_arguments(texts):
    assert run(["/bin/sh"], words([*SHOW, *texts])) == shown(texts)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(TEXT, min_size=1, max_size=8))
@example(NASTY)
def test_environment(texts):
    environment = {f"VALUE_{number}": text for number, text in enumerate(texts)}
    found = run(["/bin/sh"], f"{exports(environment)}env -0\n").split(b"\0")
    for name, value in environment.items():
        assert os.fsencode(f"{name}={value}") in found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(TEXT)
def test_paths(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("any")
    name = text.replace("/", "_")[:40].encode("utf-8", "surrogateescape")[:200]
    name = os.fsdecode(name)
    if name in ("", ".", ".."):
        name = "other"
    run(["/bin/sh"], f"cd {quote(str(folder))} && mkdir -- {quote(name)}")
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_program_can_be_given(text):
    with pytest.raises(ConfigurationError, match=r"NUL character|lone surrogate"):
        encoded(quote(text))


@pytest.mark.parametrize("name", ["", "A B", "A=B", "1A", "A;id", "A\n", "Ä", "BASH_FUNC_x%%"])
def test_names_that_no_shell_can_set(name):
    with pytest.raises(ConfigurationError, match="no name that a shell can set"):
        exports({name: "x"})
