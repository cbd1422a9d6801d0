"""What a worker tells about itself alone, on a unix socket that only its own user may open.

Asked by its siblings (api/siblings.py), by the supervisor (is it live?) and by the control plane (how is it, does it
run the plan?). Decides nothing. The port that callers know answers for all workers together: status.py.
"""

from __future__ import annotations

import msgspec

from headrace.api.http.edge import Parameters, Route
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.http.limits import LimitsHandler
from headrace.api.http.status import StatusHandler
from headrace.serving import describe
from headrace.serving.predict import Predictor
from headrace.traffic.meter import Meter

FIGURES = "/figures"


class WorkerHandler:
    def __init__(self, status: StatusHandler, limits: LimitsHandler, meter: Meter, predictor: Predictor) -> None:
        self._status, self._limits, self._meter, self._predictor = status, limits, meter, predictor

    def routes(self) -> tuple[Route, ...]:
        stats = ("/v2/models/stats", "/v2/models/{model}/stats", "/v2/models/{model}/versions/{version}/stats")
        return (
            Route("GET", "/health", self.health),
            Route("GET", "/health/live", self._status.live),
            Route("GET", FIGURES, self.figures),
            Route("GET", "/limits", self._limits.own),
            *(Route("GET", path, self.statistics) for path in stats),
        )

    async def health(self, exchange: Exchange, _: Parameters) -> Reply:
        """Always 200: it says in its body how it is."""
        return json_reply(msgspec.json.encode(self._status.own()))

    async def figures(self, exchange: Exchange, _: Parameters) -> Reply:
        return Reply(200, msgspec.msgpack.encode(self._meter.figures()), [(b"content-type", b"application/msgpack")])

    async def statistics(self, exchange: Exchange, parameters: Parameters) -> Reply:
        names = parameters.get("model", ""), parameters.get("version", "")
        return json_reply(msgspec.json.encode(describe.statistics(self._predictor.table, *names)))
