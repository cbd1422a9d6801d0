"""Each kind of step is shown as what it is, and says what it waits for; a pause says what it asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from console_samples import NOW, endpoint, plan, release, visit

from headrace.console.messages import Language
from headrace.console.pages.acting import changes_of, offers
from headrace.console.pages.current import notes
from headrace.console.parts.progress import last_stop, step_views
from headrace.console.sentences import Traffic, say_endpoint, say_overview, say_release, why_now
from headrace.console.waits import Asked, asked, waits
from headrace.release import learn
from headrace.release.plans import plan_from
from headrace.types.pair import PairTally
from headrace.types.release import Event, Judgement, MetricEvidence, Phase, Release, Verdict
from headrace.types.strategy import AtEnd, MetricKind, MetricSpec, Step, StepKind, Strategy
from headrace.types.traffic import BUCKETS

HELD = Judgement(verdict=Verdict.HOLD, reason="", time=NOW)
STEPS = {
    StepKind.SHARE: Step(share=500, min_units=40),
    StepKind.SHADOW: Step(kind=StepKind.SHADOW, mirror=BUCKETS, min_units=100),
    StepKind.PREVIEW: Step(kind=StepKind.PREVIEW, min_units=0),
    StepKind.APPROVAL: Step(kind=StepKind.APPROVAL, share=500),
    StepKind.SWITCH: Step(kind=StepKind.SWITCH, share=BUCKETS, min_units=40),
    StepKind.HORIZON: Step(kind=StepKind.HORIZON, share=5000, min_units=1000),
}


def at(*kinds: StepKind, step: int = 0, **changes: Any) -> Release:
    """A release of these steps, in the one that `step` says."""
    of_kind = replace(plan(), steps=tuple(STEPS[kind] for kind in kinds), **changes.pop("of_plan", {}))
    return release(**{"plan": of_kind, "step": step, "exposed": (), "judgement": HELD} | changes)


def paused(item: Release) -> Release:
    event = Event(time=NOW, name="paused", detail="", actor="system:release")
    return replace(item, phase=Phase.PAUSED, history=(*item.history, event))


def evidence(item: Release, **of: MetricEvidence) -> Release:
    fresh = {m.name: learn.begin(m, item.plan.steps) for m in item.plan.metrics}
    return replace(item, evidence=fresh | of)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (StepKind.SHARE, "v2 answers 5 % of users. Held: 12 users so far, 40 needed and 30 s of 1 min."),
        (
            StepKind.SHADOW,
            (
                "v2 answers copies of 100 % of calls, and 2.0 % of its answers differ; users get those of v1. "
                "Held: 12 of 100 answers compared and 30 s of 1 min."
            ),
        ),
        (
            StepKind.PREVIEW,
            "v2 answers only who asks for it by header; v1 answers everyone else. Held: 30 s of 1 min.",
        ),
        (StepKind.APPROVAL, "v2 waits for approval at 5 %: may v2 have all traffic?"),
        (
            StepKind.SWITCH,
            "v2 answers everyone, v1 stands by. Held: 12 users so far, 40 needed and 30 s of 1 min.",
        ),
        (
            StepKind.HORIZON,
            (
                "v2 and v1 are compared side by side at 50 %. "
                "Held: 210 of 1,000 users of v1 and 190 of 1,000 users of v2 and 30 s of 1 min."
            ),
        ),
    ],
)
def test_the_sentence_of_each_kind_says_who_answers_and_what_is_missing(kind: StepKind, said: str) -> None:
    item = at(kind, exposed=((210, 190),), pairs=PairTally(pairs=50, flips=1.0))
    assert say_release(visit(), item, NOW).text == said


@pytest.mark.parametrize("kind", StepKind)
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("language", Language)
def test_every_kind_can_be_said_in_every_phase(kind: StepKind, phase: Phase, language: Language) -> None:
    item = at(kind, phase=phase, ended=NOW if phase.ended else 0.0)
    said = say_release(visit(language), item, NOW).text
    words = [view.title + view.words for view in step_views(visit(language), item, NOW)]
    assert said
    assert "{" not in said + "".join(words)


def test_the_last_share_says_how_many_users_the_proof_needs() -> None:
    """4 of e^3 = 20 e-foldings in 212 users: about 480 at this pace."""
    item = at(StepKind.SHARE, step_units=212, step_started=NOW - 90)
    safe = (1.3229,) * 5
    seen = replace(
        learn.begin(item.plan.metrics[0], item.plan.steps[:1]), not_worse=safe, not_worse_step=safe, candidate_units=212
    )
    (*_, proof) = waits(visit(), evidence(item, errors=seen), NOW)
    assert proof.words == "212 users so far, about 481 needed to prove errors no worse"
    assert 0.4 < proof.part < 0.5


def test_a_proof_is_not_asked_for_before_enough_was_seen_nor_in_an_earlier_share() -> None:
    item = evidence(at(StepKind.SHARE, step_units=12, step_started=NOW - 90))
    assert [wait.label for wait in waits(visit(), item, NOW)] == ["Users", "Time"]
    early = evidence(at(StepKind.SHARE, StepKind.SHARE, step_units=41, step_started=NOW - 90))
    assert [wait.label for wait in waits(visit(), early, NOW)] == ["Users", "Time"]


def test_a_metric_that_must_have_data_is_waited_for() -> None:
    rated = MetricSpec(name="rated", kind=MetricKind.FEEDBACK, must_have_data=True, min_events=30)
    item = evidence(at(StepKind.SHARE, step_units=41, step_started=NOW - 90, of_plan={"metrics": (rated,)}))
    assert waits(visit(), item, NOW)[-1].words == "0 of 30 events of rated, which must have data"


def test_steps_are_named_by_their_kind_and_end_as_the_plan_says() -> None:
    item = at(StepKind.SHADOW, StepKind.SHARE, StepKind.APPROVAL, step=1)
    views = step_views(visit(), item, NOW)
    assert [view.title for view in views] == ["Shadow 100 %", "5 %", "Approval", "100 %"]
    assert [view.state for view in views] == ["done", "now", "next", "next"]
    assert views[0].role == "shadow"
    assert views[-1].words == "all traffic, when a person says so"


@pytest.mark.parametrize(
    ("strategy", "last"),
    [
        (Strategy.CANARY, "proof"),
        (Strategy.BLUE_GREEN, "switch"),
        (Strategy.SHADOW, "proof"),
        (Strategy.AB, "ask"),
        (Strategy.MANUAL, "ask"),
        (Strategy.PREVIEW, "ask"),
    ],
)
def test_what_follows_the_last_step(strategy: Strategy, last: str) -> None:
    assert last_stop(plan_from({"strategy": strategy})) == last
    assert last_stop(replace(plan_from({"strategy": strategy}), at_end=AtEnd.ASK)) == "ask"


def test_without_a_proof_no_sign_of_harm_is_enough() -> None:
    assert last_stop(plan_from({"proof": False})) == "calm"


def test_who_paused_it_and_why_decides_what_is_asked() -> None:
    assert asked(at(StepKind.APPROVAL)) is None
    assert asked(replace(at(StepKind.APPROVAL), phase=Phase.PAUSED)) is None
    assert asked(paused(at(StepKind.APPROVAL))) is Asked.APPROVAL
    assert asked(paused(at(StepKind.HORIZON, exposed=((1010, 1003),)))) is Asked.HORIZON
    assert asked(paused(at(StepKind.HORIZON, exposed=((1400, 1003),)))) is Asked.SPLIT
    assert asked(paused(at(StepKind.HORIZON, exposed=((90, 91),)))) is Asked.UNDECIDED


def test_an_approval_asks_the_plan_s_question_and_offers_to_approve() -> None:
    item = at(StepKind.SHARE, StepKind.APPROVAL, StepKind.SWITCH, step=1)
    item = paused(replace(item, plan=replace(item.plan, steps=(
        STEPS[StepKind.SHARE], replace(STEPS[StepKind.APPROVAL], note="has legal signed?"), STEPS[StepKind.SWITCH]
    ))))  # fmt: skip
    assert say_release(visit(), item, NOW).text == "v2 waits for approval at 5 %: has legal signed?"
    assert offers(item)[-1] == "approve"
    changes = [(c.what, c.was, c.will) for c in changes_of(visit(), item, 500, "approve")]
    assert ("The step", "Approval", "All users") in changes
    assert ("Traffic of v2", "5 %", "100 %") in changes
    assert say_overview(visit(), [endpoint()], Traffic(), [item]).text == (
        "The release of digits v2 waits for approval."
    )


def test_at_the_horizon_a_person_reads_and_decides() -> None:
    item = paused(at(StepKind.HORIZON, exposed=((1010, 1003),)))
    said = say_release(visit(), item, NOW)
    assert said.text.startswith("The A/B test has reached its horizon: 1,003 users of v2, 1,010 users of v1.")
    assert said.tone == "bad"
    assert offers(item)[-1] == "promote"


def test_several_that_wait_are_named() -> None:
    items = [paused(at(StepKind.APPROVAL)), replace(paused(at(StepKind.APPROVAL)), endpoint="churn")]
    said = say_overview(visit(), [endpoint()], Traffic(), items).text
    assert said == "2 releases wait for a person: digits v2 and churn v2."


def test_an_endpoint_in_a_shadow_or_after_a_switch_says_who_answers() -> None:
    there = endpoint(share=1)
    shadowed = replace(there, policy=replace(there.policy, share=0))
    said = say_endpoint(visit(), shadowed, Traffic(), at(StepKind.SHADOW)).text
    assert said.startswith("v1 answers everyone, v2 nobody yet (Shadow 100 %).")
    switched = replace(there, policy=replace(there.policy, share=BUCKETS))
    assert say_endpoint(visit(), switched, Traffic(), at(StepKind.SWITCH)).text.startswith(
        "v2 answers everyone, v1 stands by."
    )


def test_a_shadow_and_a_switch_have_notes() -> None:
    flips = MetricSpec(name="flips", kind=MetricKind.FLIPS, tolerance=0.01)
    tally = PairTally(pairs=1204, flips=4.0, lost=3, dropped=2, baseline_ms={10: 5}, candidate_ms={8: 5})
    shadow = at(StepKind.SHADOW, pairs=tally, of_plan={"metrics": (flips,)})
    differ, lost, _ = notes(visit(), shadow)
    assert differ == "1,204 answers compared, 0.33 % differ, 1.0 % tolerated"
    assert lost.startswith("3 copies without an answer, 2 of them")
    switch = evidence(at(StepKind.SWITCH), errors=MetricEvidence(limit=0.012))
    assert notes(visit(), switch) == ["back at once if errors is above 1.2 % in an interval"]
    assert notes(visit(), at(StepKind.SHARE)) == []


def test_one_is_said_in_the_singular() -> None:
    early = at(StepKind.SHARE, step_units=1)
    assert "Held: 1 user so far, 40 needed" in say_release(visit(), early, NOW).text
    assert "目前 1 个用户，需要 40 个" in say_release(visit(Language.CHINESE), early, NOW).text
    pair = PairTally(pairs=1, lost=1, dropped=1, baseline_ms={10: 1}, candidate_ms={8: 1})
    differ, lost, _ = notes(visit(), at(StepKind.SHADOW, pairs=pair, of_plan={"metrics": ()}))
    assert differ.startswith("1 answer compared")
    assert lost.startswith("1 copy without")


def test_a_reader_of_chinese_is_told_in_chinese_what_a_release_waits_for() -> None:
    held = Judgement(verdict=Verdict.HOLD, reason="at 5 %: 12 users so far, 40 needed", time=NOW)
    item = at(StepKind.SHARE, judgement=held)
    assert why_now(visit(), item, NOW) == "At 5 %: 12 users so far, 40 needed"
    assert why_now(visit(Language.CHINESE), item, NOW).startswith("停留：目前 12 个用户，需要 40 个")
