"""A release of the shop that ended in its shadow step: people of one region would have got other answers."""

from __future__ import annotations

import random
from dataclasses import replace

from headrace.base.ids import TraceIds
from headrace.release.pairs import Known, Pairs
from headrace.release.plans import plan_from
from headrace.store import pairs, releases
from headrace.store.db import Connection
from headrace.types.call import Call, CallStatus
from headrace.types.model import Datatype, TensorSpec
from headrace.types.release import Event, Judgement, Phase, Release, Verdict
from headrace.types.traffic import Reason, Shadow

SHADOWED = "rel_shadow"
SPECS = (
    TensorSpec(name="label", datatype=Datatype.BYTES, shape=(-1,)),
    TensorSpec(name="scores", datatype=Datatype.FP32, shape=(-1, 2)),
)
REGIONS = ("north", "south", "west")


def furnish(conn: Connection, now: float) -> None:
    at = now - 7200
    reason = "6 of 180 answers differ from what users got; the e-value against v5 is 512, 420 is enough to roll back"
    release = Release(
        id=SHADOWED, endpoint="churn", baseline="v4", candidate="v5", candidate_uri="models:/churn/5",
        plan=plan_from({"strategy": "shadow"}), phase=Phase.ROLLED_BACK, created=at, actor="ada", step_started=at,
        step_units=400, ended=at + 600,
        judgement=Judgement(verdict=Verdict.ROLL_BACK, reason=reason, metric="flips", time=at + 600),
        history=(
            Event(time=at, name="started", detail="v4 → v5 on churn", actor="ada"),
            Event(time=at + 600, name="rolled_back", detail=reason, actor="system:release"),
        ),
    )  # fmt: skip
    watching = Pairs(
        release.members[0],
        Shadow(variant="v5"),
        release.plan.pairs,
        specs=SPECS,
        known=Known(),
        find=lambda trace_id: None,
    )
    watching.observe(_calls(at))
    closed = watching.close()
    releases.put(conn, replace(release, pairs=closed.tally))
    pairs.keep(conn, release.id, closed.kept)


def _calls(at: float) -> list[Call]:
    rng, ids, made = random.Random(11), TraceIds(b"shadow" * 4), []
    for number in range(400):
        age, region = rng.randrange(18, 80), rng.choice(REGIONS)
        leaves, moved = rng.random(), rng.uniform(-0.03, 0.03)
        other = region == "west" and age > 40 and rng.random() < 0.5
        time = at + 1.4 * number
        live = Call(
            trace_id=ids.mint(time), time=time, endpoint="churn", variant="v4", version=4, unit=f"u{number % 180}",
            sticky=True, counted=True, reason=Reason.BUCKET, status=CallStatus.OK, latency_ms=2.0, run_ms=0.8,
            revision=3, input=[{"age": age, "region": region, "tenure": rng.randrange(60)}], output=[_answer(leaves)],
        )  # fmt: skip
        failed = number % 97 == 96
        after = 1 - leaves if other else min(1.0, max(0.0, leaves + moved))
        beside = {"outputs": {"scores": [[[1 - leaves, leaves]], [[1 - after, after]]]}}
        copy = replace(
            live, trace_id=ids.mint(time + 0.01), variant="v5", version=5, counted=False, shadow_of=live.trace_id,
            run_ms=1.3, input=None, output=None if failed else [_answer(after)],
            status=CallStatus.FAILED if failed else CallStatus.OK,
            error="the model raised: region is not known" if failed else "", beside=None if failed else beside,
        )  # fmt: skip
        made += [live, copy]
    return made


def _answer(leaves: float) -> str:
    return "leaves" if leaves > 0.5 else "stays"
