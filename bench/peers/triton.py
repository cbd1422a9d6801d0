"""Triton itself: the server binary in the nvidia-pytriton wheel, on a model repository of ours, Python backend.

The wheel has no other backend. The backend's stub links the system's Python 3.11, so the environment is made with that
where it is there. Dynamic batching is on, with its defaults.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import onnx

from bench.peers.base import APPS, Peer, PeerFailed, Setup, Start
from bench.running import free_port
from bench.wire import infer

SYSTEM = Path("/usr/bin/python3.11")
_KINDS = {1: "TYPE_FP32", 6: "TYPE_INT32", 7: "TYPE_INT64", 11: "TYPE_FP64"}


def _start(setup: Setup) -> Start:
    site = next(iter((setup.python.parents[1] / "lib").glob("python3*/site-packages")), None)
    if site is None:
        raise PeerFailed("its environment has no site-packages")
    server = site / "pytriton" / "tritonserver"
    backends = setup.folder / "backends"
    shutil.copytree(server / "backends", backends)
    stub = server / "python_backend_stubs" / f"3.{sys.version_info[1] if not SYSTEM.exists() else 11}"
    shutil.copy(stub / "triton_python_backend_stub", backends / "python")
    model = setup.folder / "repository" / setup.files.name
    (model / "1").mkdir(parents=True)
    shutil.copy(APPS / "triton_model.py", model / "1" / "model.py")
    (model / "config.pbtxt").write_text(_config(setup))
    options = {
        "model-repository": model.parent,
        "backend-directory": backends,
        "http-address": "127.0.0.1",
        "http-port": setup.port,
        "allow-grpc": "false",
        "metrics-port": free_port(),
    }
    binary = server / "bin" / "tritonserver"
    binary.chmod(binary.stat().st_mode | 0o111)
    return Start(
        command=[str(binary), *(f"--{name}={value}" for name, value in options.items())],
        env={
            "LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{os.environ.get('LD_LIBRARY_PATH', '')}",
            "VIRTUAL_ENV": str(setup.python.parents[1]),
            "PYTHONPATH": str(site),
        },
    )


def _config(setup: Setup) -> str:
    graph = onnx.load(setup.files.onnx, load_external_data=False).graph

    def tensors(values: object) -> str:
        return ", ".join(
            f'{{ name: "{v.name}" data_type: {_KINDS[v.type.tensor_type.elem_type]} dims: [ {_width(v)} ] }}'
            for v in values  # type: ignore[attr-defined]
        )

    return "\n".join(
        (
            f'name: "{setup.files.name}"',
            'backend: "python"',
            "max_batch_size: 64",
            "dynamic_batching { }",
            f"input [ {tensors(graph.input)} ]",
            f"output [ {tensors(graph.output)} ]",
            "instance_group [ { kind: KIND_CPU count: 1 } ]",
            f'parameters {{ key: "file" value: {{ string_value: "{setup.files.onnx}" }} }}',
            f'parameters {{ key: "EXECUTION_ENV_PATH" value: {{ string_value: "{setup.python.parents[1]}" }} }}',
            "",
        )
    )


def _width(value: object) -> int:
    """Without the batch; a label is a column here."""
    dims = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
    return int(dims[1].dim_value) if len(dims) > 1 else 1


PEER = Peer(
    name="triton, Python backend",
    environment="triton",
    requires=("nvidia-pytriton==0.7.0", "onnxruntime"),
    start=_start,
    ready="/v2/models/{}/ready".format,
    ask=infer,
    python=str(SYSTEM) if SYSTEM.exists() else sys.executable,
)
