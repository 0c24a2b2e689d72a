"""What is done on a machine for a server, as scripts; and what they answer.

A machine needs Linux's /proc, a POSIX shell, grep and setsid. Each server has a directory of mode
0700 whose name nobody can guess, and carries that name in its environment, as all below it do.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from multiplespawner_ssh.connection import Answer, Connection
from multiplespawner_ssh.errors import SSHError
from multiplespawner_ssh.shell import exports, quote, words

SERVER = "MULTIPLESPAWNER_SERVER"
"""In the environment of a server and of all below it: the name of its directory."""

LOG = "server.log"

_ROOM = 65536
"""Bytes that must fit on the disk before a server is started there."""

_TAIL = 4000
"""Bytes of a log's end that are shown."""

_PROCESS = re.compile(r"([1-9][0-9]{0,9}) ([0-9]{1,20}) ([0-9a-f-]{36})")

_GATHER = 0.02
"""Seconds for which questions are gathered before they are asked."""

_PRELUDE = """\
set -f
mask=$(umask)
umask 077
cd || exit 9
boot=
read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id
[ -n "$boot" ] && [ -r /proc/self/stat ] || { echo 'there is no /proc' >&2; exit 9; }
# What process $1 is, as far as it runs.
stat_of() {
    line=
    read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    # Its name stands in brackets, and may hold some.
    set -- ${line##*) }
    case $1 in Z | X | x) return 1 ;; esac
    parent=$2 session=$4 started=${20}
}
# Whether process $1 is the one that started at $2 since boot $3, and no other with its number.
is_same() {
    [ "$3" = "$boot" ] && stat_of "$1" && [ "$started" = "$2" ]
}
"""

_LOOK = """\
look() {
    if is_same $2 $3 $4; then echo "$1 running"; else echo "$1 gone"; fi
}
"""

_FREE_PORT = """\
port= tries=0
for python in python3 python; do
    command -v $python >/dev/null 2>&1 || continue
    port=$($python -c '
import socket
s = socket.socket()
s.bind(("", 0))
print(s.getsockname()[1])' </dev/null) && break
done
while [ -z "$port" ]; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || break
    # Two bytes of chance, as a port above those that are handed out to clients' connections.
    set -- $(od -An -N2 -tu2 /dev/urandom)
    port=$((61000 + $1 % 4500))
    hex=$(printf %04X "$port")
    grep -qs ":$hex [0-9A-F]*:[0-9A-F]* 0A " /proc/net/tcp /proc/net/tcp6 && port=
done
echo "$port"
"""

# JupyterHub names its version in every answer. Behind TLS it answers to certificates alone.
_REACH = """\
look='
import http.client, socket, sys, time
from urllib.parse import urlsplit
url = urlsplit(sys.argv[1])
def look():
    port = url.port or (443 if url.scheme == "https" else 80)
    if url.scheme == "https":
        socket.create_connection((url.hostname, port), 5).close()
        return ""
    asked = http.client.HTTPConnection(url.hostname, port, timeout=5)
    asked.request("GET", url.path or "/")
    found = asked.getresponse()
    return "" if found.getheader("X-JupyterHub-Version") else "what answers there is no JupyterHub"
end = time.time() + 3
while True:
    try:
        said = look()
    except Exception as error:
        said = str(error) or type(error).__name__
    if not said or time.time() > end:
        break
    time.sleep(0.5)
print(said or "reached")
'
python3 -c "$look" "$url" </dev/null || echo unknown
"""

# The tree is what carries the mark, what is below that, and the server's session.
_TREE = """\
tree_of() {
    tree= all= grown=1
    [ "$leader" ] && is_same $leader && tree=${leader%% *}
    set +f
    for file in $(grep -lsF "$mark" /proc/[0-9]*/environ); do
        pid=${file#/proc/}
        pid=${pid%/environ}
        [ "$pid" = $$ ] || ! stat_of "$pid" || tree="$tree $pid"
    done
    for file in /proc/[0-9]*; do
        pid=${file#/proc/}
        ! stat_of "$pid" || all="$all $pid:$parent:$session"
    done
    set -f
    while [ "$grown" ]; do
        grown=
        for entry in $all; do
            pid=${entry%%:*}
            entry=${entry#*:}
            case " $tree " in
            *" $pid "*) ;;
            *" ${entry%%:*} "* | *" ${entry#*:} "*)
                tree="$tree $pid"
                grown=1
                ;;
            esac
        done
    done
}
"""

