"""The pure halves of the parts: numbers, values, charts, figures, evidence, snippets."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from console_samples import NOW, endpoint, release, visit
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.base.settings import Settings
from headrace.console import snippets
from headrace.console.pages.acting import changes_of
from headrace.console.pages.settings import rows as setting_rows
from headrace.console.pages.traces import Filters
from headrace.console.parts import numbers
from headrace.console.parts.chart import Axis, Line, Marker, as_csv, legible, options
from headrace.console.parts.evidence import evidence_lines, metric_views, thin, thresholds
from headrace.console.parts.figures import SPAN, lines_of, markers_of, role_of, spans_of, traffic_of
from headrace.console.parts.gates import gate_row
from headrace.console.parts.values import answer_of, pixels_of, rows_of
from headrace.monitor.live import LiveStats, Series
from headrace.store.releases import StoredInterval
from headrace.types.call import Call, CallStatus
from headrace.types.gate import GateResult, Outcome
from headrace.types.release import Event, Interval, Judgement, MetricEvidence, Phase, Verdict
from headrace.types.traffic import Reason

# --- numbers


@pytest.mark.parametrize(
    ("shown", "meant"),
    [
        (numbers.count(1234), "1,234"),
        (numbers.count(240_000), "240 k"),
        (numbers.count(2.5e6), "2.5 M"),
        (numbers.rate(21.44), "21.4"),
        (numbers.rate(2144), "2,144"),
        (numbers.share(100), "1 %"),
        (numbers.share(50), "0.5 %"),
        (numbers.percent(0, 0), "–"),
        (numbers.percent(1, 400), "0.25 %"),
        (numbers.percent(1, 3), "33 %"),
        (numbers.milliseconds(18.42), "18.4 ms"),
        (numbers.milliseconds(0.53), "0.53 ms"),
        (numbers.milliseconds(1240), "1.24 s"),
        (numbers.milliseconds(None), "–"),
        (numbers.milliseconds(math.nan), "–"),
        (numbers.duration(41), "41 s"),
        (numbers.duration(130), "2 min 10 s"),
        (numbers.duration(3600), "1 h"),
        (numbers.duration(-5), "0 s"),
        (numbers.change(106, 100), "▲ 6 %"),
        (numbers.change(94, 100), "▼ 6 %"),
        (numbers.change(100.5, 100), ""),
        (numbers.change(5, 0), ""),
        (numbers.evidence(0.0), "1.00"),
        (numbers.evidence(math.log(13)), "13"),
        (numbers.evidence(math.log(2500)), "2.5 k"),
        (numbers.evidence(math.log(3e12)), "3·10^12"),
        (numbers.scalar(True), "true"),
        (numbers.scalar(3.0), "3"),
        (numbers.scalar(0.123456), "0.1235"),
        (numbers.scalar(None), "–"),
    ],
)
def test_numbers_as_people_read_them(shown: str, meant: str) -> None:
    assert shown == meant


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_holds_the_rate(events: int, more: int) -> None:
    units = events + more
    low, high = numbers.wilson(events, units)
    assert 0 <= low <= events / units + 1e-9
    assert events / units <= high + 1e-9 <= 1 + 1e-8


# --- values

URL = "http://127.0.0.1:8123"
PICTURE = [float(n % 16) for n in range(64)]


def test_rows_of_every_form_in_which_inputs_come() -> None:
    assert rows_of([PICTURE, PICTURE]) == [PICTURE, PICTURE]
    assert rows_of({"image": [PICTURE]}) == [PICTURE]
    assert rows_of({"a": [1, 2], "b": ["x", "y"]}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert rows_of([{"a": 1}]) == [{"a": 1}]
    assert rows_of([1, 2, 3]) == [[1, 2, 3]]
    assert rows_of("hello") == ["hello"]
    assert rows_of([]) == []


def test_a_square_of_numbers_is_a_picture() -> None:
    found = pixels_of(PICTURE)
    assert found is not None
    assert found[1] == 8
    assert (min(found[0]), max(found[0])) == (0.0, 1.0)
    assert pixels_of([[1.0, 2.0, 3.0, 4.0]] * 4) is not None
    assert pixels_of([1.0] * 64) is None  # nothing to see
    assert pixels_of(PICTURE[:63]) is None
    assert pixels_of({"a": 1}) is None


@pytest.mark.parametrize(
    ("output", "label", "scores", "rows"),
    [
        ({"label": [7], "probabilities": [[0.1, 0.9]]}, "7", 2, 1),
        ({"label": [7, 3]}, "7", 0, 2),
        ([{"label": "stays", "probability": 0.9}], "stays", 0, 1),
        ([4], "4", 0, 1),
        ([4, 5], "4", 0, 2),
        ([[0.1, 0.7, 0.2]], "1", 3, 1),
        ("text", "text", 0, 1),
        (3, "3", 0, 1),
    ],
)
def test_the_answer_is_found_in_every_form(output: object, label: str, scores: int, rows: int) -> None:
    answer = answer_of(output)
    assert answer is not None
    assert (answer.label, len(answer.scores), answer.rows) == (label, scores, rows)


def test_no_output_has_no_answer() -> None:
    assert answer_of(None) is None
    assert answer_of([]) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_can_be_shown(value: object) -> None:
    """A model may answer anything; a page must not break on it."""
    answer_of(value)
    for row in rows_of(value):
        pixels_of(row)


# --- charts


def line(**changes: object) -> Line:
    values = {"name": "v1", "token": "baseline", "points": [(NOW, 1.0), (NOW + 1, None), (NOW + 2, 3.0)]}
    return Line(**values | changes)  # type: ignore[arg-type]


def test_a_chart_has_its_lines_markers_and_threshold() -> None:
    made = options([line()], [Marker(time=NOW, label="5 %")], Axis(unit="ms", thresholds=((20.0, "roll back"),)))
    marks, series = made["series"]
    assert [mark["label"]["formatter"] for mark in marks["markLine"]["data"]] == ["5 %", "roll back"]
    assert marks["markLine"]["data"][1]["yAxis"] == 20.0
    assert series["data"] == [[NOW * 1000, 1.0], [(NOW + 1) * 1000, None], [(NOW + 2) * 1000, 3.0]]
    assert series["lineStyle"][":color"] == 'token("baseline")'
    assert made["yAxis"]["type"] == "value"
    json.dumps(made)


def test_a_log_axis_shows_its_threshold_and_no_zero() -> None:
    made = options([line(points=[(NOW, 0.0), (NOW + 1, 3.0)])], [], Axis(log=True, thresholds=((60.0, "roll back"),)))
    assert made["yAxis"]["max"] > 60
    assert made["yAxis"]["min"] <= 0.1
    assert all(value > 0 for _, value in made["series"][1]["data"])


def test_a_chart_is_also_a_table() -> None:
    text = as_csv([line(), line(name="v2", points=[(NOW + 1, 2.0)])])
    rows = text.splitlines()
    assert rows[0] == "time,v1,v2"
    assert rows[1] == "2023-11-14T22:13:20+00:00,1,"
    assert rows[2].endswith(",,2")


# --- live figures


def series(seconds: int) -> Series:
    times = tuple(NOW + n for n in range(seconds))
    return Series(
        time=times,
        calls=tuple(2 if n % 5 else 0 for n in range(seconds)),
        errors=(0,) * (seconds - 1) + (1,),
        p50_ms=tuple(1.0 if n % 5 else None for n in range(seconds)),
        p99_ms=tuple(float(n % 5) if n % 5 else None for n in range(seconds)),
    )


def test_seconds_are_gathered_into_spans_that_stand_still() -> None:
    spans = spans_of(series(12))
    assert [span.time for span in spans] == [NOW + SPAN, NOW + 2 * SPAN]  # the last two seconds are not a whole span
    assert spans[0].calls == 8
    assert spans[0].p50_ms == 1.0
    assert spans[0].p99_ms == 4.0  # the worst second


def test_a_span_without_answers_has_no_latency() -> None:
    quiet = Series(time=tuple(NOW + n for n in range(5)), calls=(0,) * 5, errors=(0,) * 5, p50_ms=(None,) * 5,
                   p99_ms=(None,) * 5)  # fmt: skip
    assert spans_of(quiet)[0].p99_ms is None


def test_figures_of_the_real_live_stats() -> None:
    clock = ManualClock(NOW)
    live = LiveStats(clock)
    live.feed(
        _call(NOW - n, "v1" if n % 2 else "v2", CallStatus.FAILED if n == 7 else CallStatus.OK) for n in range(20)
    )
    services = SimpleNamespace(live=live, clock=clock)
    traffic = traffic_of(services, "digits")  # type: ignore[arg-type]
    assert (traffic.calls, traffic.errors) == (20, 1)
    assert set(traffic.variants) == {"v1", "v2"}
    assert traffic.variants["v1"].errors == 1
    lines = lines_of(services, "digits", endpoint(share=500).policy, releases=[], seconds=60)  # type: ignore[arg-type]
    assert {(found.name, found.token) for found in lines.rate} == {("v1", "baseline"), ("v2", "candidate")}
    assert len(lines.latency) == 4


def _call(at: float, variant: str, status: CallStatus) -> Call:
    return Call(
        trace_id=f"tr-{at}", time=at, endpoint="digits", variant=variant, version=1, unit="u", sticky=True,
        counted=True, reason=Reason.BUCKET, status=status, latency_ms=3.0,
    )  # fmt: skip


def test_markers_are_the_steps_and_ends_within_the_window() -> None:
    history = (
        Event(time=NOW - 900, name="started", detail="", actor="ada", share=100),
        Event(time=NOW - 60, name="step", detail="", actor="system", share=500),
        Event(time=NOW - 10, name="rolled_back", detail="", actor="system"),
    )
    found = markers_of([release(Phase.ROLLED_BACK, history=history)], NOW - 300)
    assert [(m.label, m.token) for m in found] == [("5 %", "candidate"), ("v2 ✕", "bad")]
    named = markers_of([release(history=history)], NOW - 300, named=True)
    assert named[0].label == "digits 5 %"


def test_labels_that_would_cover_each_other_leave_the_last() -> None:
    close = [Marker(time=NOW + at, label=str(at)) for at in (0, 3, 6, 60, 63)]
    assert [m.label for m in legible(close, 10)] == ["", "", "6", "", "63"]
    assert [m.time for m in legible(close, 10)] == [m.time for m in close]


def test_a_variant_keeps_the_colour_of_its_last_role_on_charts() -> None:
    policy = endpoint(share=0).policy
    ended = release(Phase.ROLLED_BACK, candidate="v3")
    assert role_of(policy, "v1", [ended]) == "baseline"
    assert role_of(policy, "v3", [ended]) == "candidate"
    assert role_of(policy, "v3") == role_of(policy, "v0", [ended]) == "none"


# --- evidence


def looks(values: list[float]) -> list[StoredInterval]:
    return [
        StoredInterval(
            interval=Interval(start=NOW + n, end=NOW + n + 1, step=0, candidate_units=n, failures_in_row=0, release={},
                              step_wise={}, cuts={}, called=(0, 0)),
            evalues={"errors": value},
            judgement=Judgement(verdict=Verdict.HOLD, reason=""),
        )
        for n, value in enumerate(values)
    ]  # fmt: skip


def test_metrics_of_one_weight_share_a_line() -> None:
    drawn = thresholds(visit(), release())
    assert [(round(value), label) for value, label in drawn] == [
        (50, "roll back ≥ 50 · errors, feedback"),
        (100, "roll back ≥ 100 · slow p99"),
    ]


def test_a_metric_past_its_line_turns_bad() -> None:
    calm = evidence_lines(visit(), release(), looks([0.0, math.log(49)]))
    harmed = evidence_lines(visit(), release(), looks([0.0, math.log(51)]))
    assert [line.token for line in calm] == ["unknown"] * 4
    assert [line.token for line in harmed] == ["bad", "unknown", "unknown", "unknown"]


def test_an_evalue_beyond_all_bounds_can_be_drawn() -> None:
    (found, *_) = evidence_lines(visit(), release(), looks([5000.0, -5000.0]))
    assert all(value is not None and math.isfinite(value) for _, value in found.points)


def test_views_have_the_counts_and_the_line() -> None:
    seen = MetricEvidence(baseline_units=100, candidate_units=20, baseline_events=1, candidate_events=3)
    views = metric_views(visit(), release(evidence={"errors": seen}), looks([1.5]))
    assert (views[0].candidate_events, views[0].candidate_units, views[0].log_evalue) == (3, 20, 1.5)
    assert math.exp(views[0].log_line) == pytest.approx(50)
    assert views[3].log_line == math.inf
    assert views[2].title == "Slower than the baseline's p99"


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e6)), max_size=300), st.integers(2, 50))
def test_thinning_keeps_the_highest_and_the_last(points: list[tuple[float, float]], most: int) -> None:
    kept = thin(points, most)
    assert len(kept) <= most
    if points:
        assert kept[-1] == points[-1]
        size = math.ceil(len(points) / most)
        before = points[: (len(points) - 1) // size * size] if len(points) > most else points
        assert max((v for _, v in before), default=0.0) <= max(v for _, v in kept)


# --- actions, addresses, snippets, settings


@pytest.mark.parametrize(
    ("action", "candidate"), [("pause", "5 %"), ("resume", "5 %"), ("promote", "100 %"), ("abort", "0 %")]
)
def test_an_action_says_what_it_will_change(action: str, candidate: str) -> None:
    changes = changes_of(visit(), release(), 500, action)
    by_what = {change.what: (change.was, change.will) for change in changes}
    assert by_what["Traffic of v2"] == ("5 %", candidate)
    assert ("Stage of v1" in by_what) == (action == "promote")


def test_filters_and_their_address() -> None:
    assert Filters().address() == "/traces"
    assert not Filters().any
    assert Filters(variant="v2", find="a b").address("tr-1") == "/traces?variant=v2&find=a+b&trace=tr-1"


@pytest.mark.parametrize(
    ("inputs", "first"),
    [
        ([[1, 2], [3, 4]], [[1, 2]]),
        ({"a": [1, 2], "b": [3, 4]}, {"a": [1], "b": [3]}),
        ([{"a": 1}, {"a": 2}], [{"a": 1}]),
    ],
)
def test_one_row_keeps_the_form(inputs: object, first: object) -> None:
    assert snippets.one_row(inputs) == first
    assert snippets.one_row("text") == "text"


def test_the_curl_line_is_what_a_shell_understands() -> None:
    line = snippets.as_curl(URL, Settings(), endpoint="digits", inputs=[{"name": "O'Hara"}], user="ada's")
    words = shlex.split(line.replace("\\\n", ""))
    assert words[:2] == ["curl", f"{URL}/predict"]
    assert "x-user-id: ada's" in words
    assert json.loads(words[-1]) == {"model": "digits", "inputs": [{"name": "O'Hara"}]}


@pytest.mark.parametrize("make", [snippets.as_curl, snippets.as_python])
def test_a_snippet_asks_for_a_key_only_where_one_is_needed_and_never_tells_it(make: Callable[..., str]) -> None:
    call = {"endpoint": "digits", "inputs": [[1.5, None]], "user": "ada"}
    assert "KEY" not in make(URL, Settings(), **call)
    locked = make(URL, Settings(api_keys="secret-1"), **call)
    assert "YOUR-KEY" in locked
    assert "secret-1" not in locked


def test_the_program_compiles() -> None:
    program = snippets.as_python(URL, Settings(), endpoint="digits", inputs=[[1.5, None]], user="ada")
    compile(program, "snippet", "exec")
    assert f'Headrace("{URL}")' in program


def test_settings_never_show_a_secret() -> None:
    settings = replace(Settings(), api_keys="secret-1", database_url="postgresql://u:secret-2@db/h")
    shown = json.dumps(setting_rows(visit(), settings))
    assert "secret-" not in shown
    assert '"set"' in shown


def test_a_gate_is_a_row_that_shows_what_failed() -> None:
    failed = GateResult(
        name="shapes", outcome=Outcome.FAILED, detail="row 3 is not answered", row="[1,2]", endpoint="a"
    )
    row = gate_row(visit(), failed, several=True)
    assert (row["gate"]["text"], row["gate"]["sub"]) == ("shapes", "a")
    assert (row["outcome"]["text"], row["detail"]["sub"]) == ("failed", "[1,2]")
    assert "bad" in row["outcome"]["classes"]
    assert "sub" not in gate_row(visit(), failed, several=False)["gate"]
