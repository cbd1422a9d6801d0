"""KServe's own client against a V2 server: `python ask.py HTTP GRPC` (host:port each).

Run by test_kserve_client.py in an environment of its own that has kserve (it wants an older psutil than we do). Exits
with 1 when an answer is wrong.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

LEFT, RIGHT = np.arange(16, dtype=np.int32).reshape(1, 16), np.ones((1, 16), dtype=np.int32)


def request(*, binary: bool) -> InferRequest:
    inputs = [InferInput(name=name, shape=[1, 16], datatype="INT32") for name in ("INPUT0", "INPUT1")]
    for tensor, values in zip(inputs, (LEFT, RIGHT), strict=True):
        tensor.set_data_from_numpy(values, binary_data=binary)
    return InferRequest(model_name="simple", infer_inputs=inputs, request_id="k")


def check(answer) -> None:  # type: ignore[no-untyped-def]
    found = {output.name: output.as_numpy() for output in answer.outputs}
    np.testing.assert_array_equal(found["OUTPUT0"].reshape(1, 16), LEFT + RIGHT)
    np.testing.assert_array_equal(found["OUTPUT1"].reshape(1, 16), LEFT - RIGHT)
    assert answer.id == "k", answer.id


async def main() -> None:
    http, grpc = sys.argv[1:3]
    rest = InferenceRESTClient(RESTConfig(protocol="v2", verbose=False))
    url = f"http://{http}"
    assert await rest.is_server_live(url)
    assert await rest.is_server_ready(url)
    assert await rest.is_model_ready(url, "simple")
    for binary in (True, False):
        check(await rest.infer(url, request(binary=binary), model_name="simple"))
    await rest.close()
    remote = InferenceGRPCClient(grpc)
    assert await remote.is_server_live()
    assert await remote.is_server_ready()
    assert await remote.is_model_ready("simple")
    check(await remote.infer(request(binary=True)))
    await remote.close()


if __name__ == "__main__":
    asyncio.run(main())
