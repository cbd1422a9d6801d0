"""A custom runtime of MLServer for ONNX files: it has none of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

sys.path.insert(0, str(Path(__file__).parent))
from graph import Graph


class OnnxModel(MLModel):
    async def load(self) -> bool:
        self.graph = Graph(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        array = NumpyCodec.decode_input(payload.inputs[0]).astype(self.graph.kind, copy=False)
        wanted = [output.name for output in payload.outputs or ()] or self.graph.outputs
        arrays = self.graph.run(array, wanted)
        outputs = [NumpyCodec.encode_output(name, found) for name, found in zip(wanted, arrays, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
