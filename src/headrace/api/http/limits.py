"""GET /limits: how full what the limits of chat models count is now, for the control plane alone: names are in it.

Called by edge.py on the port, where the control plane shows its token, and by worker.py on a socket that only its own
user may open. Decides nothing; traffic/limit.py knows.
"""

from __future__ import annotations

from hmac import compare_digest

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.traffic.limit import Limiter
from headrace.traffic.route import GATE_HEADER
from headrace.types.errors import NotFound


class LimitsHandler:
    def __init__(self, limiter: Limiter, token: str) -> None:
        self._limiter, self._token = limiter, token

    async def shown(self, exchange: Exchange, parameters: Parameters) -> Reply:
        """Without the token there is no such page."""
        if not compare_digest((exchange.header(GATE_HEADER) or "").encode(), self._token.encode()):
            raise NotFound(f"there is no {exchange.path}", field="path")
        return await self.own(exchange, parameters)

    async def own(self, exchange: Exchange, _: Parameters) -> Reply:
        return json_reply(msgspec.json.encode({"limits": await self._limiter.fills()}))
