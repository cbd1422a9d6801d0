"""What counts, for whom, and how often."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.release import evidence
from headrace.release.evidence import Accumulator, Closed, cuts_of, is_bad, is_empty
from headrace.types.call import Call, CallStatus, Feedback, MetricEvent, PlaneEvent
from headrace.types.release import Member, Tally
from headrace.types.score import Score
from headrace.types.strategy import MetricKind, MetricSpec
from headrace.types.traffic import Reason
from tests.unit.release.made import PLAN, START, call, feedback, release


def accumulator(**changes: Any) -> Accumulator:
    given: dict[str, Any] = {"counted": {}, "cuts": {"slow_p99": 10.0}, "find": lambda trace_id: None}
    item = release(**{name: changes.pop(name) for name in ("plan", "others") if name in changes})
    return Accumulator(item, **(given | changes))


def close(counts: Accumulator, step: int = 0) -> Closed:
    return counts.close(start=START, end=START + 1, step=step)


def test_a_unit_counts_once_in_an_interval() -> None:
    counts = accumulator()
    counts.observe([call("ann"), call("ann"), call("bob", candidate=True), call("bob", candidate=True)])
    closed = close(counts)
    assert closed.interval.release["errors"] == Tally(baseline_units=1, candidate_units=1)
    assert closed.interval.candidate_units == 1
    assert closed.fresh == {"step-0/called-baseline": {"ann"}, "step-0/called-candidate": {"bob"}}
    assert closed.interval.called == (1, 1)


def test_an_event_counts_once_in_the_release_and_once_in_each_step() -> None:
    counts = accumulator()
    failed = [call("bob", candidate=True, status=CallStatus.FAILED), call("ann", status=CallStatus.TIMEOUT)]
    counts.observe(failed)
    first = close(counts)
    hit = Tally(baseline_units=1, candidate_units=1, baseline_events=1, candidate_events=1)
    assert first.interval.release["errors"] == first.interval.step_wise["errors"] == hit
    assert first.fresh["release/errors"] == first.fresh["step-0/errors"] == {"ann", "bob"}
    counts.observe(failed)
    again = close(counts)
    assert again.interval.release["errors"] == again.interval.step_wise["errors"] == Tally(), "not at risk any more"
    assert again.fresh == {}
    counts.observe(failed)
    next_step = close(counts, step=1)
    assert next_step.interval.release["errors"] == Tally()
    assert next_step.interval.step_wise["errors"] == hit


def test_what_was_counted_before_a_restart_stays_counted() -> None:
    counts = accumulator(counted={"release/errors": {"bob"}, "step-0/called-candidate": {"bob", "eve"}})
    counts.observe([call("bob", candidate=True, status=CallStatus.FAILED)])
    closed = close(counts)
    assert closed.interval.release["errors"] == Tally()
    assert closed.interval.step_wise["errors"] == Tally(candidate_units=1, candidate_events=1)
    assert closed.interval.candidate_units == 2


@pytest.mark.parametrize(
    "other",
    [
        call("x", endpoint="other"),
        call("x", variant="v9"),
        call("x", counted=False),
        call("x", status=CallStatus.REJECTED),
        call("x", status=CallStatus.SHED),
    ],
    ids=["endpoint", "variant", "not counted", "caller's fault", "full queue"],
)
def test_what_is_no_evidence(other: Call) -> None:
    counts = accumulator()
    counts.observe([other])
    closed = close(counts)
    assert is_empty(closed.interval)
    assert closed.fresh == {}


def test_a_unit_belongs_to_the_arm_it_was_first_seen_in() -> None:
    counts = accumulator()
    counts.observe([call("ann"), call("ann", candidate=True, status=CallStatus.FAILED)])
    assert close(counts).interval.release["errors"] == Tally(baseline_units=1)


def test_failures_in_a_row_are_the_candidates() -> None:
    counts = accumulator()
    bad = call("x", candidate=True, status=CallStatus.FAILED)
    counts.observe([bad, call("y", status=CallStatus.OK), bad])
    assert close(counts).interval.failures_in_row == 2
    counts.observe([bad])
    assert close(counts).interval.failures_in_row == 3
    counts.observe([call("z", candidate=True)])
    assert close(counts).interval.failures_in_row == 0


def test_slow_is_over_the_cut_and_only_for_answers() -> None:
    counts = accumulator()
    counts.observe([call("a", latency_ms=10.0), call("b", candidate=True, latency_ms=10.1)])
    counts.observe([call("c", latency_ms=99.0, status=CallStatus.FAILED)])
    seen = close(counts).interval.release
    assert seen["slow_p99"] == Tally(baseline_units=1, candidate_units=1, candidate_events=1)
    assert seen["slow_p90"] == Tally(), "its cut is not known yet"


def test_the_first_baseline_calls_fix_missing_cuts() -> None:
    counts = accumulator(cuts={})
    counts.observe([call("c", candidate=True, latency_ms=999.0)] * 300)
    assert close(counts).interval.cuts == {}
    counts.observe([call(f"u{n}", latency_ms=float(n)) for n in range(evidence.CUT_CALLS)])
    cuts = close(counts).interval.cuts
    assert cuts == {"slow_p99": 198 * 1.25, "slow_p90": 180 * 1.25, "slow_p50": 100 * 1.25}
    counts.observe([call("z", latency_ms=5000.0)] * 300)
    assert close(counts).interval.cuts == cuts


def test_cuts_have_a_slack_of_some_milliseconds() -> None:
    assert cuts_of(PLAN.metrics, [1.0] * 199) == {}
    assert cuts_of(PLAN.metrics, [1.0] * 200)["slow_p99"] == 6.0


def test_the_unhappy_count_among_all_who_called() -> None:
    counts = accumulator()
    calls = [call("a"), call("b", candidate=True), call("c", candidate=True), call("d")]
    counts.observe([*calls, feedback(calls[0], "user_rating", True), feedback(calls[1], "user_rating", False)])
    (cohort,) = close(counts).interval.late
    tally = Tally(baseline_units=2, candidate_units=2, candidate_events=1)
    assert (cohort.step, cohort.release, cohort.step_wise) == (0, tally, tally)
    counts.observe([feedback(calls[1], "corrected_output", 3), feedback(calls[3], "user_rating", False)])
    (cohort,) = close(counts).interval.late
    assert cohort.release == Tally(baseline_units=2, candidate_units=1, baseline_events=1), "b was counted"


def test_late_feedback_belongs_to_the_step_of_its_call() -> None:
    counts = accumulator()
    early = [call("a"), call("b", candidate=True)]
    counts.observe(early)
    close(counts)
    counts.next_step(START + 10)
    counts.observe([call("c", candidate=True, at=11.0), feedback(early[1], "user_rating", False)])
    closed = close(counts, step=1)
    (cohort,) = closed.interval.late
    assert (cohort.step, cohort.release) == (0, Tally(baseline_units=1, candidate_units=1, candidate_events=1))
    assert closed.fresh["step-0/unhappy"] == {"b"}
    assert closed.interval.called == (1, 2)


def test_one_who_moved_to_the_candidate_is_not_unhappy_with_it_for_an_old_answer() -> None:
    counts = accumulator()
    old = call("a")
    counts.observe([call("a", candidate=True), old, feedback(old, "user_rating", False)])
    (cohort,) = close(counts).interval.late
    assert cohort.release == Tally(candidate_units=1)


def test_feedback_on_an_earlier_call_is_looked_up() -> None:
    earlier = call("a", candidate=True)
    counts = accumulator(
        find=lambda trace_id: earlier if trace_id == earlier.trace_id else None,
        counted={"step-0/called-candidate": {"a"}, "step-0/called-baseline": {"x", "y"}},
    )
    counts.observe([feedback(earlier, "corrected_output", 3), feedback(call("b"), "user_rating", False)])
    (cohort,) = close(counts).interval.late
    assert cohort.release == Tally(baseline_units=2, candidate_units=1, candidate_events=1)


@pytest.mark.parametrize("changes", [{"endpoint": "other"}, {"counted": False}, {"variant": "v9"}])
def test_feedback_on_a_call_that_is_no_evidence(changes: dict[str, Any]) -> None:
    earlier = call("a", **changes)
    counts = accumulator(find=lambda trace_id: earlier)
    counts.observe([feedback(earlier, "user_rating", False)])
    assert is_empty(close(counts).interval)


def test_feedback_on_a_call_before_the_release_is_not_looked_up() -> None:
    def find(trace_id: str) -> Call | None:
        raise AssertionError(trace_id)

    counts = accumulator(find=find)
    counts.observe([feedback(call("a", at=-5.0), "user_rating", False)])
    assert is_empty(close(counts).interval)


def test_only_so_many_calls_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "REMEMBERED", 1)
    counts = accumulator()
    first, second = call("a"), call("b")
    counts.observe([first, second, feedback(first, "user_rating", False), feedback(second, "user_rating", False)])
    (cohort,) = close(counts).interval.late
    assert cohort.release == Tally(baseline_units=2, baseline_events=1)


def test_a_data_plane_that_cannot_run_the_candidate() -> None:
    counts = accumulator()

    def refusal(variant: str) -> PlaneEvent:
        return PlaneEvent(
            time=START, plane="data", name="plan.refused", endpoint="digits", variant=variant, detail="bad file"
        )

    counts.observe([refusal("v1"), PlaneEvent(time=START, plane="data", name="plan.live")])
    assert close(counts).interval.refused == ""
    counts.observe([refusal("v2")])
    assert close(counts).interval.refused == "bad file"


@pytest.mark.parametrize(
    ("name", "value", "output", "bad"),
    [
        ("user_rating", True, [7], False),
        ("user_rating", False, [7], True),
        ("corrected_output", 7, [7], False),
        ("corrected_output", "7", [7], False),
        ("corrected_output", [7], [7], False),
        ("corrected_output", 3, [7], True),
        ("corrected_output", [3, 7], [7, 7], True),
        ("comment", "nice", [7], None),
    ],
)
def test_what_is_bad_feedback(name: str, value: Any, output: Any, bad: bool | None) -> None:
    given = Feedback(id="f", trace_id="t", name=name, value=value, rater="r", time=1.0)
    assert is_bad(given, output) is bad


# --- what the application posts, and the first seconds


def test_a_posted_metric_counts_for_who_called_in_the_last_step_that_saw_them() -> None:
    spec = MetricSpec(name="bought", kind=MetricKind.RATE, event="purchase")
    counts = accumulator(plan=replace(PLAN, metrics=(*PLAN.metrics, spec)))
    counts.observe([call("a"), call("b", candidate=True)])
    counts.close(start=START, end=START + 1, step=0)
    posted = MetricEvent(id="m1", name="purchase", value=1.0, unit="b", time=START + 2)
    counts.observe([posted, replace(posted, id="m2"), replace(posted, id="m3", unit="stranger")])
    counts.observe([replace(posted, unit="a", value=0.0), replace(posted, unit="a", endpoint="other")])
    counts.observe([replace(posted, unit="a", name="other")])
    (cohort,) = counts.close(start=START + 1, end=START + 2, step=0).interval.late
    assert (cohort.about, cohort.step) == ("purchase", 0)
    assert cohort.release == Tally(baseline_units=1, candidate_units=1, candidate_events=1)


def test_in_the_cold_nobody_is_slow() -> None:
    counts = accumulator(plan=replace(PLAN, cold_seconds=5.0))
    counts.observe(
        [call("a", candidate=True, at=4.9, latency_ms=99.0), call("b", candidate=True, at=5.1, latency_ms=99.0)]
    )
    seen = close(counts).interval.release["slow_p99"]
    assert (seen.candidate_units, seen.candidate_events) == (2, 1)


def test_a_tester_whose_calls_fail_is_no_sample_but_breaks_the_guard() -> None:
    counts = accumulator()
    failed = {"candidate": True, "status": CallStatus.FAILED, "counted": False}
    counts.observe([call("t", reason=Reason.RULE, **failed), call("t", reason=Reason.FORCED, **failed)])
    closed = close(counts).interval
    assert (closed.failures_in_row, closed.candidate_units) == (1, 0)


def test_the_copies_of_a_shadow_are_nobodys_calls() -> None:
    counts = accumulator()
    counts.observe([call("a", candidate=True, shadow_of="tr-1", status=CallStatus.FAILED)])
    assert close(counts).interval.failures_in_row == 0


def test_endpoints_that_move_together_share_their_evidence() -> None:
    other = Member(endpoint="rank", baseline="v7", candidate="v8", candidate_uri="models:/rank/8")
    counts = accumulator(others=(other,))
    counts.observe([call("a"), replace(call("b"), endpoint="rank", variant="v8", status=CallStatus.FAILED)])
    seen = close(counts).interval.release["errors"]
    assert seen == Tally(baseline_units=1, candidate_units=1, candidate_events=1)


def test_a_unit_brings_one_value() -> None:
    spec = MetricSpec(name="judge", kind=MetricKind.VALUE, event="score")
    counts = accumulator(plan=replace(PLAN, metrics=(*PLAN.metrics, spec)))
    first, second = call("a", candidate=True), call("b")
    counts.observe([first, second])
    about = MetricEvent(id="m1", name="score", value=0.5, trace_id=first.trace_id, time=START + 2)
    counts.observe([about, replace(about, value=0.9), replace(about, trace_id="", unit="b", value=0.1)])
    (found,) = close(counts).interval.scores
    assert found.scores == (Score(candidate=True, value=0.5), Score(candidate=False, value=0.1))
    counts.observe([replace(about, value=0.7)])
    (again,) = close(counts).interval.scores
    assert again.scores == again.again == ()


def test_a_unit_brings_one_more_value_in_the_next_step() -> None:
    spec = MetricSpec(name="judge", kind=MetricKind.VALUE, event="score")
    counts = accumulator(plan=replace(PLAN, metrics=(*PLAN.metrics, spec)))
    first = call("a")
    about = MetricEvent(id="m1", name="score", value=0.5, trace_id=first.trace_id, time=START + 2)
    counts.observe([first, about])
    close(counts)
    counts.next_step(START + 20)
    later = call("a", candidate=True, at=21)
    counts.observe([later, replace(about, trace_id=later.trace_id, value=0.9)])
    (found,) = close(counts, step=1).interval.scores
    assert (found.step, found.scores, found.again) == (1, (), (Score(candidate=True, value=0.9),))
    counts.observe([replace(about, trace_id=later.trace_id, value=0.2)])
    (again,) = close(counts, step=1).interval.scores
    assert again.scores == again.again == ()
