"""Runs one command and buries every orphan below it: supervisor.py PIDFILE EXITFILE COMMAND...

Without it, a single-user server whose hub was killed becomes the child of process 1, which does
not wait for it in every container: the dead server then looks alive to the next hub.
Standard library only; ends when the last process below it has ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main(pid_file: str, exit_file: str, *command: str) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # not SIG_IGN: that one is inherited
    child = subprocess.Popen(command)
    _write(pid_file, str(child.pid))
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return
        if pid == child.pid:
            _write(exit_file, str(os.waitstatus_to_exitcode(status)))


def _write(path: str, text: str) -> None:
    temporary = Path(path + ".new")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
