"""The dialect of Triton's generate extension: inputs by name in one JSON object, outputs by name in another.

Called by predict.py for api/http/generate.py. Decides which keys are inputs (those that the model has) and which are
parameters (single values); an input may be a single value or a list. Ignores streaming: one answer per request.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.serving.codec import Codec
from headrace.serving.runtimes.base import Array, Inputs, Outputs
from headrace.types.errors import BadInput
from headrace.types.model import Signature

RESERVED = ("id", "parameters")
_encoder = msgspec.json.Encoder()


class GenerateDialect:
    name = "v2"
    plain = False
    __slots__ = ("_body", "_kept")

    def __init__(self, body: dict[str, msgspec.Raw]) -> None:
        self._body = body
        self._kept = b""

    def read(self, codec: Codec) -> Inputs:
        inputs = {name: raw for name, raw in self._body.items() if name in codec.specs}
        for name, raw in self._body.items():
            if name not in inputs and name not in RESERVED and bytes(raw).startswith((b"[", b"{")):
                there = ", ".join(codec.specs)
                raise BadInput(f"there is no input {name!r}; there are: {there}", field=name)
        for name in codec.specs:
            if name not in inputs:
                raise BadInput(f"input {name!r} is missing; the model takes: {', '.join(codec.specs)}", field=name)
        self._kept = _encoder.encode(inputs)
        return codec.decode(msgspec.Raw(self._kept))

    def kept(self, inputs: Inputs) -> bytes:
        return self._kept

    def write(self, outputs: Outputs, signature: Signature, result: bytes | None) -> bytes:
        """The members of the answer's object that are outputs."""
        named = {spec.name: _value(array) for spec, array in zip(signature.outputs, outputs, strict=True)}
        return _encoder.encode(named)[1:-1]


def _value(array: Array) -> Any:
    """A single value as such; of one row, what the row holds."""
    if array.size == 1:
        return array.item()
    return array[0].tolist() if len(array) == 1 else array.tolist()
