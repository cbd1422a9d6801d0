"""POST /v2/models/{model}/infer, the Open Inference Protocol (KServe V2) over HTTP; with and without a version.

Called by edge.py. Decides where the JSON of a body ends and its bytes begin, and the form of the answer. Tensors are
v2.py's, everything else of the protocol described.py's, generate.py's and repository.py's.
"""

from __future__ import annotations

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.http.inflate import inflated
from headrace.api.http.predict import broken, colour_of, timeout_of, traced
from headrace.serving.predict import Predictor, Request
from headrace.serving.v2 import InferRequest, V2Dialect, schedule
from headrace.types.errors import BadInput
from headrace.types.traffic import Reason

LENGTH_HEADER = "inference-header-content-length"
OCTETS = b"application/octet-stream"
_BINARY = (b"content-type", OCTETS)
_decoder = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()


class V2Handler:
    def __init__(self, predictor: Predictor, *, user_header: str, limit: int) -> None:
        self._predictor = predictor
        self._user_header = user_header.lower()
        self._limit = limit

    async def infer(self, exchange: Exchange, parameters: Parameters) -> Reply:
        body, dialect = await self._read(exchange)
        priority, waits = schedule(body.parameters) if body.parameters else (0, 0)
        answer = await self._predictor.predict(
            request_of(exchange, parameters, self._user_header, priority=priority, waits=waits),
            dialect,
        )
        call = answer.call
        echoed = b'"id":%b,' % _encoder.encode(body.id) if body.id else b""
        name = _encoder.encode(parameters["model"])
        text = b'{"model_name":%b,"model_version":"%d",%b"outputs":%b}' % (name, call.version, echoed, answer.body)
        headers = traced(call)
        if call.reason is Reason.GATE:
            headers = (*headers, (b"x-headrace-latency-ms", b"%.3f" % call.latency_ms))
        if not dialect.tail:
            return json_reply(text, 200, headers)
        length = (b"inference-header-content-length", b"%d" % len(text))
        return Reply(200, b"".join((text, *dialect.tail)), [_BINARY, length, *headers])

    async def _read(self, exchange: Exchange) -> tuple[InferRequest, V2Dialect]:
        """JSON alone; JSON with bytes behind it; or, with a length of 0, bytes alone."""
        told = exchange.header(LENGTH_HEADER)
        if told is None:
            body = read_body(await self._json(exchange))
            return body, V2Dialect(body)
        data = memoryview(await self._body(exchange))
        if not told.isascii() or not told.isdigit() or int(told) > len(data):
            raise BadInput(f"it is {told[:32]!r}; allowed: 0 to {len(data)}, the body's size", field=LENGTH_HEADER)
        if (length := int(told)) == 0:
            body = InferRequest(inputs=[])
            as_json = (exchange.header("accept") or "").startswith("application/json")
            return body, V2Dialect(body, data, raw=True, binary=not as_json)
        body = read_body(data[:length])
        return body, V2Dialect(body, data[length:])

    async def _json(self, exchange: Exchange) -> bytes:
        """Some clients of V2 call everything bytes."""
        if exchange.headers.get(b"content-type") == OCTETS or b"content-encoding" in exchange.headers:
            return await self._body(exchange)
        return await exchange.json_body(self._limit)

    async def _body(self, exchange: Exchange) -> bytes:
        data = await exchange.body(self._limit)
        encoding = exchange.header("content-encoding")
        return data if encoding is None else await inflated(data, encoding, self._limit)


def request_of(exchange: Exchange, parameters: Parameters, user_header: str, *, priority: int, waits: int) -> Request:
    return Request(
        model=parameters["model"],
        wanted=parameters.get("version"),
        user=exchange.header(user_header) or "",
        header=exchange.header,
        parent=exchange.header("traceparent") or "",
        priority=priority,
        queue_timeout_us=waits,
        timeout_ms=timeout_of(exchange),
        colour=colour_of(exchange),
    )


def read_body(data: bytes | memoryview) -> InferRequest:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken(error, bytes(data)) from None
