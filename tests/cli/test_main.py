"""The command line: versions, usage, and what it says when the demo cannot be run."""

from __future__ import annotations

import importlib.util
import socket
import tempfile

import pytest

from multiplespawner_core import __version__
from multiplespawner_core.cli import demo, main


def usage(arguments, capsys):
    """Exit status and what was printed on either side."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_version(capsys):
    assert usage(["--version"], capsys) == (0, f"multiplespawner {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help(arguments, capsys):
    status, out, err = usage(arguments, capsys)
    assert (status, err) == (0, "")
    assert "demo" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["dmeo"], "invalid choice: 'dmeo'"),
        (["demo", "--prot", "8000"], "unrecognized arguments: --prot 8000"),
        (["demo", "--port"], "argument --port: expected one argument"),
        (["demo", "--port", "http"], "argument --port: 'http' is no port: 1 to 65535"),
        (["demo", "--port", "0"], "argument --port: '0' is no port: 1 to 65535"),
        (["demo", "--port", "65536"], "argument --port: '65536' is no port: 1 to 65535"),
        (["demo", "--port", "-1"], "argument --port: '-1' is no port: 1 to 65535"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    status, out, err = usage(arguments, capsys)
    assert (status, out) == (2, "")
    assert message in err


@pytest.fixture
def no_trace(monkeypatch):
    """Whatever is refused is refused before anything is made."""

    def refuse(*arguments, **kwargs):
        pytest.fail("a directory was made")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ({"jupyterlab"}, "jupyterlab"),
        ({"configurable_http_proxy", "rich"}, "configurable-http-proxy, rich"),
    ],
)
def test_a_missing_package_is_named(missing, named, no_trace, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else find(name)
    )
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == (
        f"multiplespawner: the demo needs {named}: pip install 'multiplespawner-core[demo]'\n"
    )


def test_a_taken_port_is_named(no_trace, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"multiplespawner: port {port} is taken; choose another one with --port\n"
    )


def test_a_forbidden_port_is_not_called_taken(no_trace, monkeypatch, capsys):
    def forbidden(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbidden)
    assert main(["demo", "--port", "80"]) == 1
    assert capsys.readouterr().err == (
        "multiplespawner: port 80 cannot be used (Permission denied);"
        " choose another one with --port\n"
    )


def test_a_free_port_is_found_where_the_usual_ones_are_taken(monkeypatch):
    monkeypatch.setattr(demo, "_PORTS", ())
    first, second = demo._port(None), demo._port(None)
    assert first > 1024
    assert second > 1024


def test_what_a_notebook_made_read_only_is_removed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    directory = tmp_path / "demo"
    locked = directory / "home" / "ada" / "locked"
    locked.mkdir(parents=True)
    (locked / "file").touch(mode=0o400)
    (directory / "link").symlink_to(outside)
    (directory / "dangling").symlink_to("nowhere")
    locked.chmod(0o000)
    assert demo._remove(directory)
    assert outside.stat().st_mode & 0o777 == 0o755
