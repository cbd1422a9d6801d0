"""The dialect of V2 over gRPC: a ModelInferRequest to arrays, and outputs into a ModelInferResponse.

Called by predict.py for service.py. Decides that a request has raw contents or typed ones, never both, and that outputs
go back raw, as Triton sends them whatever the request had. Ignores names of models and metadata.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2 as pb

from headrace.serving.codec import Codec, to_array
from headrace.serving.runtimes.base import Array, Inputs, Outputs
from headrace.serving.v2 import Chosen, chosen, kept_arrays, missing_or_extra, no_shared_memory, sent_type, shape_of
from headrace.serving.v2_binary import all_finite, fitted, from_bytes, text_of, to_bytes
from headrace.serving.v2_classes import classified
from headrace.types.errors import BadInput
from headrace.types.model import Datatype, Layout, Signature, TensorSpec

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class GrpcDialect:
    name = "v2"
    plain = False
    __slots__ = ("_request", "_signature", "_wanted", "response")

    def __init__(self, request: pb.ModelInferRequest) -> None:
        self._request = request
        self._signature: Signature | None = None
        self._wanted: Any = ()
        self.response = pb.ModelInferResponse()

    def read(self, codec: Codec) -> Inputs:
        self._signature = signature = codec.signature
        request = self._request
        given = {tensor.name: index for index, tensor in enumerate(request.inputs)}
        if len(given) != len(request.inputs):
            raise BadInput("two tensors of inputs have the same name", field="inputs")
        if given.keys() != codec.specs.keys():
            missing_or_extra(given.keys(), codec)
        wanted = [(output.name, plain(output.parameters)) for output in request.outputs]
        self._wanted = chosen(wanted, signature, binary=True)
        raws = self._raws()
        column = signature.layout is Layout.COLUMNS
        arrays = {}
        for spec in signature.inputs:
            index = given[spec.name]
            raw = raws[index] if raws else None
            arrays[spec.name] = _array(request.inputs[index], raw, spec, codec.dtypes[spec.name], column)
        return codec.from_arrays(arrays)

    def kept(self, inputs: Inputs) -> bytes | None:
        assert self._signature is not None
        return kept_arrays(inputs, self._signature)

    def write(self, outputs: Outputs, signature: Signature, result: bytes | None) -> bytes:
        """Into `response`; what is sent is that, so there is nothing to return."""
        for wanted in self._wanted:
            self._add(signature.outputs[wanted.place], outputs[wanted.place], wanted)
        return b""

    def _add(self, spec: TensorSpec, array: Array, wanted: Chosen) -> None:
        datatype = spec.datatype
        if wanted.classes:
            array, datatype = classified(array, wanted.classes), Datatype.BYTES
        self.response.outputs.add(name=spec.name, datatype=datatype.value, shape=array.shape)
        self.response.raw_output_contents.append(bytes(to_bytes(array, datatype)))

    def _raws(self) -> list[bytes]:
        raws = list(self._request.raw_input_contents)
        if not raws:
            return raws
        if len(raws) != len(self._request.inputs):
            raise BadInput(
                f"there are {len(raws)} raw contents for {len(self._request.inputs)} inputs", field="raw_input_contents"
            )
        for tensor in self._request.inputs:
            if tensor.HasField("contents"):
                raise BadInput("it has contents besides raw_input_contents", field=f"inputs.{tensor.name}")
        return raws


def plain(parameters: Any) -> dict[str, Any]:
    """InferParameters by name."""
    found = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        found[name] = getattr(parameter, choice) if choice else None
    return found


def _array(tensor: Any, raw: bytes | None, spec: TensorSpec, dtype: np.dtype[Any], column: bool) -> Array:
    field = f"inputs.{tensor.name}"
    sent = sent_type(tensor.datatype, spec, field)
    shape = shape_of(list(tensor.shape), spec, field, column=column)
    count = math.prod(shape)
    if raw is not None:
        return fitted(from_bytes(raw, tensor.datatype, count, field), dtype, field).reshape(shape)
    no_shared_memory(tensor.parameters, field)
    values = _values(tensor, field)
    if len(values) != count:
        raise BadInput(f"contents has {len(values)} values; its shape has {count}", field=field)
    array = to_array(values, sent, field)
    all_finite(array, field)
    return fitted(array, dtype, field).reshape(shape)


def _values(tensor: Any, field: str) -> list[Any]:
    name = _CONTENTS.get(tensor.datatype)
    if name is None:
        raise BadInput(f"{tensor.datatype} has no typed contents; send raw_input_contents", field=field)
    for other, _ in tensor.contents.ListFields():
        if other.name != name:
            raise BadInput(f"it has {other.name}; {tensor.datatype} comes in {name}", field=field)
    values = list(getattr(tensor.contents, name))
    return [text_of(value) for value in values] if name == "bytes_contents" else values
