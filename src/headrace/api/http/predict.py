"""POST /predict: `{"model", "inputs", "stage"?, "version"?, "user"?}` to serving/predict.py and back.

Called by edge.py. Decides the form of the request and of the answer; `inputs` stays raw until the model is known.
"""

from __future__ import annotations

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.serving.codec import bad_json
from headrace.serving.plain import PlainDialect
from headrace.serving.predict import Predictor, Request
from headrace.traffic import colour
from headrace.traffic.record import Open
from headrace.traffic.route import selector
from headrace.types.errors import BadInput

TIMEOUT_HEADER = b"x-headrace-timeout-ms"
_LONGEST = 86_400_000  # a day
_COLOUR, _BAGGAGE = colour.HEADER.encode(), colour.BAGGAGE.encode()


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    inputs: msgspec.Raw
    stage: str | None = None
    version: int | str | None = None
    user: int | str | None = None


_decoder = msgspec.json.Decoder(PredictBody)


class PredictHandler:
    def __init__(self, predictor: Predictor, *, user_header: str, limit: int) -> None:
        self._predictor = predictor
        self._user_header = user_header.lower()
        self._limit = limit

    async def __call__(self, exchange: Exchange, _: Parameters) -> Reply:
        body = read_body(await exchange.json_body(self._limit))
        answer = await self._predictor.predict(
            Request(
                model=body.model,
                wanted=selector(body.stage, body.version),
                user=exchange.header(self._user_header) or ("" if body.user is None else str(body.user)),
                header=exchange.header,
                parent=exchange.header("traceparent") or "",
                timeout_ms=timeout_of(exchange),
                colour=colour_of(exchange),
            ),
            PlainDialect(body.inputs),
        )
        call = answer.call
        return json_reply(
            b'{"result":%b,"trace_id":"%b","model_version":%d,"latency_ms":%.3f}'
            % (answer.body, call.trace_id.encode(), call.version, call.latency_ms),
            200,
            traced(call),
        )


def colour_of(exchange: Exchange) -> str:
    """What was decided for the request before it came here; mostly nothing."""
    if _COLOUR not in exchange.headers and _BAGGAGE not in exchange.headers:
        return ""
    return colour.told(exchange.header(colour.HEADER), exchange.header(colour.BAGGAGE))


def traced(call: Open) -> tuple[tuple[bytes, bytes], ...]:
    """Of every answer of a model: how it is found again, who gave it, and what was decided on the way."""
    found = ((b"x-headrace-trace", call.trace_id.encode()), (b"x-headrace-variant", call.variant.encode()))
    return (*found, (_COLOUR, call.colour.encode())) if call.colour else found


def timeout_of(exchange: Exchange) -> int:
    """How long the caller waits, in milliseconds; 0 when it does not say."""
    told = exchange.headers.get(TIMEOUT_HEADER)
    if told is None:
        return 0
    if not told.isdigit() or not 0 < int(told) <= _LONGEST:
        raise BadInput(
            f"{TIMEOUT_HEADER.decode()} is {told.decode('latin-1')[:40]!r}; allowed: milliseconds, 1 to {_LONGEST:,}",
            field=TIMEOUT_HEADER.decode(),
        )
    return int(told)


def read_body(data: bytes) -> PredictBody:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken(error, data) from None


def broken(error: Exception, data: bytes) -> BadInput:
    """A body that is no JSON, or not the JSON that is asked for. NaN is the usual reason and gets its own words."""
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        if not data.strip():
            return BadInput("the body is empty", field="body")
        for word in (b"NaN", b"Infinity"):
            if word in data:
                return BadInput(f"{error}: JSON has no {word.decode()}", field="inputs", hint="leave such rows out")
        return BadInput(str(error), field="body")
    return bad_json(error, "")
