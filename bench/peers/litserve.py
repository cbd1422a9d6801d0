"""LitServe with its defaults; the model is user code (apps/litserve_app.py)."""

from __future__ import annotations

from bench.peers.base import Peer, Setup, Start, script
from bench.wire import Request, Sample, Wire, infer


def _start(setup: Setup) -> Start:
    return Start(command=script(setup, "litserve_app.py"))


def _ask(sample: Sample, wire: Wire) -> Request | None:
    return infer(sample, wire, path="/predict") if wire is Wire.JSON else None


PEER = Peer(
    name="litserve",
    environment="litserve",
    requires=("litserve==0.2.19", "onnxruntime==1.31.1"),
    start=_start,
    ready=lambda model: "/health",
    ask=_ask,
)
