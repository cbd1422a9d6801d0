"""MLServer: with its own scikit-learn runtime, and with ONNX files through a custom runtime (apps/mlserver_onnx.py).

uvloop is pinned: with a newer one the worker processes of its default die at start.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from bench.peers.base import APPS, HEAVY, Files, Peer, Setup, Start, v2_json
from bench.running import free_port
from bench.wire import Request, Sample, Wire, infer

REQUIRES = (
    "mlserver==1.7.1",
    "mlserver-sklearn==1.7.1",
    "uvloop==0.21.0",
    "scikit-learn==1.9.1",
    "onnxruntime==1.31.1",
)


SKLEARN = ("digits", "forest")
BATCH = {"max_batch_size": 32, "max_batch_time": 0.005}


def _starts(workers: int, *, sklearn: bool, batch: bool) -> Callable[[Setup], Start]:
    def start(setup: Setup) -> Start:
        files = setup.files
        runtime = "mlserver_sklearn.SKLearnModel" if sklearn else "mlserver_onnx.OnnxModel"
        parameters = {"uri": str(files.sklearn if sklearn else files.onnx), "version": "1"}
        model = {"name": files.name, "implementation": runtime, "parameters": parameters} | (BATCH if batch else {})
        (setup.folder / "model-settings.json").write_text(json.dumps(model))
        settings = {
            "host": "127.0.0.1",
            "http_port": setup.port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": workers,
        }
        (setup.folder / "settings.json").write_text(json.dumps(settings))
        command = str(setup.python.with_name("mlserver"))
        return Start(command=[command, "start", str(setup.folder)], env={"PYTHONPATH": str(APPS)})

    return start


def _ask_sklearn(sample: Sample, wire: Wire) -> Request | None:
    return infer(sample, wire, output="predict") if wire is Wire.JSON else None


def _peer(name: str, workers: int, *, sklearn: bool = False, batch: bool = False) -> Peer:
    def runs(files: Files) -> str:
        return "sklearn" if sklearn else "ONNX"

    return Peer(
        name=name,
        environment="mlserver",
        requires=REQUIRES,
        start=_starts(workers, sklearn=sklearn, batch=batch),
        ready="/v2/models/{}/ready".format,
        ask=_ask_sklearn if sklearn else v2_json,
        runs=runs,
        only=SKLEARN if sklearn else HEAVY if batch else (),
    )


PEERS = (
    _peer("mlserver, default (1 worker)", 1, sklearn=True),
    _peer("mlserver, no workers", 0, sklearn=True),
    _peer("mlserver, default (1 worker), ONNX", 1),
    _peer("mlserver, no workers, ONNX", 0),
    _peer("mlserver, no workers, ONNX, batches of 32", 0, batch=True),
)
