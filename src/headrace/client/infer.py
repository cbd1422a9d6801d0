"""One endpoint, called with arrays and answering with arrays: the Open Inference Protocol in JSON, over HTTP.

Called by score.py; control/planes.py asks in the same form. Decides how arrays become a request and an answer becomes
arrays; what goes wrong is named by answers.py. Thread-safe. Ignores what should be done about an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np

from headrace.client.wire import Wire
from headrace.types.errors import UpstreamError
from headrace.types.model import Datatype, Stage, TensorSpec

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = dict[str, Array]  # by the name of the input or output; the first dimension is the batch

NUMPY: dict[Datatype, np.dtype[Any]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.UINT16: np.dtype(np.uint16),
    Datatype.UINT32: np.dtype(np.uint32),
    Datatype.UINT64: np.dtype(np.uint64),
    Datatype.INT8: np.dtype(np.int8),
    Datatype.INT16: np.dtype(np.int16),
    Datatype.INT32: np.dtype(np.int32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.BF16: np.dtype(np.float32),  # numpy has none; a single holds every one of them
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    Datatype.BYTES: np.dtype(object),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which endpoint, and as who. Plain values, so that it can be sent to another process."""

    url: str
    endpoint: str
    key: str = ""
    version: str | None = None
    stage: str | None = None
    user: str = ""
    user_header: str = "x-user-id"
    colour: str = ""  # what was decided elsewhere: endpoint=variant, comma, …
    timeout: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What the endpoint takes and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    outputs: Arrays
    trace_id: str
    version: str


class _Output(msgspec.Struct):
    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any]


class _Reply(msgspec.Struct):
    outputs: list[_Output]
    model_version: str = ""


class _Metadata(msgspec.Struct):
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


_replies = msgspec.json.Decoder(_Reply)
_encoder = msgspec.json.Encoder()


class Infer:
    def __init__(self, target: Target) -> None:
        headers = {"authorization": f"Bearer {target.key}"} if target.key else {}
        if target.user:
            headers[target.user_header] = target.user
        if target.colour:
            headers["x-headrace-colour"] = target.colour
        self._wire = Wire(target.url, headers=headers, timeout=target.timeout)
        wanted = target.version or (target.stage if target.stage != Stage.PRODUCTION else None)
        pinned = f"/versions/{quote(wanted, safe='@')}" if wanted else ""
        self._path = f"/v2/models/{quote(target.endpoint, safe='')}{pinned}"
        self._interface: Interface | None = None

    def close(self) -> None:
        self._wire.close()

    def interface(self) -> Interface:
        """Asked once. Raises NotFound when there is no such endpoint."""
        if self._interface is None:
            told = self._wire.get(self._path)
            try:
                found = msgspec.convert(told, _Metadata)
            except msgspec.ValidationError as error:
                raise UpstreamError(f"{self._wire.url}{self._path} describes no model: {error}") from error
            self._interface = Interface(inputs=tuple(found.inputs), outputs=tuple(found.outputs))
        return self._interface

    def __call__(self, arrays: Arrays) -> Inferred:
        body = encode_request(arrays, self.interface().inputs)
        content, headers = self._wire.send(f"{self._path}/infer", body)
        outputs, version = decode_reply(content, f"{self._wire.url}{self._path}/infer")
        return Inferred(outputs=outputs, trace_id=headers.get("x-headrace-trace", ""), version=version)


def encode_request(arrays: Arrays, specs: Iterable[TensorSpec]) -> bytes:
    tensors = [
        {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": arrays[spec.name].shape,
            "data": arrays[spec.name].ravel().tolist(),
        }
        for spec in specs
    ]
    return _encoder.encode({"inputs": tensors})


def decode_reply(content: bytes, url: str) -> tuple[Arrays, str]:
    """Outputs by name, and the version that gave them. Raises UpstreamError."""
    try:
        reply = _replies.decode(content)
        outputs = {o.name: np.array(o.data, NUMPY[o.datatype]).reshape(o.shape) for o in reply.outputs}
    except (msgspec.DecodeError, ValueError) as error:
        raise UpstreamError(f"{url} answered otherwise than V2: {error}") from error
    return outputs, reply.model_version or ""
