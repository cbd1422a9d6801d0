"""Counts and latency histograms of this process since it started. docs/metrics.md lists every name.

Called by record.py and the edge on the event loop (one thread, no locks); read by /metrics.
Decides the buckets. Ignores windows and rates: a scraper or monitor/live.py makes those.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from headrace.types.call import CallStatus

# Seconds, 10 µs to 70 s, five a decade: a quantile is at most 2x off, and a scraper gets 36 lines per histogram.
BOUNDS = tuple(float(f"{mantissa}e{power}") for power in range(-5, 2) for mantissa in ("1", "2", "3", "5", "7"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    name: str
    kind: str  # counter, gauge, histogram
    labels: tuple[str, ...]
    meaning: str
    fold: Callable[[Iterable[float]], float] = sum  # what several workers say, in one number


METRICS = (
    Metric(
        name="headrace_calls_total",
        kind="counter",
        labels=("endpoint", "variant", "status"),
        meaning="calls by outcome: ok, rejected, failed, timeout, shed",
    ),
    Metric(
        name="headrace_call_seconds",
        kind="histogram",
        labels=("endpoint", "variant"),
        meaning="time from accepted to answer ready",
    ),
    Metric(
        name="headrace_run_seconds",
        kind="histogram",
        labels=("endpoint", "variant"),
        meaning="time inside the model's runtime",
    ),
    Metric(
        name="headrace_first_seconds",
        kind="histogram",
        labels=("endpoint", "variant"),
        meaning="of streams: time from accepted to the first byte of the answer",
    ),
    Metric(
        name="headrace_gateway_overhead_seconds",
        kind="histogram",
        labels=("endpoint", "variant"),
        meaning="of calls to chat models: time that was not waited for upstreams",
    ),
    Metric(
        name="headrace_tokens_total",
        kind="counter",
        labels=("endpoint", "variant", "bucket"),
        meaning="tokens of calls to chat models: input, cache_read, cache_write, output, reasoning, audio",
    ),
    Metric(
        name="headrace_cost_usd_total",
        kind="counter",
        labels=("endpoint", "variant"),
        meaning="what calls to chat models cost, by the price table",
    ),
    Metric(
        name="headrace_upstream_calls_total",
        kind="counter",
        labels=("provider", "model", "outcome"),
        meaning="attempts at upstream models: ok, or why they failed",
    ),
    Metric(
        name="headrace_upstream_inside",
        kind="gauge",
        labels=("provider", "model"),
        meaning="attempts under way at an upstream model",
    ),
    Metric(
        name="headrace_upstream_left_alone",
        kind="gauge",
        labels=("provider", "model"),
        meaning="1 while an upstream model is not asked, because it failed or said when to come back",
        fold=max,
    ),
    Metric(
        name="headrace_rows_total", kind="counter", labels=("endpoint", "variant"), meaning="rows in calls that ran"
    ),
    Metric(name="headrace_inside", kind="gauge", labels=("endpoint",), meaning="calls inside the endpoint now"),
    Metric(
        name="headrace_refused_total",
        kind="counter",
        labels=("type",),
        meaning="requests refused before an endpoint was known, by error type",
    ),
    Metric(name="headrace_metric_events_total", kind="counter", labels=(), meaning="metrics that applications posted"),
    Metric(name="headrace_feedback_total", kind="counter", labels=("name",), meaning="feedback accepted, by name"),
    Metric(
        name="headrace_limit_refused_total",
        kind="counter",
        labels=("limit",),
        meaning="calls refused by a limit, by what it counts and at which level: tokens:team",
    ),
    Metric(
        name="headrace_limit_would_refuse_total",
        kind="counter",
        labels=("limit",),
        meaning="calls that a limit in a dry run would have refused, likewise",
    ),
    Metric(
        name="headrace_limit_blind_total",
        kind="counter",
        labels=(),
        meaning="calls that met limits whose counters could not be reached",
    ),
    Metric(
        name="headrace_capture_dropped_total",
        kind="counter",
        labels=(),
        meaning="inputs or outputs too large to be kept in the journal",
    ),
    Metric(name="headrace_journal_lost_total", kind="counter", labels=(), meaning="records that found no room"),
    Metric(
        name="headrace_ejections_total",
        kind="counter",
        labels=("endpoint",),
        meaning="times that the live version broke and the one before took its calls",
    ),
    Metric(
        name="headrace_ejected",
        kind="gauge",
        labels=("endpoint", "variant"),
        meaning="1 while the one before answers for this version; with several workers: how many have ejected it",
    ),
    Metric(
        name="headrace_gate_calls_total",
        kind="counter",
        labels=("status",),
        meaning="questions of gates before a release; they are in no other count of calls",
    ),
    Metric(
        name="headrace_host_restarts_total", kind="counter", labels=(), meaning="model hosts that died and came back"
    ),
    Metric(name="headrace_plan_revision", kind="gauge", labels=(), meaning="revision of the plan in force", fold=min),
    Metric(
        name="headrace_plan_refused",
        kind="gauge",
        labels=(),
        meaning="revision that could not be realised, or 0",
        fold=max,
    ),
    Metric(name="headrace_ready", kind="gauge", labels=(), meaning="1 while the plane takes traffic", fold=max),
    Metric(
        name="headrace_worker_up",
        kind="gauge",
        labels=("worker",),
        meaning="with several workers: 1 if this one is counted in, 0 if it did not answer",
        fold=max,
    ),
    Metric(
        name="headrace_shadow_total",
        kind="counter",
        labels=("endpoint", "variant", "outcome"),
        meaning="calls put to a shadow by outcome: ok, rejected, failed, timeout, or dropped for want of room",
    ),
    Metric(name="headrace_shadow_queued", kind="gauge", labels=("endpoint",), meaning="calls that wait for a shadow"),
    Metric(
        name="headrace_cache_hits_total",
        kind="counter",
        labels=("endpoint", "kind"),
        meaning="calls to chat models that were answered from the cache: exact, semantic",
    ),
    Metric(
        name="headrace_cache_checks_total",
        kind="counter",
        labels=("endpoint", "outcome"),
        meaning="semantic hits that were asked all the same: same, different, failed, dropped",
    ),
    Metric(
        name="headrace_cache_false_hit_rate",
        kind="gauge",
        labels=("endpoint", "bound"),
        meaning="estimated share of semantic hits that answer something else: estimate, low, high (95 %)",
        fold=max,
    ),
    Metric(
        name="headrace_own_calls_total",
        kind="counter",
        labels=("what", "endpoint", "outcome"),
        meaning="questions of Headrace's own to chat models, by what for",
    ),
    Metric(
        name="headrace_own_cost_usd_total",
        kind="counter",
        labels=("what", "endpoint"),
        meaning="what these cost",
    ),
    Metric(name="process_cpu_seconds_total", kind="counter", labels=(), meaning="CPU time of this process"),
    Metric(name="process_resident_memory_bytes", kind="gauge", labels=(), meaning="memory of this process"),
    # As Triton names and means them, so that dashboards made for it work. Durations are sums in microseconds.
    *(
        Metric(name=f"nv_{name}", kind=kind, labels=("model", "version"), meaning=meaning)
        for name, kind, meaning in (
            ("inference_request_success", "counter", "requests answered"),
            ("inference_request_failure", "counter", "requests that failed"),
            ("inference_count", "counter", "rows answered"),
            ("inference_exec_count", "counter", "runs of the model, each on one batch"),
            ("inference_request_duration_us", "counter", "time from accepted to answered"),
            ("inference_queue_duration_us", "counter", "time in the queue of the model"),
            ("inference_compute_input_duration_us", "counter", "time to make tensors of what came"),
            ("inference_compute_infer_duration_us", "counter", "time inside the runtime"),
            ("inference_compute_output_duration_us", "counter", "time to write the answer"),
            ("inference_pending_request_count", "gauge", "requests in the queue of the model now"),
            ("cache_num_hits_per_model", "counter", "answers taken from the response cache"),
            ("cache_num_misses_per_model", "counter", "answers the response cache did not have"),
        )
    ),
)
BY_NAME = {metric.name: metric for metric in METRICS}


@dataclass(slots=True)
class Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The upper bound of the bucket that holds the quantile; 0 when empty."""
        left = q * self.count
        for bound, count in zip((*BOUNDS, BOUNDS[-1]), self.counts, strict=True):
            left -= count
            if left <= 0 and count:
                return bound
        return 0.0


