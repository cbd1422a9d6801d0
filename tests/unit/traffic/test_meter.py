"""Counters, histograms, and that docs/metrics.md names every metric."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.traffic.meter import BOUNDS, METRICS, Histogram, Meter, prometheus, snapshot
from headrace.types.call import CallStatus

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
LINE = re.compile(r'^[a-z_]+(\{[a-z]+="(?:[^"\\]|\\.)*"(,[a-z]+="(?:[^"\\]|\\.)*")*\})? [0-9.e+-]+$')


@given(st.lists(st.floats(1e-6, 60), min_size=1, max_size=200), st.sampled_from((0.5, 0.9, 0.99)))
def test_a_quantile_is_at_most_one_bucket_off(values: list[float], q: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    true = sorted(values)[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]
    assert true <= histogram.quantile(q) or true > BOUNDS[-1]
    assert histogram.count == len(values)


def test_calls_are_told_by_endpoint_variant_and_status() -> None:
    meter = Meter()
    for status in (CallStatus.OK, CallStatus.OK, CallStatus.SHED):
        meter.call("toy", "v1", status, seconds=0.002, run_seconds=0.001 if status is CallStatus.OK else 0.0, rows=3)
    meter.count("headrace_feedback_total", "user_rating")
    (lane,) = snapshot(meter.figures())["endpoints"]  # type: ignore[misc]
    assert lane["calls"] == {"ok": 2, "shed": 1}
    assert lane["rows"] == 6
    assert lane["latency_ms"]["p50"] == 2.0
    text = prometheus(meter.figures())
    assert 'headrace_calls_total{endpoint="toy",variant="v1",status="ok"} 2' in text
    assert 'headrace_call_seconds_bucket{endpoint="toy",variant="v1",le="+Inf"} 3' in text
    assert 'headrace_feedback_total{name="user_rating"} 1' in text


def test_the_text_is_what_a_scraper_reads() -> None:
    meter = Meter()
    meter.call('odd "name"\\\n', "v1", CallStatus.OK, seconds=1e-4, run_seconds=1e-5, rows=1)
    meter.watch(lambda: [("headrace_plan_revision", {}, 1234567.0), ("process_cpu_seconds_total", {}, 0.25)])
    lines = prometheus(meter.figures()).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if not LINE.match(line)] == []
    assert "headrace_plan_revision 1234567" in samples
    counts = [int(line.rsplit(" ", 1)[1]) for line in samples if line.startswith("headrace_call_seconds_bucket")]
    assert counts == sorted(counts)
    assert len(counts) == len(BOUNDS) + 1


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_every_metric_is_documented(metric: object) -> None:
    rows = {
        line.split("|")[1].strip().strip("`"): line for line in DOCS.read_text().splitlines() if line.startswith("| `")
    }
    found = next(m for m in METRICS if m is metric)
    assert found.meaning in rows[found.name]
    assert f"| {found.kind} |" in rows[found.name]
    assert all(f"`{label}`" in rows[found.name] for label in found.labels)


def test_the_docs_name_nothing_else() -> None:
    named = re.findall(r"^\| `([a-z_]+)`", DOCS.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(metric.name for metric in METRICS)
