"""POST /v2/models/{model}/generate and generate_stream: JSON objects with inputs and outputs by name.

Called by edge.py. Decides the form of the answer. A stream is one server-sent event, since no model here answers in
parts. In a stream, what the model did wrong is an event too, after a 200; what the caller did wrong, and a refusal to
take the call, have their status.
"""

from __future__ import annotations

import json

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.http.infer import request_of
from headrace.api.http.predict import broken, traced
from headrace.serving.generate import GenerateDialect
from headrace.serving.predict import Answer, Predictor
from headrace.serving.v2 import schedule
from headrace.types.errors import BadInput, ModelError

EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_parameters = msgspec.json.Decoder(dict[str, str | bool | int | float | None])
_encoder = msgspec.json.Encoder()


class GenerateHandler:
    def __init__(self, predictor: Predictor, *, user_header: str, limit: int) -> None:
        self._predictor = predictor
        self._user_header = user_header.lower()
        self._limit = limit

    async def whole(self, exchange: Exchange, parameters: Parameters) -> Reply:
        body = await self._read(exchange)
        answer = await self._ask(exchange, parameters, body)
        return json_reply(_written(parameters, body, answer), 200, traced(answer.call))

    async def stream(self, exchange: Exchange, parameters: Parameters) -> Reply:
        body = await self._read(exchange)
        try:
            answer = await self._ask(exchange, parameters, body)
        except ModelError as error:
            told = _encoder.encode({"error": error.sentence()})
            return Reply(200, b"data: %b\n\n" % told, [EVENTS, (b"x-headrace-trace", error.trace_id.encode())])
        return Reply(200, b"data: %b\n\n" % _written(parameters, body, answer), [EVENTS, *traced(answer.call)])

    async def _read(self, exchange: Exchange) -> dict[str, msgspec.Raw]:
        data = await exchange.json_body(self._limit)
        try:
            body = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise broken(error, data) from None
        if any(data.count(_encoder.encode(name)) > 1 for name in body):
            _check_once(data)
        return body

    async def _ask(self, exchange: Exchange, parameters: Parameters, body: dict[str, msgspec.Raw]) -> Answer:
        priority, waits = schedule(_given(body))
        request = request_of(exchange, parameters, self._user_header, priority=priority, waits=waits)
        return await self._predictor.predict(request, GenerateDialect(body))


def _check_once(data: bytes) -> None:
    """JSON leaves it open which of two members with one name counts; a caller that sends both has made a mistake."""
    _, pairs = json.loads(data, object_pairs_hook=lambda pairs: ("object", pairs))
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise BadInput("it comes twice", field=name)


def _given(body: dict[str, msgspec.Raw]) -> dict[str, str | bool | int | float | None]:
    try:
        return _parameters.decode(body["parameters"]) if "parameters" in body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"it is not an object of single values: {error}", field="parameters") from None


def _written(parameters: Parameters, body: dict[str, msgspec.Raw], answer: Answer) -> bytes:
    name = _encoder.encode(parameters["model"])
    echoed = b'"id":%b,' % bytes(body["id"]) if "id" in body else b""
    return b'{%b"model_name":%b,"model_version":"%d",%b}' % (echoed, name, answer.call.version, answer.body)
