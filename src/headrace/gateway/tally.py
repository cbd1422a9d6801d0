"""What calls to chat models used and cost, and how their upstreams are doing, for /metrics and /health.

Filled by complete.py and reach.py; read when somebody looks. Labels are names of the configuration, so there are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from headrace.gateway.board import Board, Lane
from headrace.traffic.meter import Meter, Reading
from headrace.types.endpoint import Task
from headrace.types.gateway import Own, Usage

_BUCKETS = tuple(each.name for each in fields(Usage))


@dataclass(slots=True)
class Sums:
    """Tokens by bucket, and USD."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    audio: int = 0
    cost: float = 0.0


class Tally:
    def __init__(self, meter: Meter, board: Callable[[], Board]) -> None:
        self._meter = meter
        self._board = board
        self._sums: dict[tuple[str, str], Sums] = {}  # by endpoint and variant
        self._hits: dict[tuple[str, str], int] = {}  # by endpoint and kind
        self._own: dict[tuple[str, str, str], int] = {}  # what, endpoint, outcome
        self._own_cost: dict[tuple[str, str], float] = {}
        meter.watch(self._readings)

    def spent(self, endpoint: str, variant: str, usage: Usage, cost: float) -> None:
        sums = self._sums.get((endpoint, variant))
        if sums is None:
            sums = self._sums[endpoint, variant] = Sums()
        sums.input += usage.input
        sums.cache_read += usage.cache_read
        sums.cache_write += usage.cache_write
        sums.output += usage.output
        sums.reasoning += usage.reasoning
        sums.audio += usage.audio
        sums.cost += cost

    def answered(self, endpoint: str, variant: str, own: float) -> None:
        """`own`: seconds that were not waited for upstreams."""
        if (lane := self._meter.lanes.get((endpoint, variant))) is not None:
            lane.own.add(own if own > 0 else 0.0)

    def streamed(self, endpoint: str, variant: str, first: float) -> None:
        """`first`: seconds until the first byte of the answer."""
        if (lane := self._meter.lanes.get((endpoint, variant))) is not None:
            lane.first.add(first)

    def hit(self, endpoint: str, kind: str) -> None:
        """Of the cache: exact, semantic."""
        self._hits[endpoint, kind] = self._hits.get((endpoint, kind), 0) + 1

    def asked(self, own: Own, endpoint: str, outcome: str, cost: float) -> None:
        """A question of our own."""
        key = (own.value, endpoint, outcome)
        self._own[key] = self._own.get(key, 0) + 1
        self._own_cost[key[:2]] = self._own_cost.get(key[:2], 0.0) + cost

    def health(self) -> list[dict[str, Any]]:
        """One row an upstream model, for people."""
        return [
            {
                "provider": ready.way.provider,
                "model": ready.way.model,
                "inside": ready.health.inflight,
                "failures_in_a_row": ready.health.row,
                "left_alone": ready.health.closed_until > 0,
                "first_byte_ms": round(ready.health.seconds * 1000, 3),
                "last_failure": ready.health.failed_last or None,
                "key_refused": ready.health.key_refused and ready.health.row > 0,
                "calls": dict(ready.health.outcomes),
            }
            for ready in self._board().ways().values()
        ]

    def endpoints(self) -> list[dict[str, Any]]:
        """One row a chat endpoint, as /health tells of others; models of our own are among those already."""
        lanes = self._board().lanes.values()
        return [_endpoint(lane) for lane in lanes if lane.endpoint.task is Task.CHAT]

    def _readings(self) -> Iterator[Reading]:
        for (endpoint, variant), sums in self._sums.items():
            labels = {"endpoint": endpoint, "variant": variant}
            for bucket in _BUCKETS:
                yield "headrace_tokens_total", {**labels, "bucket": bucket}, getattr(sums, bucket)
            yield "headrace_cost_usd_total", labels, sums.cost
        for (endpoint, kind), count in self._hits.items():
            yield "headrace_cache_hits_total", {"endpoint": endpoint, "kind": kind}, count
        for (own, endpoint, outcome), count in self._own.items():
            yield "headrace_own_calls_total", {"what": own, "endpoint": endpoint, "outcome": outcome}, count
        for (own, endpoint), cost in self._own_cost.items():
            yield "headrace_own_cost_usd_total", {"what": own, "endpoint": endpoint}, cost
        for (provider, model), ready in self._board().ways().items():
            labels, health = {"provider": provider, "model": model}, ready.health
            for outcome, count in health.outcomes.items():
                yield "headrace_upstream_calls_total", {**labels, "outcome": outcome}, count
            yield "headrace_upstream_inside", labels, health.inflight
            yield "headrace_upstream_left_alone", labels, int(health.closed_until > 0)


def _endpoint(lane: Lane) -> dict[str, Any]:
    endpoint, policy = lane.endpoint, lane.policy
    variants = [
        {"name": v.name, "version": v.model.version, "state": "live" if v.name in lane.versions else "absent"}
        for v in endpoint.variants
    ]
    return {
        "name": endpoint.name,
        "model": endpoint.model,
        "live": policy.baseline in lane.versions,
        "inside": lane.gate.inside,
        "baseline": policy.baseline,
        "ejected": endpoint.policy.baseline if policy.baseline != endpoint.policy.baseline else "",
        "candidate": policy.candidate,
        "share": policy.share,
        "variants": variants,
    }
