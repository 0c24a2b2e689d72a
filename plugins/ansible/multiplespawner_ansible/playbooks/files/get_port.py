"""Print a port that is free on this machine."""

import socket

with socket.socket() as one:
    one.bind(("", 0))
    print(one.getsockname()[1])
