"""The Open Inference Protocol (KServe V2) over HTTP: health, metadata, infer; with and without a version in the path.

Called by edge.py. Decides the form of requests and answers. Where the specification contradicts itself: ready and live
answer 200 with `{"ready": true}` and `{"live": true}`, 503 when it is not so. Tensors are v2.py's.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace import __version__
from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.http.predict import broken
from headrace.serving.predict import Predictor, Request
from headrace.serving.table import Lane
from headrace.serving.v2 import InferRequest, V2Dialect, schedule
from headrace.types.errors import BadInput, NotFound, Unavailable
from headrace.types.model import RuntimeKind, TensorSpec

PLATFORMS = {RuntimeKind.ONNX: "onnx_onnxv1", RuntimeKind.PYFUNC: "mlflow_pyfunc"}
LENGTH_HEADER = "inference-header-content-length"
_BINARY = (b"content-type", b"application/octet-stream")
_decoder = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()


class V2Handler:
    """`ready` says whether the plane takes traffic."""

    def __init__(
        self, predictor: Predictor, *, ready: Callable[[], bool], server_name: str, user_header: str, limit: int
    ) -> None:
        self._predictor = predictor
        self._ready = ready
        self._server_name = server_name
        self._user_header = user_header.lower()
        self._limit = limit

    async def infer(self, exchange: Exchange, parameters: Parameters) -> Reply:
        body, dialect = await self._read(exchange)
        priority, waits = schedule(body.parameters) if body.parameters else (0, 0)
        answer = await self._predictor.predict(
            Request(
                model=parameters["model"],
                wanted=parameters.get("version"),
                user=exchange.header(self._user_header) or "",
                header=exchange.header,
                parent=exchange.header("traceparent") or "",
                priority=priority,
                queue_timeout_us=waits,
            ),
            dialect,
        )
        call = answer.call
        echoed = b'"id":%b,' % _encoder.encode(body.id) if body.id else b""
        name = _encoder.encode(parameters["model"])
        text = b'{"model_name":%b,"model_version":"%d",%b"outputs":%b}' % (name, call.version, echoed, answer.body)
        headers = ((b"x-headrace-trace", call.trace_id.encode()), (b"x-headrace-variant", call.variant.encode()))
        if not dialect.tail:
            return json_reply(text, 200, headers)
        length = (b"inference-header-content-length", b"%d" % len(text))
        return Reply(200, b"".join((text, *dialect.tail)), [_BINARY, length, *headers])

    async def _read(self, exchange: Exchange) -> tuple[InferRequest, V2Dialect]:
        """JSON alone; JSON with bytes behind it; or, with a length of 0, bytes alone."""
        told = exchange.header(LENGTH_HEADER)
        if told is None:
            body = read_body(await exchange.json_body(self._limit))
            return body, V2Dialect(body)
        data = memoryview(await exchange.body(self._limit))
        if not told.isascii() or not told.isdigit() or int(told) > len(data):
            raise BadInput(f"it is {told[:32]!r}; allowed: 0 to {len(data)}, the body's size", field=LENGTH_HEADER)
        if (length := int(told)) == 0:
            body = InferRequest(inputs=[])
            as_json = (exchange.header("accept") or "").startswith("application/json")
            return body, V2Dialect(body, data, raw=True, binary=not as_json)
        body = read_body(data[:length])
        return body, V2Dialect(body, data[length:])

    async def server(self, exchange: Exchange, _: Parameters) -> Reply:
        return _json({"name": self._server_name, "version": __version__, "extensions": []})

    async def live(self, exchange: Exchange, _: Parameters) -> Reply:
        return _json({"live": True})

    async def ready(self, exchange: Exchange, _: Parameters) -> Reply:
        ready = self._ready()
        return _json({"ready": ready}, 200 if ready else 503)

    async def model_ready(self, exchange: Exchange, parameters: Parameters) -> Reply:
        lane, variant = self._variant(parameters)
        ready = self._ready() and variant in lane.loaded
        return _json({"name": parameters["model"], "ready": ready}, 200 if ready else 503)

    async def metadata(self, exchange: Exchange, parameters: Parameters) -> Reply:
        lane, variant = self._variant(parameters)
        package = lane.variant(variant).package
        return _json(
            {
                "name": parameters["model"],
                "versions": [str(n) for n in sorted(int(s) for s in lane.endpoint.selectors if s.isdigit())],
                "platform": PLATFORMS[package.runtime],
                "inputs": [_tensor(spec) for spec in package.signature.inputs],
                "outputs": [_tensor(spec) for spec in package.signature.outputs],
            }
        )

    def _variant(self, parameters: Parameters) -> tuple[Lane, str]:
        lane = self._predictor.table.lane(parameters["model"])
        version = parameters.get("version")
        if version is None:
            if not lane.live:
                raise Unavailable(f"endpoint {lane.endpoint.name!r} has no live version", retry_after=1.0)
            return lane, lane.policy.baseline
        variant = lane.endpoint.selectors.get(version)
        if variant is None:
            there = ", ".join(sorted(lane.endpoint.selectors))
            raise NotFound(f"no version {version!r} of {parameters['model']!r}; there are: {there}", field="version")
        return lane, variant


def read_body(data: bytes | memoryview) -> InferRequest:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken(error, bytes(data)) from None


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype.value, "shape": list(spec.shape)}


def _json(value: object, status: int = 200) -> Reply:
    return json_reply(_encoder.encode(value), status)
