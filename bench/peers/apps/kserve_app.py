"""KServe's Python model server with a custom model: its own sklearn server is not on PyPI. Access log off."""

from __future__ import annotations

import numpy as np
from graph import Graph, arguments
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid

NAMES = {"float32": "FP32", "int64": "INT64"}


class Served(Model):
    def __init__(self, name: str, file: str) -> None:
        super().__init__(name)
        self.file = file

    def load(self) -> bool:
        self.graph = Graph(self.file)
        self.ready = True
        return True

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        array = np.asarray(payload.inputs[0].as_numpy(), self.graph.kind)
        wanted = [output.name for output in payload.request_outputs or ()] or self.graph.outputs
        outputs = []
        for name, found in zip(wanted, self.graph.run(array, wanted), strict=True):
            output = InferOutput(name=name, shape=list(found.shape), datatype=NAMES[found.dtype.name])
            output.set_data_from_numpy(found, binary_data=_binary(payload))
            outputs.append(output)
        return InferResponse(response_id=payload.id or generate_uuid(), model_name=self.name, infer_outputs=outputs)


def _binary(payload: InferRequest) -> bool:
    return any((output.parameters or {}).get("binary_data") for output in payload.request_outputs or ())


if __name__ == "__main__":
    given = arguments()
    model = Served(given.model, given.file)
    model.load()
    ModelServer(http_port=given.port, enable_grpc=False, enable_latency_logging=False, workers=1).start([model])
