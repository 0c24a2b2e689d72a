"""One run of ansible-runner, in a process of its own: `python -m multiplespawner_ansible.worker`.

The job comes as one line of JSON on standard input, what happens goes as lines of JSON to standard
output. Standard input stays open: when it ends, the hub has ended, and everything of this run ends
with it. So the hub itself never forks, and no playbook goes on without it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, TextIO

from multiplespawner_ansible import processes

_TAIL = 40
"""Lines of Ansible's own output that are told of a run that failed."""

_FAILURES = ("runner_on_failed", "runner_item_on_failed", "runner_on_async_failed")
_LONGEST = 4000
_SHOWN = 3
_PARTING = re.compile(r"(Shared c|C)onnection to \S+ closed\.\s*$")


class Follower:
    """Tells of a run what matters to whoever waits for it.

    Args:
        told: where to write.
    """

    def __init__(self, told: TextIO) -> None:
        self.lines: deque[str] = deque(maxlen=_TAIL)
        self.hosts: list[str] = []
        self._told = told

    def tell(self, **what: Any) -> None:
        print(json.dumps(what), file=self._told, flush=True)

    def event(self, event: Mapping[str, Any]) -> bool:
        """As `ansible_runner.run` calls it; False: nothing is to be kept on disk."""
        kind, data = event.get("event"), event.get("event_data") or {}
        self.lines.extend(str(event.get("stdout") or "").splitlines())
        if kind == "playbook_on_task_start":
            self.tell(task=str(data.get("name") or data.get("task") or ""))
        elif kind in _FAILURES and not data.get("ignore_errors"):
            self.tell(failed=_failure(data, _message(data.get("res") or {})))
        elif kind == "runner_on_unreachable":
            self.tell(failed=_failure(data, "it cannot be reached"))
        elif kind == "playbook_on_stats":
            self.hosts = sorted(data.get("processed") or {})
        return False


def main() -> None:
    """Do the job; ends with the hub."""
    # Whatever else prints does it elsewhere.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.stdin.buffer.readline())
    ended = threading.Event()
    watching = threading.Thread(
        target=_end_with_the_hub, args=(job["directory"], ended), daemon=True
    )
    watching.start()
    try:
        _run(job, Follower(told))
    except Exception as error:
        # Nobody listens any more, or what was killed made no sense: it ends this process as well.
        if ended.is_set() or isinstance(error, BrokenPipeError):
            watching.join()
        raise


def _run(job: Mapping[str, Any], follower: Follower) -> None:
    import ansible_runner  # noqa: PLC0415 - slow; by now the hub's end is noticed

    done = ansible_runner.run(
        private_data_dir=job["directory"],
        playbook=job["playbook"],
        inventory=job["inventories"],
        envvars=job["environment"],
        settings={"suppress_output_file": True, "pexpect_timeout": 1},
        event_handler=follower.event,
        quiet=True,
    )
    follower.tell(end=done.status, hosts=follower.hosts, lines=list(follower.lines))


def _end_with_the_hub(directory: str, ended: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    ended.set()
    processes.end(directory)
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(1)


def _failure(data: Mapping[str, Any], message: str) -> dict[str, str]:
    return {
        "host": str(data.get("host") or ""),
        "task": str(data.get("task") or ""),
        "message": message[:_LONGEST],
    }


def _message(result: Mapping[str, Any]) -> str:
    """What a module says of its failure; of a loop, the first item that failed."""
    if "censored" in result:
        return "what it says is hidden (no_log)"
    for item in result.get("results") or ():
        if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable")):
            return _message(item)
    said = str(result.get("msg") or "")
    errors = str(result.get("stderr") or result.get("module_stderr") or "")
    # A terminal has one output for both, and OpenSSH adds a word of its own.
    lines = [line for line in errors.splitlines() if not _PARTING.match(line)]
    lines = lines or str(result.get("stdout") or "").splitlines()[-_SHOWN:]
    return f"{said} {' '.join(lines)}".strip() or f"it ended with {result.get('rc', 'an error')}"


if __name__ == "__main__":
    main()

__all__ = ("Follower", "main")
