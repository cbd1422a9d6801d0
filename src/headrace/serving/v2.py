"""The dialect of the Open Inference Protocol (KServe V2): names, shapes and datatypes are the caller's.

Called by predict.py for api/http/infer.py. Decides which datatypes a caller may send for a signature (what numpy calls
a safe cast), that every tensor is either JSON or binary, and which outputs go back in which form and order. Ignores
paths and headers; values are read and written by v2_json.py and v2_binary.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from headrace.serving.answer import to_json
from headrace.serving.codec import DTYPES, Codec, describe, dtype_of
from headrace.serving.runtimes.base import Array, Inputs, Outputs
from headrace.serving.v2_binary import cut, fitted, from_bytes, text_of, to_bytes
from headrace.serving.v2_classes import classified
from headrace.serving.v2_json import depth_of, from_json
from headrace.traffic.record import CAPTURE_LIMIT
from headrace.types.errors import BadInput
from headrace.types.model import Datatype, Layout, Signature, TensorSpec

_encoder = msgspec.json.Encoder()
_MAX_SIZE = 2**31  # of one dimension
SENT = {datatype.value: dtype for datatype, dtype in DTYPES.items()}


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] = {}


class Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] = []


class Chosen(NamedTuple):
    """An output that goes back: its place in the signature; binary or JSON; instead of it, `classes` highest values."""

    place: int
    binary: bool
    classes: int


class V2Dialect:
    """`blob` is what follows the JSON in the body; `raw` that there is no JSON and the blob is the only input.
    `binary` is the form of outputs for which the request asks for none."""

    name = "v2"
    plain = False
    __slots__ = ("_binary", "_blob", "_raw", "_request", "_signature", "_wanted", "tail")

    def __init__(
        self, request: InferRequest, blob: memoryview | None = None, *, raw: bool = False, binary: bool = False
    ) -> None:
        self._request = request
        self._blob = blob
        self._raw = raw
        self._binary = binary
        self._signature: Signature | None = None
        self._wanted: Sequence[Chosen] = ()
        self.tail: list[bytes | memoryview] = []  # binary outputs in the order of `outputs`, once written

    def read(self, codec: Codec) -> Inputs:
        self._signature = signature = codec.signature
        if self._raw:
            assert self._blob is not None
            self._request = raw_request(signature, len(self._blob))
        request = self._request
        if (usual := self._usual(request, codec)) is not None:
            return usual
        given = {tensor.name: tensor for tensor in request.inputs}
        if len(given) != len(request.inputs):
            raise BadInput("two tensors of inputs have the same name", field="inputs")
        _same_names(given, codec)
        binary = flag(request.parameters, "binary_data_output", default=self._binary)
        self._wanted = chosen([(w.name, w.parameters) for w in request.outputs], signature, binary=binary)
        blobs = {} if self._blob is None else cut([(t.name, t.parameters) for t in request.inputs], self._blob)
        if self._raw and signature.inputs[0].datatype is Datatype.BYTES:
            return codec.from_arrays({signature.inputs[0].name: _one_text(request.inputs[0].shape, self._blob)})
        column = signature.layout is Layout.COLUMNS
        return codec.from_arrays(
            {
                s.name: _array(given[s.name], s, codec.dtypes[s.name], blobs.get(s.name), column)
                for s in signature.inputs
            }
        )

    def _usual(self, request: InferRequest, codec: Codec) -> Inputs | None:
        """One tensor, and no output named: what most calls are."""
        if len(request.inputs) != 1 or request.outputs:
            return None
        only, outputs = request.inputs[0], len(codec.signature.outputs)
        if self._blob is not None:
            if only.data is not msgspec.UNSET or only.parameters.get("binary_data_size") != len(self._blob):
                return None
            self._wanted = _all(outputs, flag(request.parameters, "binary_data_output", default=self._binary))
            return codec.usual_bytes(only.name, only.datatype, only.shape, self._blob)
        if not isinstance(only.data, msgspec.Raw) or only.parameters or request.parameters:
            return None
        self._wanted = _all(outputs, self._binary)
        return codec.usual(only.name, only.datatype, only.shape, only.data)

    def kept(self, inputs: Inputs) -> bytes | None:
        """As /predict takes them, so that records of both protocols read the same."""
        assert self._signature is not None
        only = self._request.inputs[0]
        tensor = len(self._signature.inputs) == 1 and self._signature.layout is Layout.TENSOR
        if tensor and len(only.shape) == 2 and isinstance(only.data, msgspec.Raw):
            # The bytes as they came, where a pair of brackets makes them that: not parsed and written again.
            if depth_of(only.data) == 2:
                return bytes(only.data)
            if inputs.rows == 1:
                return b"[%b]" % bytes(only.data)
        return kept_arrays(inputs, self._signature)

    def write(self, outputs: Outputs, signature: Signature, result: bytes | None) -> bytes:
        """The `outputs` of the response; the bytes of binary ones are in `tail`."""
        return b"[%b]" % b",".join(
            [self._output(signature.outputs[w.place], outputs[w.place], w) for w in self._wanted]
        )

    def _output(self, spec: TensorSpec, array: Array, wanted: Chosen) -> bytes:
        datatype = spec.datatype
        if wanted.classes:
            array, datatype = classified(array, wanted.classes), Datatype.BYTES
        head, shape = _head(spec.name, datatype), _encoder.encode(array.shape)
        if not wanted.binary:
            return b'%b%b,"data":%b}' % (head, shape, to_json(array.ravel(), spec))
        chunk = to_bytes(array, datatype)
        self.tail.append(chunk)
        return b'%b%b,"parameters":{"binary_data_size":%d}}' % (head, shape, len(chunk))


@lru_cache(maxsize=1024)
def _head(name: str, datatype: Datatype) -> bytes:
    return b'{"name":%b,"datatype":"%b","shape":' % (_encoder.encode(name), datatype.value.encode())


def raw_request(signature: Signature, size: int) -> InferRequest:
    """What a body without JSON means: all of it is the only input. One dimension at most follows from its size."""
    if len(signature.inputs) != 1:
        names = ", ".join(spec.name for spec in signature.inputs)
        raise BadInput(f"a body without JSON is one tensor; the model takes several: {names}", field="inputs")
    spec = signature.inputs[0]
    field = f"inputs.{spec.name}"
    free = [index for index, length in enumerate(spec.shape) if length == -1]
    shape = [1 if index in free else length for index, length in enumerate(spec.shape)]
    if spec.datatype is not Datatype.BYTES:
        if len(free) > 2:
            raise BadInput(f"shape {describe(spec.shape)} does not follow from the size of the body", field=field)
        unit = math.prod(shape) * (2 if spec.datatype is Datatype.BF16 else dtype_of(spec).itemsize)
        if not unit or size % unit:
            raise BadInput(
                f"the body has {size} bytes; {spec.datatype.value} {describe(spec.shape)} comes in {unit}", field=field
            )
        if free:
            shape[free[-1]] = size // unit
    elif math.prod(shape) != 1:
        raise BadInput(f"a body without JSON is one text; the model takes {describe(spec.shape)}", field=field)
    only = Tensor(name=spec.name, shape=shape, datatype=spec.datatype.value, parameters={"binary_data_size": size})
    return InferRequest(inputs=[only])


def chosen(wanted: list[tuple[str, dict[str, Any]]], signature: Signature, *, binary: bool) -> Sequence[Chosen]:
    """Which outputs go back, in which order and form: all of them when none is asked for."""
    if not wanted:
        return _all(len(signature.outputs), binary)
    there = {spec.name: index for index, spec in enumerate(signature.outputs)}
    if len({name for name, _ in wanted}) != len(wanted):
        raise BadInput("an output is asked for twice", field="outputs")
    found = []
    for name, parameters in wanted:
        if name not in there:
            raise BadInput(f"there is no output {name!r}; there are: {', '.join(there)}", field="outputs")
        one = flag(parameters, "binary_data", default=binary) if parameters else binary
        found.append(Chosen(there[name], one, classes_of(parameters, name) if parameters else 0))
    return found


@lru_cache(maxsize=64)
def _all(outputs: int, binary: bool) -> tuple[Chosen, ...]:
    return tuple(Chosen(index, binary, 0) for index in range(outputs))


def classes_of(parameters: dict[str, Any], name: str) -> int:
    """0: the output as it is."""
    value = parameters.get("classification", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInput(f"classification is {value!r}; allowed: a number of classes", field=f"outputs.{name}")
    return value


def kept_arrays(inputs: Inputs, signature: Signature) -> bytes | None:
    """None when it would be more than the journal keeps: a value is two characters of JSON at least."""
    arrays = [inputs.matrix] if inputs.matrix is not None else list(inputs.arrays.values())
    if sum(array.size for array in arrays) * 2 > CAPTURE_LIMIT:
        return None
    names = [spec.name for spec in signature.inputs]
    if inputs.matrix is not None:
        return _encoder.encode(dict(zip(names, inputs.matrix.T.tolist(), strict=True)))
    if len(names) == 1 and signature.layout is Layout.TENSOR:
        return _encoder.encode(inputs.arrays[names[0]].tolist())
    return _encoder.encode({name: inputs.arrays[name].tolist() for name in names})


def _same_names(given: dict[str, Tensor], codec: Codec) -> None:
    if given.keys() == codec.specs.keys():
        return
    missing_or_extra(given.keys(), codec)


def missing_or_extra(given: Any, codec: Codec) -> None:
    there = ", ".join(f"{s.name} {s.datatype.value} {describe(s.shape)}" for s in codec.signature.inputs)
    for name in codec.specs:
        if name not in given:
            raise BadInput(f"tensor {name!r} is missing; the model takes: {there}", field=f"inputs.{name}")
    for name in given:
        if name not in codec.specs:
            raise BadInput(f"there is no input {name!r}; the model takes: {there}", field=f"inputs.{name}")


def _array(tensor: Tensor, spec: TensorSpec, dtype: np.dtype[Any], blob: memoryview | None, column: bool) -> Array:
    """In the signature's type and rank. A column may come as [n] or [n, 1]."""
    field = f"inputs.{tensor.name}"
    sent = sent_type(tensor.datatype, spec, field)
    shape = shape_of(tensor.shape, spec, field, column=column)
    count = math.prod(shape)
    if blob is not None:
        if tensor.data is not msgspec.UNSET:
            raise BadInput("it has data and binary_data_size; send one of them", field=field)
        return fitted(from_bytes(blob, tensor.datatype, count, field), dtype, field).reshape(shape)
    if not isinstance(tensor.data, msgspec.Raw):
        no_shared_memory(tensor.parameters, field)
        header = " without header inference-header-content-length" if "binary_data_size" in tensor.parameters else ""
        raise BadInput(f"it has no data{header}", field=field)
    return from_json(tensor.data, sent, dtype, count, tensor.shape, f"{field}.data").reshape(shape)


