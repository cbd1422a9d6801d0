"""V2 over HTTP, all but inference: health, metadata, configuration, statistics.

Called by edge.py. Decides the status of live and ready, where the specification contradicts itself and Triton answers
400: 200 with `{"live": true}` or `{"ready": true}`, 503 when it is not so. What is told is serving/describe.py's.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.siblings import Siblings
from headrace.serving import describe
from headrace.serving.predict import Predictor

_encoder = msgspec.json.Encoder()


class DescribedHandler:
    """`ready` says whether the plane takes traffic."""

    def __init__(
        self, predictor: Predictor, *, ready: Callable[[], bool], server_name: str, siblings: Siblings | None = None
    ) -> None:
        self._predictor = predictor
        self._ready = ready
        self._server_name = server_name
        self._siblings = siblings or Siblings()

    async def server(self, exchange: Exchange, _: Parameters) -> Reply:
        return _json(describe.server(self._server_name))

    async def live(self, exchange: Exchange, _: Parameters) -> Reply:
        return _json({"live": True})

    async def ready(self, exchange: Exchange, _: Parameters) -> Reply:
        ready = self._ready()
        return _json({"ready": ready}, 200 if ready else 503)

    async def model_ready(self, exchange: Exchange, parameters: Parameters) -> Reply:
        lane, variant = describe.find(self._predictor.table, *_names(parameters))
        ready = self._ready() and variant in lane.loaded
        return _json({"name": parameters["model"], "ready": ready}, 200 if ready else 503)

    async def metadata(self, exchange: Exchange, parameters: Parameters) -> Reply:
        return _json(describe.metadata(self._predictor.table, *_names(parameters)))

    async def configuration(self, exchange: Exchange, parameters: Parameters) -> Reply:
        return _json(describe.configuration(self._predictor.table, *_names(parameters)))

    async def statistics(self, exchange: Exchange, parameters: Parameters) -> Reply:
        return _json(await self._siblings.statistics(self._predictor.table, *_names(parameters)))


def _names(parameters: Parameters) -> tuple[str, str]:
    """Both empty: all models."""
    return parameters.get("model", ""), parameters.get("version", "")


def _json(value: object, status: int = 200) -> Reply:
    return json_reply(_encoder.encode(value), status)
