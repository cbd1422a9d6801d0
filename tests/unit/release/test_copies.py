"""A release that begins with a shadow step, on a real database and a real journal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.release import change
from headrace.release.plans import plan_from
from headrace.release.replay import replay
from headrace.release.sums import figures
from headrace.store import endpoints, pairs, releases
from headrace.store.journal.records import encode_call
from headrace.types.call import Call, CallStatus
from headrace.types.errors import BadInput
from headrace.types.pair import PairRules
from headrace.types.release import Phase, Release, Verdict
from headrace.types.strategy import Step, StepKind
from headrace.types.traffic import BUCKETS, Shadow
from tests.unit.release.made import START, call, endpoint, variant
from tests.unit.release.test_turn import World, started, turn, world

__all__ = ["world"]

PLAN = plan_from(
    {
        "strategy": "shadow", "shares": [50, 100], "min_seconds": 1, "min_units": 2, "max_seconds": 100,
        "pairs": {"deviation": 0.2},
    }
)  # fmt: skip


def shadows(world: World, *, users: int = 900, flips: int = 0, failing: int = 0, name: str = "u") -> list[Call]:
    """All users have the baseline's answer; the candidate's is compared with it."""
    written = []
    for n in range(users):
        at = world.clock.now() - START + n / 1000
        live = call(f"{name}{n}", at=at, revision=world.revision(), output=[7], run_ms=1.0)
        copy = call(f"{name}{n}", candidate=True, at=at, counted=False, revision=live.revision, shadow_of=live.trace_id)
        copy = replace(copy, output=[7 if n >= flips else 1], run_ms=2.0)
        if n >= users - failing:
            copy = replace(copy, status=CallStatus.FAILED, output=None, error="it broke")
        written += [live, copy]
    world.say(*map(encode_call, written))
    return written


def policy_shadow(world: World) -> Shadow | None:
    with world.parts.database.read() as conn:
        found = endpoints.get(conn, "digits")
    assert found is not None
    return found.policy.shadow


def begun(world: World, **changes: Any) -> tuple[Any, Release]:
    return started(world, plan=PLAN, **changes)


def test_the_plan_gives_the_data_planes_a_shadow_and_nobody_a_share(world: World) -> None:
    _, release = begun(world)
    assert release.current.kind is StepKind.SHADOW
    assert world.share() == 0
    assert policy_shadow(world) == Shadow(variant="v2", share=BUCKETS, salt=release.id)


def test_the_same_answers_end_the_shadow_and_begin_the_canary(world: World) -> None:
    service, release = begun(world)
    shadows(world)
    turn(world, service)
    found = world.find(release.id)
    assert (found.step, found.phase) == (1, Phase.PROGRESSING)
    assert (world.share(), policy_shadow(world)) == (BUCKETS // 2, None)
    assert found.pairs is not None
    assert (found.pairs.pairs, found.pairs.tested, found.pairs.differing) == (900, 900, 0)
    told = figures(found.pairs)
    assert (told.flip_rate, told.lost, told.psi) == (0, 0, pytest.approx(0))
    assert told.candidate_p50_ms is not None
    assert told.baseline_p50_ms is not None
    assert told.candidate_p50_ms > told.baseline_p50_ms


def test_other_answers_end_the_release_before_anyone_had_one(world: World) -> None:
    service, release = begun(world)
    written = shadows(world, flips=60)
    turn(world, service)
    found = world.find(release.id)
    assert found.phase is Phase.ROLLED_BACK
    assert found.judgement is not None
    assert found.judgement.metric == "flips"
    assert policy_shadow(world) is None
    with world.parts.database.read() as conn:
        worst, sample = pairs.worst(conn, release.id), pairs.sample(conn, release.id)
        stored = releases.intervals(conn, release.id)
    assert len(worst) == 50
    assert {pair.difference.what for pair in worst} == {"label[0]: 7 → 1"}
    assert {pair.trace_id for pair in worst} <= {one.trace_id for one in written[:120]}
    assert len(sample) == 900
    assert replay(found, stored) == [], "what was decided follows from what was stored"


def test_failures_one_after_the_other_do_not_wait_for_statistics(world: World) -> None:
    service, release = begun(world)
    shadows(world, users=40, failing=5)
    turn(world, service)
    found = world.find(release.id)
    assert found.phase is Phase.ROLLED_BACK
    assert found.judgement is not None
    assert "5 calls" in found.judgement.reason


def test_too_few_pairs_wait_and_then_ask(world: World) -> None:
    service, release = begun(world)
    shadows(world, users=30)
    turn(world, service)
    assert world.find(release.id).step_units == 30
    assert world.find(release.id).phase is Phase.PROGRESSING
    turn(world, service, 200.0)
    found = world.find(release.id)
    assert (found.phase, found.judgement and found.judgement.verdict) == (Phase.PAUSED, Verdict.INCONCLUSIVE)


def test_another_process_goes_on_where_the_first_stood(world: World) -> None:
    service, release = begun(world)
    shadows(world, users=60)
    turn(world, service)
    again = world.service()
    shadows(world, users=60)  # the same users: their pairs count, they do not
    turn(world, again)
    found = world.find(release.id)
    assert found.pairs is not None
    assert (found.step_units, found.pairs.pairs, found.pairs.tested) == (120, 120, 60)


def test_shadows_are_evidence_of_nothing_else(world: World) -> None:
    service, release = begun(world)
    shadows(world, users=50, failing=2)
    turn(world, service)
    evidence = world.find(release.id).evidence or {}
    assert (evidence["errors"].candidate_events, evidence["errors"].candidate_units) == (0, 0)
    assert (evidence["flips"].candidate_events, evidence["flips"].candidate_units) == (2, 50)


def test_an_endpoint_whose_calls_have_effects_has_no_shadow(world: World) -> None:
    with pytest.raises(BadInput, match="have effects"):
        change.with_shadow(replace(endpoint(variant(1), variant(2)), effects=True), Shadow(variant="v2"))
    service_elsewhere = replace(variant(2), effects=True)
    with pytest.raises(BadInput, match="nobody said that asking it changes nothing"):
        change.with_shadow(endpoint(variant(1), service_elsewhere), Shadow(variant="v2"))
    with pytest.raises(ValueError, match="'v1'"):
        change.with_shadow(endpoint(variant(1), variant(2)), Shadow(variant="v1"))
    shadowed = change.with_shadow(endpoint(variant(1), variant(2)), Shadow(variant="v2"))
    assert change.with_shadow(shadowed, None).policy.shadow is None
    assert change.switched(shadowed, variant(2)).policy.shadow is None


def test_rules_of_pairs_are_part_of_a_plan() -> None:
    assert PLAN.pairs == PairRules(deviation=0.2)
    with pytest.raises(BadInput, match="pairs"):
        plan_from({"strategy": "shadow", "pairs": {"top_k": "many"}})
    with pytest.raises(BadInput, match="max_queue 0"):
        plan_from(
            {
                "strategy": "shadow",
                "steps": [{"kind": "shadow", "mirror": 100, "max_queue": 0}, {"kind": "share", "share": 5}],
            }
        )
    step = Step(kind=StepKind.SHADOW, mirror=500, attributes=("x-tenant",), max_queue=9)
    made = change.with_step(change.with_candidate(endpoint(variant(1)), variant(2), salt="s"), step)
    assert made.policy.shadow == Shadow(variant="v2", share=500, salt="s", attributes=("x-tenant",), max_queue=9)
