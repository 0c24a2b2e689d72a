"""The small cloud's server, in fast time: what ``python -m chaos.cloud`` runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request

from chaos.fast import CLOCKS, SPEED, Policy

from multiplespawner_core.testing.cloud import server
from multiplespawner_core.testing.cloud.process import CloudProcess
from multiplespawner_core.testing.cloud.records import Instance

TICK = 0.02
"""Seconds of the machine between two looks of the server at what became due."""


class Outside(CloudProcess):
    """The cloud's server, as `chaos.world` looks at it."""

    def live(self):
        return [one for one in self.records() if not one.gone]

    def record(self, instance_id):
        return next(one for one in self.records() if one.id == instance_id)

    def state_of(self, instance_id):
        """From its disk: it is asked at every look at a server."""
        path = self.state / "instances" / f"{instance_id}.json"
        return Instance.from_json(json.loads(path.read_text("utf-8"))).state

    def make_foreign(self):
        """Something that is nobody's business."""
        arguments = {"token": "foreign", "name": "foreign", "shape": "large", "tags": {}}
        secret = self.secret_file.read_text("utf-8").strip()
        request = urllib.request.Request(
            f"{self.url}/v1/north/create",
            json.dumps(arguments).encode(),
            {"Authorization": f"Bearer {secret}"},
        )
        with contextlib.suppress(OSError):  # an answer may be lost
            urllib.request.urlopen(request, timeout=10).close()
        (self.foreign,) = self.records()


class FastCloud(Outside):
    module = "chaos.cloud"


def main():
    server.time = CLOCKS
    server._TICK = TICK * SPEED
    asyncio.set_event_loop_policy(Policy())
    server.main()


if __name__ == "__main__":
    main()
