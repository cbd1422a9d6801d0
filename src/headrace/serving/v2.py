"""The dialect of the Open Inference Protocol (KServe V2), JSON tensors: names, shapes and datatypes are the caller's.

Called by predict.py for api/http/infer.py. Decides which datatypes a caller may send for a signature (what numpy calls
a safe cast), and that data may be nested or flat. Ignores paths, headers and the binary extension.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from headrace.serving.codec import BRACKETS, DTYPES, Codec, bad_json, describe, dtype_of, element, to_array
from headrace.serving.runtimes.base import Array, Inputs, Outputs
from headrace.types.errors import BadInput
from headrace.types.model import Layout, Signature, TensorSpec

_encoder = msgspec.json.Encoder()
_MAX_RANK = 8
_SENT = {datatype.value: dtype for datatype, dtype in DTYPES.items()}


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] = {}


class Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] = []


class OutputTensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class V2Dialect:
    name = "v2"
    __slots__ = ("_request", "_signature")

    def __init__(self, request: InferRequest) -> None:
        self._request = request
        self._signature: Signature | None = None

    def read(self, codec: Codec) -> Inputs:
        self._signature = signature = codec.signature
        given = {tensor.name: tensor for tensor in self._request.inputs}
        if len(given) != len(self._request.inputs):
            raise BadInput("two tensors of inputs have the same name", field="inputs")
        _same_names(given, codec)
        _known_outputs(self._request.outputs, signature)
        column = signature.layout is Layout.COLUMNS
        return codec.from_arrays(
            {s.name: _array(given[s.name], s, codec.dtypes[s.name], column) for s in signature.inputs}
        )

    def kept(self, inputs: Inputs) -> bytes:
        """As /predict takes them, so that records of both protocols read the same."""
        assert self._signature is not None
        names = [spec.name for spec in self._signature.inputs]
        only = self._request.inputs[0]
        if len(names) == 1 and self._signature.layout is Layout.TENSOR and len(only.shape) == 2:
            # The bytes as they came, where a pair of brackets makes them that: not parsed and written again.
            if _depth(only) == 2:
                return bytes(only.data)
            if inputs.rows == 1:
                return b"[%b]" % bytes(only.data)
        if inputs.matrix is not None:
            return _encoder.encode(dict(zip(names, inputs.matrix.T.tolist(), strict=True)))
        if len(names) == 1 and self._signature.layout is Layout.TENSOR:
            return _encoder.encode(inputs.arrays[names[0]].tolist())
        return _encoder.encode({name: inputs.arrays[name].tolist() for name in names})

    def write(self, outputs: Outputs, signature: Signature, result: bytes) -> bytes:
        """The `outputs` of the response."""
        wanted = {output.name for output in self._request.outputs}
        return _encoder.encode(
            [_output(s, a) for s, a in zip(signature.outputs, outputs, strict=True) if not wanted or s.name in wanted]
        )


def _output(spec: TensorSpec, array: Array) -> OutputTensor:
    return OutputTensor(
        name=spec.name, datatype=spec.datatype.value, shape=list(array.shape), data=array.ravel().tolist()
    )


def _same_names(given: dict[str, Tensor], codec: Codec) -> None:
    if given.keys() == codec.specs.keys():
        return
    there = ", ".join(f"{s.name} {s.datatype.value} {describe(s.shape)}" for s in codec.signature.inputs)
    for name in codec.specs:
        if name not in given:
            raise BadInput(f"tensor {name!r} is missing; the model takes: {there}", field=f"inputs.{name}")
    for name in given:
        if name not in codec.specs:
            raise BadInput(f"there is no input {name!r}; the model takes: {there}", field=f"inputs.{name}")


def _known_outputs(wanted: list[Wanted], signature: Signature) -> None:
    there = [spec.name for spec in signature.outputs]
    for output in wanted:
        if output.name not in there:
            raise BadInput(f"there is no output {output.name!r}; there are: {', '.join(there)}", field="outputs")


def _array(tensor: Tensor, spec: TensorSpec, dtype: np.dtype[Any], column: bool) -> Array:
    """In the signature's type and rank. A column may come as [n] or [n, 1]."""
    field = f"inputs.{tensor.name}"
    sent = _sent_type(tensor, field)
    if sent is not (declared := dtype_of(spec)) and not _safe(sent, declared):
        raise BadInput(
            f"datatype is {tensor.datatype}; the model takes {spec.datatype.value}", field=f"{field}.datatype"
        )
    if not tensor.shape or len(tensor.shape) > _MAX_RANK or any(size < 0 for size in tensor.shape):
        raise BadInput(
            f"shape {tensor.shape} cannot be; the model takes {describe(spec.shape)}", field=f"{field}.shape"
        )
    shape = tensor.shape[:1] if column and len(tensor.shape) == 2 and tensor.shape[1] == 1 else tensor.shape
    if len(shape) != len(spec.shape) or any(w not in (-1, g) for w, g in zip(spec.shape[1:], shape[1:], strict=True)):
        raise BadInput(
            f"shape is {describe(tensor.shape)}; the model takes {describe(spec.shape)}", field=f"{field}.shape"
        )
    values = _values(tensor, sent, field)
    if len(values) != math.prod(shape):
        raise BadInput(
            f"data has {len(values)} values; shape {describe(tensor.shape)} has {math.prod(shape)}",
            field=f"{field}.data",
        )
    return to_array(values, dtype, f"{field}.data").reshape(shape)


def _sent_type(tensor: Tensor, field: str) -> np.dtype[Any]:
    sent = _SENT.get(tensor.datatype)
    if sent is None:
        there = ", ".join(_SENT)
        raise BadInput(f"datatype {tensor.datatype!r} is unknown; there are: {there}", field=f"{field}.datatype")
    return sent


def _safe(sent: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    if sent.kind == "O" or wanted.kind == "O":
        return sent.kind == wanted.kind
    # FP64 for FP32 is what every JSON client sends; a value that does not fit is caught when it is cast.
    return bool(np.can_cast(sent, wanted, "safe")) or sent.kind == wanted.kind == "f"


def _values(tensor: Tensor, dtype: np.dtype[Any], field: str) -> list[Any]:
    """Flat, row by row. Nested lists are flattened by their depth; their lengths must agree with the shape."""
    depth = _depth(tensor)
    if depth not in (1, len(tensor.shape)):
        raise BadInput(f"data is nested {depth} deep; shape {describe(tensor.shape)} is not", field=f"{field}.data")
    try:
        values = _decoder(dtype, depth).decode(tensor.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_json(error, f"{field}.data") from None
    for size in tensor.shape[1:] if depth > 1 else ():
        if any(len(inner) != size for inner in values):
            raise BadInput(f"data is nested otherwise than shape {describe(tensor.shape)}", field=f"{field}.data")
        values = [value for inner in values for value in inner]
    return values  # type: ignore[no-any-return]


def _depth(tensor: Tensor) -> int:
    found = BRACKETS.match(tensor.data)
    return max(found.group(1).count(b"[") if found else 0, 1)


@lru_cache(maxsize=64)
def _decoder(dtype: np.dtype[Any], depth: int) -> msgspec.json.Decoder[Any]:
    form: Any = element(dtype)
    for _ in range(depth):
        form = list[form]
    return msgspec.json.Decoder(form)
