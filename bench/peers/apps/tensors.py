"""V2 tensors as the floors read and write them: a typed parse, one ONNX run, one encode; no auth, checks or records.

Imported by floor_asgi.py and floor_bare.py, in their own environment. JSON, and the binary extension.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from graph import NAMES, Graph

RAW = {"FP32": np.dtype(np.float32), "INT32": np.dtype(np.int32)}


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[float] | None = None


class Wanted(msgspec.Struct):
    name: str


class Infer(msgspec.Struct):
    inputs: list[Tensor]
    outputs: list[Wanted] = []


decode = msgspec.json.Decoder(Infer).decode
encode = msgspec.json.Encoder().encode
Reply = tuple[bytes, int]  # the body, and the length of its JSON part: 0 when all of it is JSON


def answerer(model: str, file: str) -> Callable[[bytes, int], Reply]:
    graph = Graph(file)

    def answer(body: bytes, head: int) -> Reply:
        request = decode(body[:head] if head else body)
        tensor = request.inputs[0]
        if head:
            array = np.frombuffer(body, RAW[tensor.datatype], offset=head).reshape(tensor.shape)
        else:
            array = np.array(tensor.data, graph.kind).reshape(tensor.shape)
        names = [output.name for output in request.outputs] or graph.outputs
        outputs = graph.run(array, names)
        told = [
            {"name": n, "datatype": NAMES[a.dtype.name], "shape": a.shape}
            | ({"parameters": {"binary_data_size": a.nbytes}} if head else {"data": a.ravel().tolist()})
            for n, a in zip(names, outputs, strict=True)
        ]
        text = encode({"model_name": model, "model_version": "1", "outputs": told})
        return (b"".join((text, *(a.tobytes() for a in outputs))), len(text)) if head else (text, 0)

    return answer
