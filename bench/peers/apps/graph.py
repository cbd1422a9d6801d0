"""One ONNX file, run the same way by every server here that takes user code: V2 as a dictionary in and out.

Imported by the other programs of this folder, in a peer's own environment. One thread per call and no spinning, as
everybody here has it: the machine is shared with the load generator.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import onnxruntime as ort

KINDS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int32)": np.int32}
NAMES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "int32": "INT32"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--file", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch", type=int, default=0, help="rows that are run together at most")
    return parser.parse_args()


class Graph:
    def __init__(self, file: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.session = ort.InferenceSession(file, options, ["CPUExecutionProvider"])
        node = self.session.get_inputs()[0]
        self.input, self.kind = node.name, KINDS[node.type]
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(self, array: np.ndarray, wanted: list[str] | None = None) -> list[np.ndarray]:
        return self.session.run(wanted or self.outputs, {self.input: array})

    def infer(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.infer_all([request])[0]

    def infer_all(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of all in one run; all ask for the same outputs."""
        tensors = [request["inputs"][0] for request in requests]
        wanted = [output["name"] for output in requests[0].get("outputs", ())] or self.outputs
        rows = [np.array(tensor["data"], self.kind).reshape(tensor["shape"]) for tensor in tensors]
        arrays = self.run(rows[0] if len(rows) == 1 else np.concatenate(rows), wanted)
        ends = np.cumsum([len(row) for row in rows])
        return [
            {"outputs": [_told(n, a[end - len(row) : end]) for n, a in zip(wanted, arrays, strict=True)]}
            for row, end in zip(rows, ends, strict=True)
        ]


def _told(name: str, array: np.ndarray) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": NAMES[array.dtype.name],
        "shape": list(array.shape),
        "data": array.ravel().tolist(),
    }