_KILL = """\
rounds=0 quiet=0
tree_of
# A process that becomes another program shows no mark for a moment: one look may miss it.
while [ $quiet -lt 2 ] && [ $rounds -lt 40 ]; do
    quiet=$((quiet + 1))
    [ -z "$tree" ] || quiet=0
    # Stopped first, so that none starts another while the rest is being killed.
    kill -s STOP $tree 2>/dev/null
    kill -s KILL $tree 2>/dev/null
    sleep 0.05 2>/dev/null || sleep 1
    rounds=$((rounds + 1))
    tree_of
done
rm -rf -- "$place"
echo left $tree
"""


@dataclass(frozen=True)
class Process:
    """A process that no other can be taken for, whatever number that one has.

    Args:
        pid: its number, and that of its group and session.
        started: when, in the kernel's measure.
        boot: since which boot of the machine.
    """

    pid: int
    started: int
    boot: str

    def __str__(self) -> str:
        return f"{self.pid} {self.started} {self.boot}"

    @classmethod
    def read(cls, text: str) -> Process:
        """As it is written.

        Raises:
            ValueError: it says nothing of the kind.
        """
        found = _PROCESS.fullmatch(text.strip())
        if found is None:
            msg = f"no process: {text.strip()[:80]!r}"
            raise ValueError(msg)
        return cls(int(found[1]), int(found[2]), found[3])


class Server:
    """One server on a machine.

    Args:
        connection: to the machine, as the account that the server runs as.
        base: the directory of all servers there, in the account's home unless it is absolute.
        name: of the server's own directory below that.
    """

    def __init__(self, connection: Connection, base: str, name: str) -> None:
        self._connection = connection
        self._base = base
        self.name = name

    @property
    def where(self) -> str:
        """The machine, for its user."""
        return self._connection.machine.host

    @staticmethod
    def new_name() -> str:
        """One that nobody can guess."""
        return secrets.token_hex(16)

    async def furnish(self, contents: Mapping[str, str]) -> Mapping[str, str]:
        """Make its directory with files of mode 0600; gives their paths on the machine."""
        script = f"""{self._start_of_script()}
mkdir -p -- "$base" && mkdir -- "$place" || exit 1
# On a full disk files can be made, and nothing be written: a server would hang in its own log.
printf '%{_ROOM}s' '' >"$place/{LOG}" 2>/dev/null && : >"$place/{LOG}" ||
    {{ echo "nothing can be written to $base: its disk may be full" >&2; exit 1; }}
"""
        for name, content in contents.items():
            end = f"END-{secrets.token_hex(8)}"
            script += f"cat >\"$place\"/{quote(name)} <<'{end}' || exit 1\n{content}\n{end}\n"
        answer = await self._run(script + 'cd -- "$place" && pwd -P\n')
        place = answer.output.rstrip("\n")
        return {name: f"{place}/{name}" for name in contents}

    async def free_port(self, command: str) -> int:
        """A port that nobody listens on.

        Args:
            command: a line of shell that prints one; empty to look for one ourselves.
        """
        line = f"({command}\n) </dev/null\n" if command else _FREE_PORT
        answer = await self._run(self._start_of_script() + line)
        try:
            return int(answer.output)
        except ValueError:
            msg = f"{self._connection.machine} names no free port: {_short(answer)}"
            raise SSHError(msg) from None

    async def why_unreachable(self, url: str, path: str) -> str | None:
        """Why the machine does not reach the hub there; empty if it does.

        Args:
            url: of the hub's API, as the server will be told.
            path: directories to look for a Python in, before the account's own.

        Returns:
            None where the machine has no Python 3 to ask with.
        """
        script = f"{self._start_of_script()}{_path(path)}url={quote(url)}\n{_REACH}"
        said = (await self._run(script)).output.strip().rpartition("\n")[2]
        if said == "unknown":
            return None
        return "" if said == "reached" else said

    async def launch(
        self, command: Sequence[str], environment: Mapping[str, str], path: str
    ) -> Process:
        """Start it, detached from this connection.

        Args:
            command: program and arguments; others on the machine can read these.
            environment: for it, beside the account's own.
            path: directories to look for the program in, before the account's own.
        """
        script = f"""{self._start_of_script()}
set -- "$(command -v setsid)"
[ "$1" ] || {{ echo 'there is no setsid' >&2; exit 1; }}
# What it is given may bear the names of our own variables: it is set where none is needed.
(
umask "$mask"
{exports({**environment, SERVER: self.name})}{_path(path)}exec "$1" {words(command)}
) </dev/null >"$place/{LOG}" 2>&1 &
stat_of $! || {{ wait $!; started=0; }}
echo $! $started $boot
"""
        return Process.read((await self._run(script)).output)

    async def is_listening(self, process: Process, port: int) -> bool | None:
        """Whether anything listens at the port; None if the process has ended."""
        script = f"""{self._start_of_script()}
is_same {process} || {{ echo ended; exit; }}
grep -qs ':{port:04X} [0-9A-F]*:[0-9A-F]* 0A ' /proc/net/tcp /proc/net/tcp6 && echo listening
exit 0
"""
        answer = (await self._run(script)).output.strip()
        return None if answer == "ended" else answer == "listening"

    async def tail(self) -> str:
        """The end of its log."""
        script = f'{self._start_of_script()}tail -c {_TAIL} -- "$place/{LOG}"\n'
        return (await self._run(script)).output.strip()

    async def terminate(self, process: Process) -> bool:
        """Ask its process group to end; False if it has ended already."""
        script = f"""{self._start_of_script()}
is_same {process} && kill -s TERM -- -{process.pid} && echo asked
exit 0
"""
        return (await self._run(script)).output.strip() == "asked"

    async def kill(self, process: Process | None) -> Sequence[int]:
        """End whatever is left of it, and remove its directory; gives what cannot be ended."""
        leader = quote(str(process)) if process else "''"
        script = f"""{self._start_of_script()}
leader={leader}
mark={SERVER}={self.name}
{_TREE}{_KILL}"""
        answer = await self._run(script)
        return [int(pid) for pid in answer.output.split()[1:]]

    def _start_of_script(self) -> str:
        return f'{_PRELUDE}base={quote(self._base)}\nplace="$base/{self.name}"\n'

    async def _run(self, script: str) -> Answer:
        answer = await self._connection.run(script)
        if answer.status:
            msg = f"{self._connection.machine} could not do it: {_short(answer)}"
            raise SSHError(msg)
        return answer


