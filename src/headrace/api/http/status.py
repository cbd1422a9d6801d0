"""GET /health, /health/live and /metrics: what the port is doing, for people, supervisors and scrapers.

Called by edge.py. Decides what "ready" is: a plan is in force and the plane is not ending. Loads in progress and a
refused plan do not make it unready: what serves, serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec

from headrace import __version__
from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.siblings import Siblings
from headrace.gateway.tally import Tally
from headrace.serving.fleet import Fleet
from headrace.serving.sums import merge_health
from headrace.serving.table import Lane, Loaded
from headrace.traffic.merge import merge
from headrace.traffic.meter import Figures, Meter, Reading, prometheus, snapshot
from headrace.traffic.record import Journal
from headrace.types.errors import BadInput

PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"


class StatusHandler:
    """`blind` tells why the database cannot be asked, or nothing; `tally` how chat endpoints and the models behind
    them are doing. `siblings`: those it answers for, too."""

    def __init__(
        self,
        fleet: Fleet,
        journal: Journal,
        meter: Meter,
        *,
        plane: str,
        blind: Callable[[], str],
        tally: Tally,
        siblings: Siblings | None = None,
    ) -> None:
        self.draining = False
        self._tally = tally
        self._fleet = fleet
        self._journal = journal
        self._meter = meter
        self._plane = plane
        self._blind = blind
        self._siblings = siblings or Siblings()
        meter.watch(self._readings)

    def ready(self) -> bool:
        return self._fleet.table.realised and not self.draining

    async def health(self, exchange: Exchange, _: Parameters) -> Reply:
        body = self.own()
        if self._siblings:
            others = await self._siblings.ask("/health")
            body = merge_health(
                body, {name: msgspec.json.decode(told) if told else None for name, told in others.items()}
            )
        return json_reply(msgspec.json.encode(body), 200 if body["status"] == "ready" else 503)

    def own(self) -> dict[str, Any]:
        """Of this process alone."""
        table, refusal = self._fleet.table, self._fleet.refusal
        status = "draining" if self.draining else "ready" if table.realised else "starting"
        return {
            "status": status,
            "plane": self._plane,
            "version": __version__,
            "revision": table.revision,
            "plan": {
                "revision": table.revision,
                "error": refusal.sentence() if refusal else None,
                "refused_revision": refusal.revision if refusal else None,
                "endpoint": refusal.endpoint if refusal else None,
                "variant": refusal.variant if refusal else None,
            },
            "endpoints": [*(_endpoint(lane) for lane in table.lanes.values()), *self._tally.endpoints()],
            "packages": [
                {
                    "model": loaded.package.model,
                    "version": loaded.package.version,
                    "runtime": loaded.package.runtime,
                    "state": loaded.state,
                    "inside": loaded.refs,
                    "memory_mb": loaded.memory >> 20,
                    "reason": loaded.reason,
                }
                for loaded in self._fleet.loaded()
            ],
            "upstreams": self._tally.health(),
            "journal": {"lost": self._journal.lost},
            "database": {"error": self._blind() or None},
        }

    async def live(self, exchange: Exchange, _: Parameters) -> Reply:
        return json_reply(b'{"status":"live"}')

    async def metrics(self, exchange: Exchange, _: Parameters) -> Reply:
        wanted = parse_qs(exchange.query).get("format", [""])[0]
        if wanted not in ("", "json", "prometheus"):
            raise BadInput(f"format is {wanted!r}; allowed: json, prometheus", field="format")
        accepted = exchange.header("accept") or ""
        if wanted == "prometheus" or (not wanted and ("text/plain" in accepted or "openmetrics" in accepted)):
            return Reply(200, prometheus(await self._figures()).encode(), [(b"content-type", PROMETHEUS)])
        return json_reply(msgspec.json.encode(snapshot(await self._figures())))

    async def _figures(self) -> Figures:
        if not self._siblings:
            return self._meter.figures()
        others = await self._siblings.ask("/figures")
        answered = [msgspec.msgpack.decode(told, type=Figures) for told in others.values() if told is not None]
        up: list[Reading] = [("headrace_worker_up", {"worker": n}, int(told is not None)) for n, told in others.items()]
        up.append(("headrace_worker_up", {"worker": self._plane}, 1))
        return merge([self._meter.figures(), *answered, Figures({}, up)])

    def _readings(self) -> Iterator[Reading]:
        table, refusal = self._fleet.table, self._fleet.refusal
        for lane in table.lanes.values():
            yield "headrace_inside", {"endpoint": lane.endpoint.name}, lane.gate.inside
        for loaded in self._fleet.loaded():
            yield from _statistics(loaded)
        yield "headrace_journal_lost_total", {}, self._journal.lost
        yield "headrace_plan_revision", {}, table.revision
        yield "headrace_plan_refused", {}, refusal.revision if refusal else 0
        yield "headrace_ready", {}, int(self.ready())


def _statistics(loaded: Loaded) -> Iterator[Reading]:
    """Under Triton's names."""
    told, labels = loaded.statistics, {"model": loaded.package.model, "version": str(loaded.package.version)}
    for name, value in (
        ("inference_request_success", told.success.count),
        ("inference_request_failure", told.fail.count),
        ("inference_count", told.inference_count),
        ("inference_exec_count", told.execution_count),
        ("inference_request_duration_us", told.success.ns // 1000),
        ("inference_queue_duration_us", told.queue.ns // 1000),
        ("inference_compute_input_duration_us", told.compute_input.ns // 1000),
        ("inference_compute_infer_duration_us", told.compute_infer.ns // 1000),
        ("inference_compute_output_duration_us", told.compute_output.ns // 1000),
        ("inference_pending_request_count", loaded.queued),
        ("cache_num_hits_per_model", told.cache_hit.count),
        ("cache_num_misses_per_model", told.cache_miss.count),
    ):
        yield f"nv_{name}", labels, value


def _endpoint(lane: Lane) -> dict[str, object]:
    endpoint, policy = lane.endpoint, lane.policy
    return {
        "name": endpoint.name,
        "model": endpoint.model,
        "live": lane.live,
        "inside": lane.gate.inside,
        "baseline": policy.baseline,
        "ejected": endpoint.policy.baseline if policy.baseline != endpoint.policy.baseline else "",
        "candidate": policy.candidate,
        "share": policy.share,
        "variants": [
            {
                "name": variant.name,
                "version": variant.model.version,
                "state": lane.loaded[variant.name].state if variant.name in lane.loaded else "absent",
            }
            for variant in endpoint.variants
        ],
    }
