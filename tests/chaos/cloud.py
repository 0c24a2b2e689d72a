"""The small cloud's server, in fast time: what ``python -m chaos.cloud`` runs."""

from __future__ import annotations

import asyncio

from chaos.fast import CLOCKS, SPEED, Policy

from multiplespawner_core.testing.cloud import server
from multiplespawner_core.testing.cloud.process import CloudProcess

TICK = 0.02
"""Seconds of the machine between two looks of the server at what became due."""


class FastCloud(CloudProcess):
    module = "chaos.cloud"


def main():
    server.time = CLOCKS
    server._TICK = TICK * SPEED
    asyncio.set_event_loop_policy(Policy())
    server.main()


if __name__ == "__main__":
    main()
