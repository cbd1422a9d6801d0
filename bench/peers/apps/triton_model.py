"""The model of Triton's Python backend: runs in the stub process that Triton starts."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as backend


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = config["parameters"]["file"]["string_value"]
        self.session = ort.InferenceSession(file, options, ["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = [output["name"] for output in config["output"]]

    def execute(self, requests: list) -> list:
        """Triton hands over what it batched; the rows of all are run together."""
        arrays = [backend.get_input_tensor_by_name(request, self.input).as_numpy() for request in requests]
        together = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        found = self.session.run(self.outputs, {self.input: together})
        responses, at = [], 0
        for array in arrays:
            end = at + len(array)
            tensors = [
                backend.Tensor(name, values[at:end].reshape(len(array), -1))
                for name, values in zip(self.outputs, found, strict=True)
            ]
            responses.append(backend.InferenceResponse(output_tensors=tensors))
            at = end
        return responses
