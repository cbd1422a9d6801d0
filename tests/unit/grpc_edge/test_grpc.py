"""The gRPC edge on a real port, with scripted models behind it: contents, statuses, metadata, cancel, deadline."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st
from plane_samples import ROWS_OF_3, endpoint, labels, package, spec
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from headrace.api.grpc.server import GrpcServer
from headrace.api.grpc.service import AHEAD, Service
from headrace.api.grpc.statuses import CODES, code_of, told
from headrace.api.grpc.tensors import GrpcDialect
from headrace.api.http.forward import Forwarder
from headrace.api.repository import Repository
from headrace.serving.codec import DTYPES, Codec
from headrace.serving.runtimes.base import Form, Inputs, Outputs
from headrace.traffic.keys import key_hash
from headrace.types import errors
from headrace.types.call import CallStatus
from headrace.types.endpoint import Endpoint, Limits
from headrace.types.errors import BadInput, Conflict, HeadraceError, NotFound
from headrace.types.model import Datatype, Signature
from tests.unit.http.http_edge import Http

ONE = endpoint(package(1))
ROW = np.array([[1, 2, 3]], dtype="<f8").tobytes()


@asynccontextmanager
async def served(*endpoints: Endpoint, behave: Callable[[Inputs], Any] = labels, **more: Any) -> AsyncIterator[Any]:
    http = await Http(behave).serve(*(endpoints or (ONE,)), **more)
    repository = Repository(Forwarder("http://127.0.0.1:1", http.fleet, admit=lambda _: None))
    service = Service(
        http.predictor, repository, ready=http.status.ready, server_name="headrace", user_header="X-User-Id"
    )
    server = GrpcServer(service, host="127.0.0.1", port=0, limit=1 << 20)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        stub.http = http
        yield stub
    await server.stop(0)


def request(**more: Any) -> Any:
    made = pb.ModelInferRequest(model_name="toy", raw_input_contents=[ROW], **more)
    made.inputs.add(name="input", datatype="FP64", shape=[1, 3])
    return made


async def refused(call: Any) -> tuple[StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    return error.code(), error.details() or "", dict(error.trailing_metadata() or ())


async def test_an_answer_has_its_trace_and_variant_as_trailing_metadata() -> None:
    async with served() as stub:
        call = stub.ModelInfer(request(id="7"), metadata=[("x-user-id", "alice"), ("traceparent", "00-a-b-01")])
        answer, trailing = await call, dict(await call.trailing_metadata())
        (line,) = stub.http.journal.calls()
    assert (answer.id, answer.model_version, answer.raw_output_contents[0]) == ("7", "1", bytes(8))
    assert (trailing["x-headrace-trace"], trailing["x-headrace-variant"]) == (line.trace_id, "v1")
    assert (line.sticky, line.parent, line.protocol, line.input) == (True, "00-a-b-01", "v2", [[1.0, 2.0, 3.0]])


async def test_a_colour_comes_as_metadata_and_goes_back_so() -> None:
    async with served() as stub:
        call = stub.ModelInfer(request(), metadata=[("baggage", "headrace-colour=other%3Dv3")])
        trailing = dict(await call.trailing_metadata())
        await call
    assert trailing["x-headrace-colour"] == "other=v3,toy=v1"


@pytest.mark.parametrize("datatype", [kind for kind in Datatype if kind not in (Datatype.FP16, Datatype.BF16)])
def test_typed_contents_of_every_datatype(datatype: Datatype) -> None:
    from headrace.api.grpc.tensors import _CONTENTS

    values: list[Any] = [True, False] if datatype is Datatype.BOOL else [1, 2]
    values = [b"a", b"\xff"] if datatype is Datatype.BYTES else values
    made = pb.ModelInferRequest()
    made.inputs.add(name="x", datatype=datatype.value, shape=[2])
    getattr(made.inputs[0].contents, _CONTENTS[datatype.value]).extend(values)
    codec = Codec(Signature(inputs=(spec("x", datatype),), outputs=(spec("y"),)), Form())
    array = GrpcDialect(made).read(codec).arrays["x"]
    assert (array.dtype, array.tolist()) == (DTYPES[datatype], ["a", b"\xff"] if datatype is Datatype.BYTES else values)


def wrong(**changes: Any) -> Any:
    made = request()
    for name, value in changes.items():
        if name == "contents":
            made.inputs[0].contents.fp64_contents.extend(value)
        elif name == "int_contents":
            made.inputs[0].contents.int_contents.extend(value)
        elif name == "raw":
            del made.raw_input_contents[:]
            made.raw_input_contents.extend(value)
        elif name == "shape":
            made.inputs[0].shape[:] = value
        elif name == "parameter":
            made.parameters[value[0]].string_param = value[1]
        elif name == "region":
            made.inputs[0].parameters["shared_memory_region"].string_param = value
        elif name == "twice":
            made.inputs.append(made.inputs[0])
        else:
            setattr(made.inputs[0], name, value)
    return made


WRONG = [
    ({"contents": [1, 2, 3]}, "contents besides raw_input_contents"),
    ({"raw": [], "contents": [1, 2]}, "contents has 2 values; its shape has 3"),
    ({"raw": [], "int_contents": [1, 2, 3]}, "it has int_contents; FP64 comes in fp64_contents"),
    ({"raw": [], "datatype": "FP16"}, "FP16 has no typed contents"),
    ({"raw": [], "contents": [1, float("nan"), 2]}, "1 of 3 values are NaN"),
    ({"raw": []}, "contents has 0 values"),
    ({"raw": [], "region": "shm"}, "shared memory is not spoken here"),
    ({"raw": [ROW, ROW]}, "there are 2 raw contents for 1 inputs"),
    ({"raw": [ROW[:-1]]}, "it has 23 bytes; 3 values of FP64 have 24"),
    ({"shape": [-1, 3]}, "cannot be"),
    ({"shape": [2**62, 2**62]}, "cannot be"),
    ({"datatype": "ODD"}, "datatype 'ODD' is unknown"),
    ({"name": "odd"}, "tensor 'input' is missing"),
    ({"twice": True}, "the same name"),
    ({"parameter": ("priority", "high")}, "priority is 'high'"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
async def test_a_wrong_request_is_an_invalid_argument(changes: dict[str, Any], message: str) -> None:
    async with served() as stub:
        code, details, _ = await refused(stub.ModelInfer(wrong(**changes)))
    assert (code, message in details) == (StatusCode.INVALID_ARGUMENT, True), details


@settings(deadline=None, max_examples=80)
@given(
    raw=st.lists(st.binary(max_size=40), max_size=3),
    datatype=st.sampled_from(list(Datatype)) | st.text(max_size=3),
    shape=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3), max_size=4),
    typed=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
)
def test_whatever_comes_it_is_an_array_or_bad_input(raw: list[bytes], datatype: str, shape: Any, typed: Any) -> None:
    made = pb.ModelInferRequest(raw_input_contents=raw)
    made.inputs.add(name="input", datatype=datatype, shape=shape)
    made.inputs[0].contents.int_contents.extend(typed)
    try:
        inputs = GrpcDialect(made).read(Codec(ROWS_OF_3, Form()))
    except BadInput:
        return
    assert inputs.arrays["input"].shape == tuple(shape)


async def test_statuses_of_what_is_not_there_or_full() -> None:
    full = endpoint(package(1), name="full", limits=Limits(max_concurrency=0))
    async with served(ONE, full, endpoint(package(1), name="off", parked=True)) as stub:
        for name, expected in (("odd", StatusCode.NOT_FOUND), ("full", StatusCode.UNAVAILABLE)):
            made = request()
            made.model_name = name
            code, details, trailing = await refused(stub.ModelInfer(made))
            assert (code, name in details) == (expected, True)
        assert trailing["grpc-retry-pushback-ms"] == "1000"
        assert trailing["x-headrace-trace"].startswith("tr-")
        assert not (await stub.ModelReady(pb.ModelReadyRequest(name="off"))).ready
        code, _, _ = await refused(stub.ModelMetadata(pb.ModelMetadataRequest(name="toy", version="9")))
        assert code is StatusCode.NOT_FOUND
        for name in ("../x", "", " "):
            code, details, _ = await refused(stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=name)))
            assert code is StatusCode.INVALID_ARGUMENT
        code, details, _ = await refused(stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="toy")))
        assert (code, "control plane does not answer" in details) == (StatusCode.UNAVAILABLE, True)
        code, _, _ = await refused(stub.TraceSetting(pb.TraceSettingRequest()))
        assert code is StatusCode.UNIMPLEMENTED


async def test_the_model_is_to_blame() -> None:
    async with served(behave=lambda inputs: [np.zeros(inputs.rows, dtype=np.int64)]) as stub:
        code, details, _ = await refused(stub.ModelInfer(request()))
    assert (code, "gave 1 outputs" in details) == (StatusCode.INTERNAL, True)


async def test_a_bug_of_ours_tells_no_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as stub:
        monkeypatch.setattr("headrace.api.grpc.service.describe.server", lambda name: 1 / 0)
        code, details, _ = await refused(stub.ServerMetadata(pb.ServerMetadataRequest()))
    assert (code, details) == (StatusCode.INTERNAL, "something went wrong inside Headrace (see its log)")


async def test_keys_come_as_metadata() -> None:
    async with served(keys=(key_hash("secret"),)) as stub:
        for call in (stub.ModelInfer(request()), stub.RepositoryIndex(pb.RepositoryIndexRequest())):
            assert (await refused(call))[0] is StatusCode.UNAUTHENTICATED
        await stub.ModelInfer(request(), metadata=[("authorization", "Bearer secret")])
        await stub.RepositoryIndex(pb.RepositoryIndexRequest(), metadata=[("x-api-key", "secret")])


class Slow:
    """A model that warms up at once, and then answers when it is told to."""

    def __init__(self) -> None:
        self.called, self.waiting = asyncio.Event(), []  # type: ignore[var-annotated]
        self.warm = True

    def __call__(self, inputs: Inputs) -> Outputs | Future[Outputs]:
        if self.warm:
            return labels(inputs)
        self.called.set()
        work: Future[Outputs] = asyncio.get_running_loop().create_future()
        self.waiting.append(work)
        return work

    def finish(self) -> None:
        for work in self.waiting:
            if not work.done():
                work.set_result([])


async def test_a_deadline_of_the_caller_ends_the_wait() -> None:
    slow = Slow()
    async with served(behave=slow) as stub:
        slow.warm = False
        code, _, _ = await refused(stub.ModelInfer(request(), timeout=0.05))
        assert code is StatusCode.DEADLINE_EXCEEDED
        while not stub.http.journal.calls():
            await asyncio.sleep(0.005)
        (line,) = stub.http.journal.calls()
        slow.finish()
    assert line.status in (CallStatus.TIMEOUT, CallStatus.FAILED)


async def test_a_caller_that_cancels_is_not_waited_for() -> None:
    slow = Slow()
    async with served(behave=slow) as stub:
        slow.warm = False
        call = stub.ModelInfer(request())
        waiting = asyncio.ensure_future(call)
        await slow.called.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        while not stub.http.journal.calls():
            await asyncio.sleep(0.005)
        (line,) = stub.http.journal.calls()
        slow.finish()
    assert (line.counted, "interrupted" in line.error) == (False, True)


async def test_a_stream_that_is_left_leaves_nothing_running() -> None:
    slow = Slow()

    async def endless() -> AsyncIterator[Any]:
        while True:
            yield request()
            await asyncio.sleep(0)

    async with served(behave=slow) as stub:
        slow.warm = False
        call = stub.ModelStreamInfer(endless())
        await slow.called.wait()
        call.cancel()
        gate = stub.http.fleet.table.lane("toy").gate
        while not stub.http.journal.calls():
            await asyncio.sleep(0.005)
        slow.finish()
        while gate.inside:
            await asyncio.sleep(0.005)
    assert len(stub.http.journal.calls()) <= AHEAD + 2, "it reads no further ahead than it says"


async def test_a_port_that_is_taken_is_named() -> None:
    async with served() as stub:
        service = Service(
            stub.http.predictor,
            Repository(None),
            ready=bool,
            server_name="",
            user_header="",  # type: ignore[arg-type]
        )
        first = GrpcServer(service, host="127.0.0.1", port=0, limit=1)
        await first.start()
        with pytest.raises(Conflict, match=f"cannot listen on 127.0.0.1:{first.port}"):
            GrpcServer(service, host="127.0.0.1", port=first.port, limit=1)
        await first.stop(0)


def test_every_error_has_a_status_and_a_sentence() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, HeadraceError):
            assert code_of(kind("x")) in StatusCode
    assert set(CODES) <= {k for k in vars(errors).values() if isinstance(k, type)}
    assert told(NotFound("gone", field="model", hint="look")) == "model: gone (look)"
