"""What the data planes say: their health, and whether they run a plan.

Called by the release engine (await_plan, and ask for its gates), the status page and the console's try-it form. Decides
how long to wait for a plan, and that it is live once every plane that is up runs it: one that is down looks for the
newest plan before it takes calls. Ignores what a plan says: planes follow the database themselves, this only asks how
far they are.

One data plane is asked at its address; several workers of one port each on their own socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from headrace.base.clock import Clock
from headrace.client.answers import error_of, read_json, unreachable
from headrace.client.infer import decode_reply, encode_request
from headrace.release.gates.base import Array, Asked
from headrace.traffic.route import FORCED_HEADER, GATE_HEADER
from headrace.types.endpoint import PlaneReport
from headrace.types.errors import UpstreamError
from headrace.types.model import TensorSpec

POLL_SECONDS = 0.02
HEALTH_SECONDS = 1.0
PREDICT_SECONDS = 35.0  # a little more than the time limit that a call has by default


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneHealth:
    """As GET /health says it, ready or not; None: nothing answers. `down`: there is no process to answer."""

    name: str
    told: dict[str, Any] | None
    down: bool = False


class Planes:
    """`key`: an API key that the planes accept, when they ask for one. `workers`: the way to each of several."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        user_header: str,
        key: str = "",
        gate_token: str = "",
        http: httpx.BaseTransport | None = None,
        workers: Mapping[str, httpx.BaseTransport] | None = None,
    ) -> None:
        self.url = url
        self._clock, self._user_header, self._gate_token = clock, user_header, gate_token
        headers = {"authorization": f"Bearer {key}"} if key else None
        self._client = httpx.Client(base_url=url, headers=headers, timeout=HEALTH_SECONDS, transport=http)
        self._workers = {
            name: httpx.Client(base_url=f"http://{name}", timeout=HEALTH_SECONDS, transport=transport)
            for name, transport in (workers or {}).items()
        }

    def health(self) -> tuple[PlaneHealth, ...]:
        """Of every plane, in order."""
        asked = self._workers or {"data": self._client}
        return tuple(_health(name, client) for name, client in asked.items())

    def up(self) -> bool:
        """Whether there is any to wait for."""
        return not all(plane.down for plane in self.health())

    def limits(self) -> list[dict[str, Any]]:
        """How full what limits count is, as each plane tells. One that does not answer tells nothing."""
        asked = self._workers or {"data": self._client}
        return [row for client in asked.values() for row in _limits(client, self._gate_token)]

    def metrics(self) -> list[dict[str, Any]]:
        """Of all planes together, as GET /metrics tells them one by one: name, labels, value."""
        try:
            answer = self._client.get("/metrics", params={"format": "json"})
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        return list(dict(read_json(answer)).get("metrics", ()))

    def await_plan(self, revision: int, seconds: float) -> PlaneReport:
        """Returns as soon as the plan is live or refused, or when the time is up."""
        deadline = self._clock.steady() + seconds
        while True:
            report = report_of(revision, self.health())
            if report.live or report.refused or self._clock.steady() >= deadline:
                return report
            self._clock.sleep(POLL_SECONDS)

    def predict(self, endpoint: str, inputs: Any, user: str) -> dict[str, Any]:
        """A call like any application's, and the variant that answered; raises what the data plane says."""
        body = {"model": endpoint, "inputs": inputs}
        headers = {self._user_header: user} if user else {}
        try:
            answer = self._client.post("/predict", json=body, headers=headers, timeout=PREDICT_SECONDS)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        return dict(read_json(answer)) | {"variant": answer.headers.get("x-headrace-variant", "")}

    def ask(self, endpoint: str, variant: str, arrays: Mapping[str, Array], *, specs: tuple[TensorSpec, ...]) -> Asked:
        """A gate's question: the variant forced, the call marked as nobody's."""
        path = f"/v2/models/{quote(endpoint, safe='')}/infer"
        headers = {FORCED_HEADER: variant, GATE_HEADER: self._gate_token, "content-type": "application/json"}
        body = encode_request(dict(arrays), specs)
        try:
            answer = self._client.post(path, content=body, headers=headers, timeout=PREDICT_SECONDS)
        except httpx.TransportError as error:
            return Asked(outputs={}, error=unreachable(self.url, error))
        trace_id = answer.headers.get("x-headrace-trace", "")
        if not answer.is_success:
            return Asked(outputs={}, error=error_of(answer), trace_id=trace_id)
        try:
            outputs, _ = decode_reply(answer.content, f"{self.url}{path}")
        except UpstreamError as error:
            return Asked(outputs={}, error=error, trace_id=trace_id)
        return Asked(outputs=outputs, ms=float(answer.headers.get("x-headrace-latency-ms", 0)), trace_id=trace_id)

    def memory_mb(self, model: str, version: int) -> int | None:
        found = [
            int(package["memory_mb"])
            for plane in self.health()
            if plane.told is not None
            for package in plane.told.get("packages", ())
            if (package.get("model"), package.get("version")) == (model, version) and "memory_mb" in package
        ]
        return max(found, default=None)

    def close(self) -> None:
        for client in (self._client, *self._workers.values()):
            client.close()


def report_of(revision: int, planes: tuple[PlaneHealth, ...]) -> PlaneReport:
    """Pure. Live: somebody runs it, and nobody who is up runs an older one. Refused: one of them says so."""
    up = [plane for plane in planes if not plane.down]
    live = bool(up) and all(plane.told is not None and _revision(plane.told) >= revision for plane in up)
    refusals = [why for plane in up if plane.told is not None and (why := _refusal(plane.told, revision))]
    return PlaneReport(revision=revision, live=live, refused=refusals[0] if refusals else "")


def _revision(told: dict[str, Any]) -> int:
    return int(told.get("revision") or 0)


def _refusal(told: dict[str, Any], revision: int) -> str:
    plan = told.get("plan") or {}
    # It tells of its last refusal alone, so one of a later plan, which holds this one, counts too.
    if _revision(told) >= revision or int(plan.get("refused_revision") or 0) < revision:
        return ""
    return str(plan.get("error") or "it does not say why")


def _health(name: str, client: httpx.Client) -> PlaneHealth:
    try:
        told = dict(msgspec.json.decode(client.get("/health").content))
    except httpx.ConnectError:
        return PlaneHealth(name=name, told=None, down=True)
    except (httpx.HTTPError, msgspec.DecodeError, TypeError, ValueError):
        return PlaneHealth(name=name, told=None)
    return PlaneHealth(name=name, told=told)


def _limits(client: httpx.Client, token: str) -> list[dict[str, Any]]:
    try:
        answer = client.get("/limits", headers={GATE_HEADER: token})
        return list(msgspec.json.decode(answer.content)["limits"]) if answer.is_success else []
    except (httpx.HTTPError, msgspec.DecodeError, KeyError):
        return []
