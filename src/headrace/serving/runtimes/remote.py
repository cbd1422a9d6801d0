"""A model on another server that speaks V2 over HTTP: Triton, KServe, another Headrace.

Called by fleet.py and batch.py. Decides how a call is written (tensors as bytes, or as JSON) and what is believed of an
answer: outputs by name, datatype, shape and length, as the signature wants them. Calls are not run together here: that
server does so, and knows what it can.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np

from headrace.compute.upstream import Response
from headrace.serving.runtimes.base import Array, Inputs, Model, Outputs, Surroundings, register
from headrace.serving.runtimes.upstream import UpstreamModel, read_description
from headrace.serving.v2 import SENT, Tensor
from headrace.serving.v2_binary import cut, from_bytes, to_bytes
from headrace.serving.v2_json import from_json
from headrace.types.errors import BadInput
from headrace.types.model import Package, RuntimeKind, Signature
from headrace.types.upstream import Remote

FILE = "remote.json"
LENGTH_HEADER = "inference-header-content-length"
_MAX_SIZE = 1 << 31


class Answer(msgspec.Struct):
    outputs: list[Tensor]


class RemoteRuntime:
    def __init__(self, surroundings: Surroundings) -> None:
        del surroundings

    async def load(self, folder: Path, package: Package) -> Model:
        return RemoteModel(read_description(folder, FILE, Remote, package), package.signature)

    async def close(self) -> None:
        """Each model closes its own connections."""


class RemoteModel(UpstreamModel):
    def __init__(self, what: Remote, signature: Signature) -> None:
        super().__init__(what, signature)
        version = f"/versions/{quote(what.version, safe='')}" if what.version else ""
        self._path = f"/v2/models/{quote(what.model, safe='')}{version}/infer"
        self._binary = what.binary
        self._wanted = [
            {"name": spec.name, **({"parameters": {"binary_data": True}} if what.binary else {})}
            for spec in signature.outputs
        ]

    async def call(self, inputs: Inputs) -> Outputs:
        response = await self.ask(self._path, *self._written(inputs), inputs)
        try:
            return self._read(response)
        except (BadInput, msgspec.MsgspecError, UnicodeDecodeError) as error:
            told = error.sentence() if isinstance(error, BadInput) else str(error)
            raise self.odd(told) from error

    def _written(self, inputs: Inputs) -> tuple[dict[str, str], bytes]:
        tensors: list[dict[str, Any]] = []
        blobs: list[bytes | memoryview] = []
        for spec in self.signature.inputs:
            array = inputs.arrays[spec.name]
            tensor: dict[str, Any] = {"name": spec.name, "shape": list(array.shape), "datatype": spec.datatype.value}
            if self._binary:
                blobs.append(to_bytes(array, spec.datatype))
                tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                tensor["data"] = array.ravel().tolist()
            tensors.append(tensor)
        head = msgspec.json.encode({"inputs": tensors, "outputs": self._wanted})
        if not self._binary:
            return {"content-type": "application/json"}, head
        headers = {"content-type": "application/octet-stream", LENGTH_HEADER: str(len(head))}
        return headers, b"".join([head, *blobs])

    def _read(self, response: Response) -> Outputs:
        length = response.headers.get(LENGTH_HEADER, "")
        if length and not (length.isascii() and length.isdigit() and int(length) <= len(response.body)):
            raise BadInput(f"{LENGTH_HEADER} is {length!r} in a body of {len(response.body)} bytes")
        whole = memoryview(response.body)
        split = int(length) if length else len(whole)
        answer = msgspec.json.decode(whole[:split], type=Answer)
        blobs = cut([(tensor.name, tensor.parameters) for tensor in answer.outputs], whole[split:])
        given = {tensor.name: tensor for tensor in answer.outputs}
        if missing := [spec.name for spec in self.signature.outputs if spec.name not in given]:
            raise BadInput(f"output {missing[0]!r} is missing; there are: {', '.join(given) or 'none'}")
        return [_array(given[spec.name], blobs.get(spec.name)) for spec in self.signature.outputs]


def _array(tensor: Tensor, blob: memoryview | None) -> Array:
    """As it says of itself; whether that fits the signature is checked like every model's answer."""
    count = math.prod(tensor.shape)
    if tensor.datatype not in SENT or any(size < 0 for size in tensor.shape) or count > _MAX_SIZE:
        raise BadInput(f"output {tensor.name!r} is {tensor.datatype} of shape {tensor.shape}")
    if blob is not None:
        array = from_bytes(blob, tensor.datatype, count, tensor.name)
    elif tensor.data is msgspec.UNSET:
        raise BadInput(f"output {tensor.name!r} has no data")
    else:
        sent = SENT[tensor.datatype]
        array = from_json(tensor.data, sent, sent, count, tensor.shape, tensor.name)
    return np.asarray(array).reshape(tensor.shape)


register(RuntimeKind.REMOTE, RemoteRuntime)
