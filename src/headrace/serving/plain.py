"""The dialect of /predict: inputs as plain JSON, the answer as a list with one entry per row.

Called by predict.py with the codec of the version that was chosen. Ignores everything around `inputs` and `result`.
"""

from __future__ import annotations

import msgspec

from headrace.serving.codec import Codec
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.types.model import Signature


class PlainDialect:
    name = "predict"
    plain = True
    __slots__ = ("_raw",)

    def __init__(self, raw: msgspec.Raw) -> None:
        self._raw = raw

    def read(self, codec: Codec) -> Inputs:
        return codec.decode(self._raw)

    def kept(self, inputs: Inputs) -> msgspec.Raw:
        return self._raw

    def write(self, outputs: Outputs, signature: Signature, result: bytes | None) -> bytes:
        assert result is not None
        return result
