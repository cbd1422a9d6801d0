"""KServe's Python model server, one process, a custom model around ONNX Runtime (apps/kserve_app.py)."""

from __future__ import annotations

from bench.peers.base import Peer, Setup, Start, script
from bench.wire import infer


def _start(setup: Setup) -> Start:
    return Start(command=script(setup, "kserve_app.py"))


PEER = Peer(
    name="kserve",
    environment="kserve",
    requires=("kserve==0.21.0", "onnxruntime==1.31.1"),
    start=_start,
    ready="/v2/models/{}/ready".format,
    ask=infer,
)
