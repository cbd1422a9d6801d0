"""BentoML's HTTP server with one worker; the model is user code (apps/bento_app.py)."""

from __future__ import annotations

from bench.peers.base import APPS, Peer, Setup, Start
from bench.wire import Request, Sample, Wire, infer


def _start(setup: Setup) -> Start:
    options = ["--host", "127.0.0.1", "--port", str(setup.port), "--working-dir", str(APPS)]
    command = [str(setup.python), "-m", "bentoml", "serve", "bento_app:Served", *options]
    env = {
        "BENCH_FILE": str(setup.files.onnx),
        "BENTOML_HOME": str(setup.folder),
        "BENTOML_DO_NOT_TRACK": "true",
    }
    return Start(command=command, env=env)


def _ask(sample: Sample, wire: Wire) -> Request | None:
    return infer(sample, wire, path="/infer") if wire is Wire.JSON else None


PEER = Peer(
    name="bentoml",
    environment="bentoml",
    requires=("bentoml==1.4.39", "onnxruntime==1.31.1"),
    start=_start,
    ready=lambda model: "/readyz",
    ask=_ask,
)
