"""A real Triton with the models of tests/v2_models.py: `python serve.py HTTP_PORT GRPC_PORT METRICS_PORT`.

Run by test_real_triton.py in an environment of its own that has nvidia-pytriton (it wants numpy 1). Ends with its
standard input.
"""

from __future__ import annotations

import os
import sys

os.environ["PYTRITON_NO_TENSORSTORE"] = "1"  # without it the Python back end fails on some builds of Python 3.11

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig


@batch
def simple(INPUT0, INPUT1):  # type: ignore[no-untyped-def]
    return {"OUTPUT0": INPUT0 + INPUT1, "OUTPUT1": INPUT0 - INPUT1}


@batch
def identity(INPUT0):  # type: ignore[no-untyped-def]
    return {"OUTPUT0": INPUT0}


def main() -> None:
    http, grpc, metrics = (int(value) for value in sys.argv[1:4])
    config = TritonConfig(http_port=http, grpc_port=grpc, metrics_port=metrics, http_address="127.0.0.1", log_verbose=0)
    pair = [Tensor(name=f"INPUT{i}", dtype=np.int32, shape=(16,)) for i in (0, 1)]
    sums = [Tensor(name=f"OUTPUT{i}", dtype=np.int32, shape=(16,)) for i in (0, 1)]
    with Triton(config=config, security_config=TritonSecurityConfig(access_token="conformance")) as triton:
        triton.bind(
            model_name="simple", infer_func=simple, inputs=pair, outputs=sums, config=ModelConfig(max_batch_size=64)
        )
        for name, dtype in (("identity_fp32", np.float32), ("identity_fp16", np.float16), ("identity_bytes", bytes)):
            triton.bind(
                model_name=name,
                infer_func=identity,
                inputs=[Tensor(name="INPUT0", dtype=dtype, shape=(-1,))],
                outputs=[Tensor(name="OUTPUT0", dtype=dtype, shape=(-1,))],
                config=ModelConfig(max_batch_size=64),
            )
        triton.run()
        sys.stdout.write("\nready\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
