"""CPU per request of the whole path, beside `mlflow models serve` with the same model, in one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sklearn.datasets import load_digits

from bench.cost import Cost, measure
from bench.running import Platform, free_port, wait_for

SECONDS = 4.0
ROUNDS = 3


def compare(platform: Platform, folder: Path) -> list[Cost]:
    """The servers in turn, so that a drift of the machine's speed meets all; the median round of each."""
    row = [load_digits().data[0].tolist()]
    data = platform.pid("data")
    ours = ("headrace /predict", data, platform.port, "/predict", [{"model": "digits", "inputs": row}])
    v2 = {"inputs": [{"name": "input", "shape": [1, 64], "datatype": "FP64", "data": row[0]}]}
    infer = ("headrace /v2 infer", data, platform.port, "/v2/models/digits/infer", [v2])
    server, port = _models_serve(platform, folder)
    theirs = ("mlflow models serve", server.pid, port, "/invocations", [{"inputs": row}])
    try:
        rounds = [
            measure(*each, concurrency=c, seconds=SECONDS)
            for _ in range(ROUNDS)
            for c in (1, 16)
            for each in (ours, infer, theirs)
        ]
    finally:
        server.terminate()
        server.wait(20)
    return [_median(rounds, name, c) for c in (1, 16) for name in (ours[0], infer[0], theirs[0])]


def _median(rounds: list[Cost], name: str, concurrency: int) -> Cost:
    same = sorted((c for c in rounds if (c.name, c.concurrency) == (name, concurrency)), key=lambda c: c.cpu_ms)
    return same[len(same) // 2]


def _models_serve(platform: Platform, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    env = os.environ | {
        "MLFLOW_TRACKING_URI": f"{platform.control}/mlflow",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    log = (folder / "mlflow-serve.log").open("wb")
    server = subprocess.Popen(
        ["mlflow", "models", "serve", "-m", "models:/digits/1", "--env-manager", "local", "-p", str(port)],
        env=env,
        stdout=log,
        stderr=log,
    )
    wait_for(lambda: platform.alive(f"http://127.0.0.1:{port}/ping"), seconds=90, what="mlflow models serve")
    return server, port
