"""What calls to chat models used and cost, and how their upstreams are doing, for /metrics and /health.

Filled by complete.py and reach.py; read when somebody looks. Labels are names of the configuration, so there are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

from headrace.gateway.board import Board
from headrace.traffic.meter import Meter, Reading
from headrace.types.gateway import Own, Spent, Usage

_BUCKETS = tuple(each.name for each in fields(Usage))


class Tally:
    def __init__(self, meter: Meter, board: Callable[[], Board]) -> None:
        self._meter = meter
        self._board = board
        self._tokens: dict[tuple[str, str], dict[str, int]] = {}
        self._cost: dict[tuple[str, str], float] = {}
        self._own: dict[tuple[str, str, str], int] = {}  # what, endpoint, outcome
        self._own_cost: dict[tuple[str, str], float] = {}
        meter.watch(self._readings)

    def spent(self, endpoint: str, variant: str, spent: Spent, seconds: float) -> None:
        """`seconds`: from accepted to the end."""
        key, usage = (endpoint, variant), spent.usage
        tokens = self._tokens.get(key)
        if tokens is None:
            tokens = self._tokens[key] = dict.fromkeys(_BUCKETS, 0)
        for bucket in _BUCKETS:
            if count := getattr(usage, bucket):
                tokens[bucket] += count
        self._cost[key] = self._cost.get(key, 0.0) + spent.cost
        lane = self._meter.lanes.get(key)
        if lane is not None:
            if spent.first_ms:
                lane.first.add(spent.first_ms / 1000)
            else:
                lane.own.add(max(0.0, seconds - spent.wait_ms / 1000))

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
                "calls": dict(ready.health.outcomes),
            }
            for ready in self._board().ways().values()
        ]

    def _readings(self) -> Iterator[Reading]:
        for (endpoint, variant), tokens in self._tokens.items():
            labels = {"endpoint": endpoint, "variant": variant}
            for bucket, count in tokens.items():
                yield "headrace_tokens_total", {**labels, "bucket": bucket}, count
            yield "headrace_cost_usd_total", labels, self._cost[endpoint, variant]
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
