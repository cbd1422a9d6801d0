"""Each kind of step: what it waits for, and what follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.release.advance import advance, resumed
from headrace.release.plans import plan_from
from headrace.release.steps.registry import RULES
from headrace.release.strategies.registry import STRATEGIES
from headrace.types.errors import BadInput
from headrace.types.release import Cohort, Interval, Phase, Release, Scores, Tally
from headrace.types.score import Score
from headrace.types.strategy import Direction, MetricKind, MetricSpec, ReleasePlan, Role, Step, StepKind, Strategy
from headrace.types.traffic import BUCKETS
from tests.unit.release.made import START, interval, release

CLEAN = {"errors": Tally(baseline_units=2_000, candidate_units=2_000)}


def strategy(name: str, **overrides: Any) -> ReleasePlan:
    return plan_from({"strategy": name, "min_seconds": 10, "min_units": 5, "max_seconds": 100, **overrides})


def walk(item: Release, *looks: Interval) -> Release:
    for seen in looks:
        item = advance(item, replace(seen, step=item.step), seen.end).release
    return item


def test_every_kind_and_every_strategy_is_there() -> None:
    assert set(RULES) == set(StepKind)
    assert set(STRATEGIES) == set(Strategy)
    for name in Strategy:
        plan = plan_from({"strategy": name.value})
        assert plan.strategy is name
        assert plan.steps


def test_a_blue_green_release_switches_and_is_watched() -> None:
    ready = walk(release(strategy("blue-green")), interval(11, tallies={"errors": Tally(baseline_units=500)}))
    assert (ready.current.kind, ready.current.share) == (StepKind.SWITCH, BUCKETS)
    assert (ready.evidence or {})["errors"].limit == pytest.approx(0.01)
    watched = walk(ready, interval(12, units=3, tallies={"errors": Tally(candidate_units=90)}))
    assert watched.phase is Phase.PROGRESSING
    done = walk(watched, interval(22, units=90, tallies={"errors": Tally(candidate_units=90)}))
    assert done.phase is Phase.PROMOTED
    assert done.judgement is not None
    assert "against the rates that v1 had before" in done.judgement.reason


def test_a_switch_goes_back_when_the_rate_is_beyond_what_it_was() -> None:
    ready = walk(release(strategy("blue-green")), interval(11, tallies={"errors": Tally(baseline_units=500)}))
    bad = {"errors": Tally(candidate_units=90, candidate_events=9)}
    broken = walk(ready, *(interval(at, tallies=bad, called=(500, 90)) for at in (13, 15, 17, 19)))
    assert broken.phase is Phase.ROLLED_BACK
    assert broken.judgement is not None
    assert broken.judgement.reason.startswith("36 of 90 users had a failed call with v2, at most 1 % in each interval")


def test_an_outage_after_a_switch_is_one_piece_of_evidence() -> None:
    """Within one block: looked at often, or all at once, however many it hits."""
    ready = walk(release(strategy("blue-green")), interval(11, tallies={"errors": Tally(baseline_units=500)}))
    outage = {"errors": Tally(candidate_units=300, candidate_events=290)}
    once = walk(ready, interval(13, tallies=outage), interval(15, tallies={"errors": Tally(candidate_units=500)}))
    often = walk(ready, *(interval(11 + n / 100, tallies=outage) for n in range(100)), interval(14))
    assert once.phase is often.phase is Phase.PROGRESSING


def test_a_switch_without_a_past_knows_a_default() -> None:
    plan = plan_from({"steps": [{"kind": "preview"}, {"kind": "switch", "share": 100}], "proof": False})
    ready = walk(release(plan), interval(61))
    assert 0.05 < (ready.evidence or {})["errors"].limit < 0.07


def test_a_shadow_needs_proof_that_answers_are_the_same() -> None:
    item = release(strategy("shadow"))
    assert (item.current.kind, item.current.share, item.current.mirror) == (StepKind.SHADOW, 0, BUCKETS)
    few = walk(item, interval(11, units=40))
    assert few.judgement is not None
    assert few.judgement.reason == "in the shadow of 100 %: 40 answers compared so far, 100 needed"
    same = walk(few, interval(12, units=2_000, tallies={"flips": Tally(candidate_units=2_000, candidate_events=1)}))
    assert (same.current.kind, same.current.share) == (StepKind.SHARE, 100)
    other = walk(few, interval(12, units=300, tallies={"flips": Tally(candidate_units=300, candidate_events=30)}))
    assert other.phase is Phase.ROLLED_BACK
    assert other.judgement is not None
    assert "30 of 300 answers differ from what users got with v2, 1 % are tolerated" in other.judgement.reason


def test_a_shadow_that_cannot_prove_it_asks() -> None:
    item = release(strategy("shadow"))
    late = walk(item, interval(101, units=200, tallies={"flips": Tally(candidate_units=200, candidate_events=2)}))
    assert late.phase is Phase.PAUSED


def test_a_person_opens_each_step_of_a_manual_release() -> None:
    item = walk(release(strategy("manual", shares=[5, 50])), interval(11), interval(12))
    assert (item.current.kind, item.current.share, item.phase) == (StepKind.APPROVAL, 500, Phase.PAUSED)
    assert item.paused_reason == "a person has to approve: may v2 go on from 5 %?"
    still = walk(item, interval(13))
    assert still.phase is Phase.PAUSED
    further = walk(resumed(still, START + 14), interval(15))
    assert (further.current.kind, further.current.share, further.approved) == (StepKind.SHARE, 5_000, False)


def test_a_preview_waits_for_a_person_to_promote() -> None:
    item = walk(release(strategy("preview")), interval(1, units=0), interval(2, units=0))
    assert (item.phase, item.current.share) == (Phase.PAUSED, 0)
    assert walk(resumed(item, START + 3), interval(4)).phase is Phase.PROMOTED


def test_an_ab_test_ends_at_its_horizon_and_not_before() -> None:
    item = release(strategy("ab", shares=[50], min_units=400))
    early = walk(item, interval(11, tallies=CLEAN, exposed=(2_000, 399)))
    assert early.phase is Phase.PROGRESSING
    assert early.judgement is not None
    assert early.judgement.reason.startswith("in the A/B at 50 %: 2,000 and 399 users so far, 400 of each")
    there = walk(early, interval(12, exposed=(2_000, 400)))
    assert there.phase is Phase.PAUSED
    assert "the horizon is reached with 2,000 users of v1 and 400 of v2" in there.paused_reason


def test_an_ab_test_may_promote_what_is_proven() -> None:
    item = release(strategy("ab", shares=[50], min_units=400, at_end="promote"))
    assert walk(item, interval(11, tallies=CLEAN, exposed=(2_000, 2_000))).phase is Phase.PROMOTED
    few = {"errors": Tally(baseline_units=400, candidate_units=30)}
    assert walk(item, interval(11, tallies=few, exposed=(400, 400))).phase is Phase.PAUSED


def test_a_canary_by_duration_asks_for_no_proof() -> None:
    plan = plan_from({"shares": [10], "min_seconds": 10, "min_units": 1, "proof": False})
    assert walk(release(plan), interval(11, units=1)).phase is Phase.PROMOTED


# --- metrics


def posted(**changes: Any) -> MetricSpec:
    return replace(
        MetricSpec(name="bought", kind=MetricKind.RATE, event="purchase", direction=Direction.HIGHER), **changes
    )


def bought(baseline: int, candidate: int) -> tuple[Cohort, ...]:
    tally = Tally(baseline_units=2_000, candidate_units=2_000, baseline_events=baseline, candidate_events=candidate)
    return (Cohort(step=0, about="purchase", release=tally, step_wise=tally),)


def test_fewer_of_a_good_event_is_harm() -> None:
    plan = replace(plan_from({"shares": [50]}), metrics=(posted(),))
    worse = walk(release(plan), interval(2, late=bought(200, 100)))
    assert worse.phase is Phase.ROLLED_BACK
    assert walk(release(plan), interval(2, late=bought(100, 200))).phase is Phase.PROGRESSING


def test_a_dry_run_metric_and_a_success_decide_nothing() -> None:
    for spec in (posted(dry_run=True), posted(role=Role.SUCCESS)):
        plan = plan_from({"shares": [50]})
        plan = replace(plan, metrics=(*plan.metrics, spec))
        assert walk(release(plan), interval(2, late=bought(200, 20))).phase is Phase.PROGRESSING


def test_a_required_success_must_be_better_and_not_only_no_worse() -> None:
    plan = plan_from({"shares": [50], "min_seconds": 10, "min_units": 5, "metrics": []} | {"metrics": [_errors()]})
    plan = replace(plan, metrics=(*plan.metrics, posted(role=Role.SUCCESS, required=True)))
    same = walk(release(plan), interval(11, tallies=CLEAN, late=bought(200, 200)))
    assert same.judgement is not None
    assert (same.phase, "'purchase'" in same.judgement.reason) == (Phase.PROGRESSING, True)
    assert walk(release(plan), interval(11, tallies=CLEAN, late=bought(100, 300))).phase is Phase.PROMOTED


def test_a_metric_that_must_have_data_waits_for_it() -> None:
    plan = plan_from({"shares": [50], "min_seconds": 10, "min_units": 5, "metrics": [_errors()]})
    plan = replace(plan, metrics=(*plan.metrics, posted(must_have_data=True, min_events=10)))
    silent = walk(release(plan), interval(11, tallies=CLEAN))
    assert silent.judgement is not None
    assert silent.judgement.reason == "at 50 %: bought must have data, 0 of 10 events so far"
    assert walk(silent, interval(12, late=bought(6, 6))).phase is Phase.PROMOTED


def _errors() -> dict[str, Any]:
    return {"name": "errors", "kind": "errors", "required": True, "tolerance": 0.01}


# --- what a plan may say


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"strategy": "purple"}, "strategy"),
        ({"at_end": "later"}, "at_end"),
        ({"proof": "yes"}, "proof"),
        ({"steps": []}, "steps"),
        ({"steps": [{"kind": "dance"}]}, "steps[0]"),
        ({"steps": [{"kind": "share", "share": 0}]}, "steps[0]"),
        ({"steps": [{"kind": "share", "share": 200}]}, "steps[0].share"),
        ({"steps": [{"kind": "switch", "share": 50}]}, "steps[0]"),
        ({"steps": [{"kind": "preview", "share": 5}]}, "steps[0]"),
        ({"steps": [{"kind": "shadow"}]}, "steps[0]"),
        ({"steps": [{"kind": "shadow", "mirror": 10}], "metrics": [{"name": "e", "kind": "errors"}]}, "metrics"),
        ({"steps": [{"kind": "share", "share": 5, "min_unit": 3}]}, "steps[0]"),
        ({"add_metrics": [{"name": "x", "kind": "errors", "crit": True}]}, "add_metrics[0]"),
        ({"add_metrics": {"name": "x"}}, "add_metrics"),
        ({"steps": [{"kind": "share", "share": 5, "min_seconds": 9, "max_seconds": 1}]}, "steps[0]"),
        ({"steps": [{"kind": "share", "share": 50}, {"kind": "share", "share": 5}]}, "steps"),
        ({"add_metrics": [{"name": "bought", "kind": "rate"}]}, "metrics.bought"),
        ({"add_metrics": [{"name": "errors", "kind": "errors"}]}, "metrics"),
        ({"add_metrics": [{"name": "slow", "kind": "slow"}]}, "metrics.slow"),
        ({"add_metrics": [{"name": "flips", "kind": "flips"}]}, "metrics.flips"),
        ({"add_metrics": [{"name": "x", "kind": "value", "event": "x", "low": 1.0}]}, "metrics.x"),
        ({"add_metrics": [{"name": "x", "kind": "value", "event": "x", "weight": 0}]}, "metrics.x"),
    ],
)
def test_what_a_plan_may_not_say(given: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        plan_from(given)
    assert refused.value.field == field


def test_the_plan_in_the_docs_is_taken() -> None:
    text = (Path(__file__).parents[3] / "docs" / "release.md").read_text()
    plan = plan_from(yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0]))
    assert [step.kind for step in plan.steps] == [StepKind.SHADOW, StepKind.APPROVAL, StepKind.SHARE, StepKind.SHARE]
    assert [metric.name for metric in plan.metrics][-2:] == ["flips", "bought"]


def test_steps_as_people_write_them() -> None:
    plan = plan_from({"steps": [{"kind": "share", "share": 12.5}, {"kind": "approval", "share": 12.5, "note": "ok?"}]})
    assert plan.steps[0] == Step(kind=StepKind.SHARE, share=1_250)
    assert plan.steps[1].note == "ok?"


# --- means, and the split


def scores(*means: float, count: int = 400) -> tuple[Scores, ...]:
    """Of baseline and candidate alternately, in [0, 1] around the means."""
    both = zip((False, True), means, strict=True)
    found = [Score(candidate=on, value=mean + 0.1 * (n % 3 - 1)) for on, mean in both for n in range(count)]
    return (Scores(step=0, about="score", scores=tuple(found[::2] + found[1::2])),)


def measured(**changes: Any) -> ReleasePlan:
    spec = MetricSpec(name="judge", kind=MetricKind.VALUE, event="score", direction=Direction.HIGHER, margin=0.1)
    plan = plan_from({"shares": [50], "min_seconds": 10, "min_units": 5, "metrics": [_errors()]})
    return replace(plan, metrics=(*plan.metrics, replace(spec, **changes)))


@pytest.mark.parametrize("bounds", [{"low": 0.0, "high": 1.0}, {}])
def test_a_lower_mean_of_what_should_be_high_is_harm(bounds: dict[str, Any]) -> None:
    worse = walk(release(measured(**bounds)), interval(2, scores=scores(0.8, 0.5)))
    assert worse.phase is Phase.ROLLED_BACK
    assert worse.judgement is not None
    assert worse.judgement.reason.startswith("'score' is 0.49")
    assert ("asymptotic" in worse.judgement.reason) == (not bounds)
    for seen in (scores(0.5, 0.8), scores(0.8, 0.8)):
        assert walk(release(measured(**bounds)), interval(2, scores=seen)).phase is Phase.PROGRESSING


def test_a_required_mean_is_proven_not_worse() -> None:
    item = release(measured(low=0.0, high=1.0, required=True))
    few = walk(item, interval(11, tallies=CLEAN, scores=scores(0.5, 0.5, count=20)))
    assert few.phase is Phase.PROGRESSING
    assert walk(few, interval(12, scores=scores(0.5, 0.5, count=3_000))).phase is Phase.PROMOTED


def test_a_split_that_is_not_what_was_asked_for_is_not_advanced_on() -> None:
    even = walk(
        release(plan_from({"shares": [50, 60], "min_seconds": 1, "min_units": 1})), interval(2, exposed=(500, 500))
    )
    assert even.step == 1
    odd = walk(
        release(plan_from({"shares": [50, 60], "min_seconds": 1, "min_units": 1})), interval(2, exposed=(900, 500))
    )
    assert (odd.phase, odd.step) == (Phase.PAUSED, 0)
    assert odd.paused_reason.startswith("the split is not what was asked for: 900 users of v1 and 500 of v2 at 50 %")
