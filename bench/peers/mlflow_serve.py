"""`mlflow models serve`, with the MLflow model itself: what everybody has who logs models."""

from __future__ import annotations

from bench.peers.base import Files, Peer, Setup, Start
from bench.wire import Request, Sample, Wire, invocations


def _start(setup: Setup) -> Start:
    folder = str(setup.files.mlflow)
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(setup.port)]
    return Start(
        command=[str(setup.python), "-m", "mlflow", "models", "serve", "-m", folder, *options],
        env={"MLFLOW_DISABLE_TELEMETRY": "true"},
    )


def _ask(sample: Sample, wire: Wire) -> Request | None:
    return invocations(sample) if wire is Wire.JSON else None


def _runs(files: Files) -> str:
    return "sklearn" if files.sklearn else "ONNX"


PEER = Peer(
    name="mlflow models serve",
    environment="mlflow",
    requires=("mlflow==3.17.2", "scikit-learn==1.9.1", "skops==0.16.0", "onnx==1.23.2", "onnxruntime==1.31.1"),
    start=_start,
    ready=lambda model: "/ping",
    ask=_ask,
    runs=_runs,
)
