"""V2's model repository over HTTP: POST /v2/repository/index, and models/{model}/load and unload.

Called by edge.py. Decides the form of requests; a body may be empty, also without a content type, as clients send it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.http.predict import broken
from headrace.api.repository import Repository
from headrace.serving import describe
from headrace.serving.predict import Predictor

BODY_LIMIT = 1 << 20


class Index(msgspec.Struct):
    ready: bool = False


class Change(msgspec.Struct):
    parameters: dict[str, Any] = {}


_index = msgspec.json.Decoder(Index)
_change = msgspec.json.Decoder(Change)


class RepositoryHandler:
    def __init__(self, predictor: Predictor, repository: Repository, *, admit: Callable[[Exchange], None]) -> None:
        self._predictor = predictor
        self._repository = repository
        self._admit = admit

    async def index(self, exchange: Exchange, _: Parameters) -> Reply:
        self._admit(exchange)
        asked = await _body(exchange, _index, Index())
        return json_reply(msgspec.json.encode(describe.index(self._predictor.table, ready=asked.ready)))

    async def load(self, exchange: Exchange, parameters: Parameters) -> Reply:
        self._admit(exchange)
        change = await _body(exchange, _change, Change())
        await self._repository.load(parameters["model"], change.parameters, exchange.header)
        return json_reply(b"{}")

    async def unload(self, exchange: Exchange, parameters: Parameters) -> Reply:
        self._admit(exchange)
        change = await _body(exchange, _change, Change())
        await self._repository.unload(parameters["model"], change.parameters, exchange.header)
        return json_reply(b"{}")


async def _body(exchange: Exchange, decoder: msgspec.json.Decoder[Any], empty: Any) -> Any:
    data = await exchange.body(BODY_LIMIT)
    if not data.strip():
        return empty
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken(error, data) from None
