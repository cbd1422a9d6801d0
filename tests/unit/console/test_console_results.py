"""What may be quoted is quoted with what it holds for; before the horizon, that is the always-valid interval alone."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from console_samples import release, visit

from headrace.console.messages import Language
from headrace.console.parts.evidence import evidence_lines, metric_views
from headrace.console.quotes import Quote, finding, has_results, quote, quotes, split_said, when_to_quote
from headrace.release.novelty import Course, Effect, Novelty
from headrace.release.plans import plan_from
from headrace.release.results import MetricResult, Results, Split
from headrace.types.release import MetricEvidence, Phase
from headrace.types.score import Arm, Bets, Reading
from headrace.types.strategy import Direction, MetricKind, MetricSpec, Role

BOUGHT = MetricSpec(name="bought", kind=MetricKind.RATE, event="p", direction=Direction.HIGHER, role=Role.SUCCESS)
SPENT = MetricSpec(name="basket_size", kind=MetricKind.VALUE, event="b", direction=Direction.HIGHER, dry_run=True)
ALWAYS = Reading(difference=0.018, low=-0.004, high=0.04, always=True, asymptotic=True)
FIXED = Reading(difference=0.018, low=0.002, high=0.034, always=False)
NEVER = Novelty(course=Course.UNKNOWN, early=Effect(difference=0, error=inf), late=Effect(difference=0, error=inf))
AB = release(plan=plan_from({"strategy": "ab", "min_units": 1200}), step=0, exposed=((1215, 1201),))


def result(spec: MetricSpec = BOUGHT, **changes: object) -> MetricResult:
    made = MetricResult(
        spec=spec, baseline_units=1215, candidate_units=1201, baseline=0.119, candidate=0.137, fixed=None,
        always=ALWAYS, log_harm=0.0, log_harm_limit=inf, log_proof=0.0, log_proof_limit=3.0, novelty=NEVER,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def found(*metrics: MetricResult, at_horizon: bool = False, alarm: bool = False) -> Results:
    return Results(metrics=metrics, split=Split(log_bayes_factor=7.5 if alarm else -0.7, alarm=alarm),
                   at_horizon=at_horizon)  # fmt: skip


def said(item: MetricResult, language: Language = Language.ENGLISH) -> Quote:
    return quote(visit(language), AB, item)


def test_before_the_horizon_the_always_valid_interval_is_quoted_alone() -> None:
    assert said(result()).sentence == (
        "bought: 13.70 % with v2 (1,201 users), 11.90 % with v1 (1,215 users), a difference of +1.80 points "
        "(95 % interval −0.40 to +4.00 points, valid at every look, for large numbers (asymptotic))."
    )
    assert said(result()).fixed == "–"


def test_at_the_horizon_both_are_and_the_fixed_one_is_named_as_what_it_is() -> None:
    sentence = said(result(fixed=FIXED)).sentence
    assert "95 % interval +0.20 to +3.40 points, read once at the horizon; 95 % interval −0.40 to +4.00" in sentence


def test_a_mean_is_quoted_in_its_own_unit() -> None:
    always = Reading(difference=4.2, low=1.1, high=7.3, always=True)
    item = said(result(SPENT, baseline=48.0, candidate=52.2, always=always))
    assert item.sentence == (
        "basket size: 52.2 with v2 (1,201 users), 48 with v1 (1,215 users), a difference of +4.2 "
        "(95 % interval +1.1 to +7.3, valid at every look)."
    )


def test_nothing_is_quoted_of_too_few() -> None:
    item = said(result(always=replace(ALWAYS, low=-inf, high=inf)))
    assert item.sentence == "bought: 1,201 users of v2 and 1,215 users of v1 are too few for an interval."
    assert (item.finding, item.scale) == ("unknown", None)


@pytest.mark.parametrize(
    ("spec", "reading", "word"),
    [
        (BOUGHT, ALWAYS, "unclear"),
        (BOUGHT, FIXED, "better"),
        (replace(BOUGHT, direction=Direction.LOWER), FIXED, "worse"),
        (replace(BOUGHT, direction=Direction.LOWER), Reading(difference=-1, low=-2, high=-0.5, always=True), "better"),
        (BOUGHT, None, "unknown"),
    ],
)
def test_a_finding_needs_an_interval_on_one_side(spec: MetricSpec, reading: Reading | None, word: str) -> None:
    assert finding(result(spec, always=reading)) == word


def test_the_scale_holds_zero_and_both_intervals() -> None:
    scale = said(result(fixed=FIXED)).scale
    assert scale is not None
    assert scale.always is not None
    assert scale.fixed is not None
    low, high = scale.always
    assert 0 < low < scale.zero < scale.fixed[0] < scale.difference < scale.fixed[1] < high < 100
    beyond = said(result(always=replace(FIXED, low=0.01))).scale
    assert beyond is not None
    assert beyond.zero > 0


def test_when_to_quote_is_said_before_anybody_does() -> None:
    assert when_to_quote(visit(), AB, found()).startswith("Until the horizon, 1,200 users of each version, only")
    assert "both intervals may be quoted" in when_to_quote(visit(), AB, found(at_horizon=True))
    stopped = replace(AB, phase=Phase.ROLLED_BACK)
    assert when_to_quote(visit(), stopped, found()).startswith("It ended before the horizon")
    assert when_to_quote(visit(), release(), found()).startswith("No horizon was fixed")


def test_the_split_is_said_and_an_alarm_voids_everything() -> None:
    assert "1,215 users of v1 and 1,201 users of v2, 50 % where 50 % was asked for" in split_said(visit(), AB, found())
    assert split_said(visit(), AB, found(alarm=True)).endswith("Nothing below can be trusted.")
    assert split_said(visit(), release(), found()) == ""


@pytest.mark.parametrize("course", [c for c in Course if c is not Course.UNKNOWN])
@pytest.mark.parametrize("language", Language)
def test_the_course_is_told_with_its_numbers(course: Course, language: Language) -> None:
    early, late = Effect(difference=0.03, error=0.01), Effect(difference=0.001, error=0.01)
    novelty = said(result(novelty=Novelty(course=course, early=early, late=late)), language).novelty
    assert "+3.00" in novelty
    assert "+0.10" in novelty


def test_only_what_has_an_interval_is_in_the_results() -> None:
    shown = quotes(visit(), AB, found(result(), result(replace(BOUGHT, name="errors"), always=None)))
    assert [each.name for each in shown] == ["bought"]


def test_results_are_for_tests_and_for_what_applications_post() -> None:
    assert has_results(AB)
    assert not has_results(release())
    plan = release().plan
    assert has_results(release(plan=replace(plan, metrics=(*plan.metrics, SPENT))))


def test_success_and_dry_run_are_told_apart_from_guardrails() -> None:
    plan = replace(release().plan, metrics=(release().plan.metrics[0], BOUGHT, SPENT))
    bets = Bets(
        low=0,
        high=9,
        higher_is_better=True,
        margin=0,
        harm=(0.0,),
        not_worse=(0.0,),
        candidate=Arm(units=3, mean=52.25),
    )
    item = release(plan=plan, evidence={"basket_size": MetricEvidence(bets=bets)})
    names = [line.name for line in evidence_lines(visit(), item, [])]
    assert names == ["errors", "bought · success", "basket size · dry run"]
    guard, success, dry = metric_views(visit(), item, [])
    assert (guard.critical, success.success, dry.dry_run) == (True, True, True)
    assert (guard.means, dry.means) == (None, ("–", "52.25"))