def sent_type(datatype: str, spec: TensorSpec, field: str) -> np.dtype[Any]:
    sent = SENT.get(datatype)
    if sent is None:
        raise BadInput(f"datatype {datatype!r} is unknown; there are: {', '.join(SENT)}", field=f"{field}.datatype")
    if sent is not (declared := dtype_of(spec)) and not _safe(sent, declared):
        raise BadInput(f"datatype is {datatype}; the model takes {spec.datatype.value}", field=f"{field}.datatype")
    return sent


def shape_of(given: list[int], spec: TensorSpec, field: str, *, column: bool) -> list[int]:
    for size in given:
        if not 0 <= size <= _MAX_SIZE:
            break
    else:
        shape = given[:1] if column and len(given) == 2 and given[1] == 1 else given
        if len(shape) == len(spec.shape):
            for index in range(1, len(shape)):
                if spec.shape[index] not in (-1, shape[index]):
                    break
            else:
                return shape
        raise BadInput(f"shape is {describe(given)}; the model takes {describe(spec.shape)}", field=f"{field}.shape")
    raise BadInput(f"shape {given} cannot be; the model takes {describe(spec.shape)}", field=f"{field}.shape")


def _safe(sent: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    if sent.kind == "O" or wanted.kind == "O":
        return sent.kind == wanted.kind
    # FP64 for FP32 is what every JSON client sends; a value that does not fit is caught when it is cast.
    return bool(np.can_cast(sent, wanted, "safe")) or sent.kind == wanted.kind == "f"


def _one_text(shape: list[int], blob: memoryview | None) -> Array:
    """The raw form of BYTES has no length in front."""
    array = np.empty(shape, dtype=object)
    array[...] = text_of(bytes(blob or b""))
    return array


def no_shared_memory(parameters: Mapping[str, Any], field: str) -> None:
    if "shared_memory_region" in parameters:
        raise BadInput("shared memory is not spoken here; send the values", field=field)


def schedule(parameters: dict[str, Any]) -> tuple[int, int]:
    """`priority` (1 is the highest, 0 the default) and `timeout` (microseconds in the queue, 0: the default)."""
    found = []
    for name in ("priority", "timeout"):
        value = parameters.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            raise BadInput(f"{name} is {value!r}; allowed: whole numbers from 0", field=f"parameters.{name}")
        found.append(value)
    return found[0], found[1]


def flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadInput(f"{name} is {value!r}; allowed: true, false", field=f"parameters.{name}")
    return value
