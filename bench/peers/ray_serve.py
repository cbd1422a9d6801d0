"""Ray Serve on a Ray of its own, one replica; the model is user code (apps/ray_app.py)."""

from __future__ import annotations

from bench.peers.base import Peer, Setup, Start, script
from bench.wire import Request, Sample, Wire, infer


def _start(setup: Setup) -> Start:
    env = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "RAY_DEDUP_LOGS": "0",
    }
    return Start(command=script(setup, "ray_app.py"), env=env)


def _ask(sample: Sample, wire: Wire) -> Request | None:
    return infer(sample, wire, path="/infer") if wire is Wire.JSON else None


PEER = Peer(
    name="ray serve",
    environment="ray",
    requires=("ray[serve]==2.60.0", "onnxruntime==1.31.1"),
    start=_start,
    ready=lambda model: "/-/healthz",
    ask=_ask,
)
