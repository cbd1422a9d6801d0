"""Evidence in, verdict out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from headrace.release import words
from headrace.release.advance import advance, blind, share_of
from headrace.release.plans import default_plan, plan_from
from headrace.types.errors import BadInput
from headrace.types.release import Cohort, Interval, Phase, Release, Tally, Verdict
from headrace.types.traffic import BUCKETS
from tests.unit.release.made import PLAN, START, interval, release

CLEAN = {"errors": Tally(baseline_units=400, candidate_units=400)}
FEW = {"errors": Tally(baseline_units=400, candidate_units=30)}
HARMFUL: dict[str, Any] = {
    "tallies": FEW,
    "unhappy": Tally(baseline_units=400, candidate_units=30, baseline_events=9, candidate_events=14),
}


def judge(item: Release, seen: Interval) -> tuple[Verdict, Release]:
    decision = advance(item, seen, seen.end)
    assert decision.release.judgement == decision.judgement
    return decision.judgement.verdict, decision.release


# --- the order of precedence


def test_a_young_step_holds() -> None:
    verdict, after = judge(release(), interval(4, units=2))
    assert verdict is Verdict.HOLD
    assert after.judgement is not None
    assert after.judgement.reason == "at 1 %: 2 users so far, 5 needed and 6 s of at least 10 s left"


def test_a_step_without_harm_advances() -> None:
    decision = advance(release(), interval(11), START + 11)
    assert decision.judgement.verdict is Verdict.ADVANCE
    assert (decision.share, decision.release.step, decision.release.step_started) == (1000, 1, START + 11)
    assert decision.release.history[-1].name == "step"
    assert "1 % → 10 %" in decision.release.history[-1].detail


def test_harm_rolls_back_and_says_why_with_numbers() -> None:
    decision = advance(release(), interval(2, **HARMFUL), START + 2)
    assert decision.judgement.verdict is Verdict.ROLL_BACK
    assert (decision.release.phase, decision.share, decision.release.ended) == (Phase.ROLLED_BACK, 0, START + 2)
    assert decision.judgement.metric == "feedback"
    assert decision.judgement.reason.startswith(
        "14 of 30 users were unhappy with v2, 9 of 400 with v1; the e-value against v2 is "
    )
    assert decision.judgement.reason.endswith("60 is enough to roll back")


def test_harm_rolls_back_also_while_paused() -> None:
    paused = release(phase=Phase.PAUSED, paused_reason="lunch")
    assert judge(paused, interval(50, **HARMFUL))[0] is Verdict.ROLL_BACK
    verdict, after = judge(paused, interval(50, tallies=CLEAN))
    assert (verdict, after.phase) == (Verdict.HOLD, Phase.PAUSED)
    assert after.judgement is not None
    assert after.judgement.reason == "paused: lunch"


def test_guards_outside_statistics() -> None:
    for seen in (interval(1, refused="bad file"), interval(1, failures_in_row=5)):
        verdict, after = judge(release(), seen)
        assert (verdict, after.phase) == (Verdict.ROLL_BACK, Phase.ROLLED_BACK)
    assert judge(release(), interval(1, failures_in_row=4))[0] is Verdict.HOLD


def test_an_advisory_metric_never_rolls_back() -> None:
    slow = {"slow_p50": Tally(baseline_units=400, candidate_units=400, candidate_events=390)}
    assert judge(release(), interval(2, tallies=slow))[0] is Verdict.HOLD


# --- the last step


def last(**changes: object) -> Release:
    return release(step=1, step_started=START, **changes)


def test_full_traffic_needs_proof() -> None:
    decision = advance(last(), interval(11, step=1, tallies=CLEAN), START + 11)
    assert decision.judgement.verdict is Verdict.HOLD
    assert "users so far, about" in decision.judgement.reason
    proof = {"errors": Tally(baseline_units=2000, candidate_units=2000)}
    promoted = advance(last(), interval(11, step=1, tallies=proof), START + 11)
    assert (promoted.release.phase, promoted.share) == (Phase.PROMOTED, BUCKETS)
    assert "0 of 2,000 users had a failed call with v2" in promoted.judgement.reason


def test_feedback_must_be_proven_when_anyone_was_unhappy() -> None:
    seen: dict[str, Any] = {"step": 1, "tallies": {"errors": Tally(baseline_units=2000, candidate_units=2000)}}
    few = Tally(baseline_units=2000, candidate_units=2000, baseline_events=2, candidate_events=2)
    verdict, after = judge(last(), interval(11, unhappy=few, **seen))
    assert verdict is Verdict.HOLD
    assert after.judgement is not None
    assert "2 of 2,000 users were unhappy with v2" in after.judgement.reason
    better = Tally(baseline_units=2000, candidate_units=2000, baseline_events=99)
    assert judge(last(), interval(11, unhappy=better, **seen))[0] is Verdict.ADVANCE


def test_late_feedback_counts_in_the_step_of_its_call() -> None:
    unhappy = Tally(baseline_units=400, candidate_units=30, candidate_events=3)
    seen = replace(interval(1, step=1), late=(Cohort(step=0, release=unhappy, step_wise=unhappy),))
    evidence = (advance(last(), seen, seen.end).release.evidence or {})["feedback"]
    assert evidence.harm_steps[0] == evidence.harm != evidence.harm_steps[1]
    assert set(evidence.not_worse_step) == {0.0}
    assert evidence.candidate_events == 3


def test_when_the_time_is_up_a_person_is_asked() -> None:
    for item, seen in (
        (last(), interval(100, step=1, tallies={"errors": Tally(baseline_units=9, candidate_units=9)})),
        (release(), interval(100, units=1)),
    ):
        verdict, after = judge(item, seen)
        assert (verdict, after.phase) == (Verdict.INCONCLUSIVE, Phase.PAUSED)
        assert after.paused_reason.startswith("after 100 s at ")
        assert after.history[-1].name == "paused"


def test_a_new_step_forgets_what_only_the_old_step_had_shown() -> None:
    seen = interval(11, tallies=CLEAN)
    after = advance(release(), seen, seen.end).release
    evidence = (after.evidence or {})["errors"]
    assert set(evidence.tolerable) == set(evidence.not_worse_step) == {0.0}
    assert evidence.candidate_units == 400


# --- the rest


def test_not_to_see_is_not_to_fail() -> None:
    decision = blind(release(), "disk gone", START)
    assert decision.judgement.verdict is Verdict.ERROR
    assert decision.release.phase is Phase.PROGRESSING
    assert decision.share is None


@pytest.mark.parametrize(
    ("phase", "share"),
    [
        (Phase.PREPARING, 0),
        (Phase.PROGRESSING, 100),
        (Phase.PAUSED, 100),
        (Phase.PROMOTED, BUCKETS),
        (Phase.ABORTED, 0),
    ],
)
def test_the_share_follows_from_the_phase(phase: Phase, share: int) -> None:
    assert share_of(release(phase=phase)) == share


def test_the_same_inputs_give_the_same_verdict_after_a_round_trip_to_disk() -> None:
    """What is stored is enough: floats survive JSON bit for bit."""
    direct = stored = release()
    for number in range(1, 12):
        seen = interval(number, tallies={"errors": Tally(baseline_units=97, candidate_units=7, baseline_events=1)})
        direct = advance(direct, seen, seen.end).release
        stored = advance(
            msgspec.json.decode(msgspec.json.encode(stored), type=Release),
            msgspec.json.decode(msgspec.json.encode(seen), type=Interval),
            seen.end,
        ).release
    assert direct == stored


@pytest.mark.parametrize(
    ("log_e", "shown"), [(0.0, "1"), (-1.0, "0.368"), (5.3, "200"), (7.1, "1,212"), (50.0, "5.2·10^21")]
)
def test_e_values_are_written_for_people(log_e: float, shown: str) -> None:
    assert words.number(log_e) == shown


def test_too_few_users_are_not_projected() -> None:
    spec = PLAN.metrics[0]
    evidence = (release().evidence or {})["errors"]
    assert words.unproven(release(), spec, evidence).endswith("0 users so far, too few to say how many are needed")


def test_slow_is_told_with_its_cut() -> None:
    item = release()
    found = replace((item.evidence or {})["slow_p99"], cut_ms=18.44, candidate_events=3, candidate_units=9)
    spec = next(m for m in item.plan.metrics if m.name == "slow_p99")
    assert "3 of 9 users had a slow answer (over 18 ms, slow_p99) with v2" in words.harmed(item, spec, found)
    assert "(over 0 ms" in words.harmed(item, spec, replace(found, cut_ms=0.0))
    assert "(over 2.5 ms" in words.harmed(item, spec, replace(found, cut_ms=2.5))


# --- plans


def test_the_default_plan() -> None:
    assert [step.share for step in default_plan().steps] == [100, 500, 2500, 5000]
    assert plan_from(None) == default_plan()


def test_parts_of_a_plan_can_be_given() -> None:
    plan = plan_from({"shares": [0.5, 50], "min_units": 3, "alpha": 0.01, "max_failures_in_row": 2})
    assert [(s.share, s.min_units, s.min_seconds) for s in plan.steps] == [(50, 3, 60.0), (5000, 3, 60.0)]
    assert (plan.alpha, plan.max_failures_in_row) == (0.01, 2)
    only = plan_from({"metrics": [{"name": "errors", "kind": "errors"}]})
    assert [m.name for m in only.metrics] == ["errors"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"stps": 1}, "stps"),
        ({"shares": []}, "shares"),
        ({"shares": [5, 1]}, "shares"),
        ({"shares": [0, 5]}, "shares"),
        ({"shares": [100]}, "shares"),
        ({"shares": [5, 101]}, "shares"),
        ({"shares": "1,5"}, "shares"),
        ({"shares": [True]}, "shares"),
        ({"alpha": 2}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"min_units": "few"}, "min_units"),
        ({"metrics": [{"name": "x"}]}, "metrics[0]"),
        ({"metrics": [{"name": "x", "kind": "errors", "critical": False}]}, "metrics"),
        ({"metrics": [{"name": "x", "kind": "errors"}] * 2}, "metrics"),
    ],
)
def test_a_bad_plan_is_refused_by_name(given: dict[str, object], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        plan_from(given)
    assert caught.value.field == field
