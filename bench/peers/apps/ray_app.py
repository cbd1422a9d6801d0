"""Ray Serve as its documentation shows it: one deployment, one replica, the HTTP proxy of Serve."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import ray
from graph import Graph, arguments
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 1})
class Served:
    def __init__(self, file: str) -> None:
        self.graph = Graph(file)

    async def __call__(self, request: Request) -> dict[str, Any]:
        return self.graph.infer(await request.json())


if __name__ == "__main__":
    given = arguments()
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        configure_logging=False,
        object_store_memory=300 << 20,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": given.port})
    serve.run(Served.bind(given.file), name="bench", route_prefix="/infer")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()