@dataclass(slots=True)
class Lane:
    """What one variant of one endpoint has done."""

    statuses: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    call: Histogram = field(default_factory=Histogram)
    run: Histogram = field(default_factory=Histogram)
    unanswered: Histogram = field(default_factory=Histogram)  # of `call`: those that did not end well
    first: Histogram = field(default_factory=Histogram)  # of streams: to the first byte
    own: Histogram = field(default_factory=Histogram)  # of chats: what was not waited for upstreams

    def answered(self) -> Histogram:
        """How long its answers took. What hung once must not make the next who hangs look usual."""
        counts = [every - bad for every, bad in zip(self.call.counts, self.unanswered.counts, strict=True)]
        return Histogram(counts, self.call.total - self.unanswered.total)


Reading = tuple[str, dict[str, str], float]  # metric, labels, value


@dataclass(slots=True)
class Figures:
    """All that is known at one moment: of one process, or of several (merge.py). Workers send it to each other."""

    lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)


class Meter:
    """`gauges` are read when somebody looks: callables registered by who owns the value."""

    def __init__(self) -> None:
        self.lanes: dict[tuple[str, str], Lane] = {}
        self.counters: dict[tuple[str, str], int] = {}
        self._sources: list[Callable[[], Iterable[Reading]]] = []

    def call(
        self, endpoint: str, variant: str, status: CallStatus, *, seconds: float, run_seconds: float, rows: int
    ) -> None:
        lane = self.lanes.get((endpoint, variant))
        if lane is None:
            lane = self.lanes[endpoint, variant] = Lane()
        lane.statuses[status] = lane.statuses.get(status, 0) + 1
        lane.call.add(seconds)
        if status is not CallStatus.OK:
            lane.unanswered.add(seconds)
        if run_seconds:
            lane.run.add(run_seconds)
            lane.rows += rows

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """`name` is one of METRICS with at most one label."""
        self.counters[name, label] = self.counters.get((name, label), 0) + by

    def watch(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Ask `source` for its readings whenever somebody looks at the metrics."""
        self._sources.append(source)

    def figures(self) -> Figures:
        return Figures(self.lanes, list(self._singles()))

    def _singles(self) -> Iterator[Reading]:
        for (name, label), value in sorted(self.counters.items()):
            names = BY_NAME[name].labels
            yield name, {names[0]: label} if names else {}, value
        for source in self._sources:
            yield from source()


def snapshot(figures: Figures) -> dict[str, object]:
    """For people: one entry per endpoint and variant, quantiles in milliseconds, then all the rest by name."""
    return {
        "endpoints": [
            {
                "endpoint": endpoint,
                "variant": variant,
                "calls": dict(lane.statuses),
                "rows": lane.rows,
                "latency_ms": _quantiles(lane.call),
                "run_ms": _quantiles(lane.run),
            }
            for (endpoint, variant), lane in sorted(figures.lanes.items())
        ],
        "metrics": [{"name": n, "labels": labels, "value": v} for n, labels, v in figures.readings],
    }


def prometheus(figures: Figures) -> str:
    lines: list[str] = []
    readings: dict[str, list[str]] = {}
    for name, labels, value in (*_lane_counters(figures), *figures.readings):
        readings.setdefault(name, []).append(f"{name}{_labels(labels)} {_number(value)}")
    for name, pick, always in _HISTOGRAMS:
        readings[name] = [
            line
            for key, lane in sorted(figures.lanes.items())
            if always or pick(lane).total
            for line in _expose(name, key, pick(lane))
        ]
    for metric in METRICS:
        if found := readings.get(metric.name):
            lines += [f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}", *found]
    return "\n".join(lines) + "\n"


def _lane_counters(figures: Figures) -> Iterator[Reading]:
    for (endpoint, variant), lane in sorted(figures.lanes.items()):
        labels = {"endpoint": endpoint, "variant": variant}
        for status, count in sorted(lane.statuses.items()):
            yield "headrace_calls_total", {**labels, "status": str(status)}, count
        yield "headrace_rows_total", labels, lane.rows


_HISTOGRAMS: tuple[tuple[str, Callable[[Lane], Histogram], bool], ...] = (
    ("headrace_call_seconds", attrgetter("call"), True),
    ("headrace_run_seconds", attrgetter("run"), True),
    ("headrace_first_seconds", attrgetter("first"), False),
    ("headrace_gateway_overhead_seconds", attrgetter("own"), False),
)


def _quantiles(histogram: Histogram) -> dict[str, float]:
    return {f"p{q}": round(histogram.quantile(q / 100) * 1000, 3) for q in (50, 90, 99)}


def _expose(name: str, key: tuple[str, str], histogram: Histogram) -> Iterator[str]:
    labels = {"endpoint": key[0], "variant": key[1]}
    below = 0
    for bound, count in zip((*BOUNDS, float("inf")), histogram.counts, strict=True):
        below += count
        yield f"{name}_bucket{_labels({**labels, 'le': '+Inf' if bound == float('inf') else f'{bound:g}'})} {below}"
    yield f"{name}_sum{_labels(labels)} {_number(histogram.total)}"
    yield f"{name}_count{_labels(labels)} {below}"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    escaped = ((k, v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for k, v in labels.items())
    return "{" + ",".join(f'{k}="{v}"' for k, v in escaped) + "}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