class Watch:
    """Which servers of one connection run. All that are known are asked for in one command.

    Args:
        connection: to their machine.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, Process] = {}
        self._answers: dict[str, tuple[float, bool]] = {}
        self._next: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self.rounds = 0

    async def is_running(self, name: str, process: Process, max_age: float = 0) -> bool:
        """Whether a server runs, by the machine's own word.

        Args:
            name: the server's.
            process: its process.
            max_age: seconds that an answer to an earlier question may be old.

        Raises:
            SSHError: the machine does not say; that proves nothing.
        """
        self._known[name] = process
        when, running = self._answers.get(name, (float("-inf"), False))
        if asyncio.get_running_loop().time() - when <= max_age:
            return running
        if self._next is None:
            self._next = asyncio.ensure_future(self._round())
            self._next.add_done_callback(_retrieved)
        await asyncio.shield(self._next)
        if name not in self._answers:
            msg = f"{self._connection.machine} was not asked for a server that is forgotten"
            raise SSHError(msg)
        return self._answers[name][1]

    def forget(self, name: str) -> None:
        """Ask for that server no more."""
        self._known.pop(name, None)
        self._answers.pop(name, None)

    async def _round(self) -> None:
        async with self._asking:  # whoever asks meanwhile joins this one
            await asyncio.sleep(_GATHER)
            self._next = None
            known = dict(self._known)
            began = asyncio.get_running_loop().time()
            self.rounds += 1
            lines = "".join(f"look {name} {process}\n" for name, process in known.items())
            answer = await self._connection.run(f"{_PRELUDE}{_LOOK}{lines}echo end\n")
        said = answer.output.split()
        if answer.status or said[-1:] != ["end"]:
            msg = f"{self._connection.machine} could not say what runs: {_short(answer)}"
            raise SSHError(msg)
        for name, state in zip(said[::2], said[1::2], strict=False):
            self._answers[name] = (began, state == "running")


_WATCHES: WeakKeyDictionary[Connection, Watch] = WeakKeyDictionary()


def watch(connection: Connection) -> Watch:
    """The one watch over what runs at the other end of a connection."""
    if connection not in _WATCHES:
        _WATCHES[connection] = Watch(connection)
    return _WATCHES[connection]


def _retrieved(task: asyncio.Task[None]) -> None:
    """All who asked may have been cancelled: nobody is left to be told of an error."""
    if not task.cancelled():
        task.exception()


def _path(path: str) -> str:
    """A line that puts directories before those of the account; ``~`` is its home there."""
    if not path:
        return ""
    places = [
        f'"$HOME"/{quote(place[2:])}' if place.startswith("~/") else quote(place)
        for place in path.split(":")
    ]
    return f'export PATH={":".join(places)}:"$PATH"\n'


def _short(answer: Answer) -> str:
    said = answer.errors.strip() or answer.output.strip() or f"exit status {answer.status}"
    return said[-500:]


__all__ = ("SERVER", "Process", "Server", "Watch", "watch")
