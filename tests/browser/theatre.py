"""Releases of every strategy for the stage, judged by the real judge on played users: `--theatre`.

A shadow under way, an A/B test at its horizon, a canary that waits for approval, a switch that is being watched. They
are active, each on an endpoint of its own, so they are not part of the usual stage: its overview would ask for people.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from headrace.base.ids import keyed_hash
from headrace.release import evalue
from headrace.release.advance import advance
from headrace.release.pairs import milliseconds
from headrace.release.plans import plan_from
from headrace.store import endpoints, plans, releases, versions
from headrace.store.db import Connection
from headrace.types.adapter import Adapter, Compute, Drop, Rename, Scale
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.gate import GateResult, Outcome
from headrace.types.model import Datatype, ModelVersion, Package, RuntimeKind, Signature, Stage, TensorSpec
from headrace.types.pair import PairTally
from headrace.types.release import Cohort, Event, Interval, Member, Phase, Release, Scores, Tally
from headrace.types.score import Score
from headrace.types.strategy import ReleasePlan, StepKind
from headrace.types.traffic import BUCKETS, TrafficPolicy

SHADOW, AB, APPROVAL, SWITCH, EARLY = "rel_mirrored", "rel_sidebyside", "rel_mayi", "rel_allatonce", "rel_tooearly"
TOGETHER = "embeddings"  # moves with `search`
ADAPTED = "prices"  # its candidate takes other columns
LOOK = 2.0  # seconds
CALM = {"errors": 0.002, "feedback": 0.03, "slow_p99": 0.01, "slow_p90": 0.1, "slow_p50": 0.12}
GATES = (
    GateResult(name="data", outcome=Outcome.PASSED, detail="64 of 64 captured rows fit the signature", seconds=0.02),
    GateResult(name="finite", outcome=Outcome.PASSED, detail="all answers to 64 rows are finite", seconds=0.31),
    GateResult(name="latency", outcome=Outcome.PASSED, detail="p99 4.2 ms of a row alone, 20 ms allowed", seconds=0.4),
    GateResult(
        name="parity", outcome=Outcome.NOTED, detail="3 of 64 rows get another answer than from the predecessor",
        row='{"amount": 1250.0, "country": "CH", "night": true}', seconds=0.3,
    ),
    GateResult(name="policy", outcome=Outcome.SKIPPED, detail="no policy is set", seconds=0.0),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Play:
    id: str
    endpoint: str
    plan: ReleasePlan
    ago: float  # seconds
    users: int = 12  # new ones in each look
    worse: dict[str, float] | None = None  # rates of the candidate where they are others
    flips: float = 0.0  # of the shadow's answers
    basket: tuple[float, float] = (0.0, 0.0)  # what users of either version spend on average
    buys: tuple[float, float] = (0.0, 0.0)
    versions: tuple[int, int] = (3, 4)


def furnish(conn: Connection, now: float) -> None:
    played = []
    for release, play in (_new(play, now) for play in _plays()):
        for version in _versions(play, now):
            versions.put(conn, version)
        ended, looks = _run(play, release, until=now)
        played.append((ended, play))
        releases.put(conn, ended)
        for interval, decision in looks:
            evalues = {name: evalue.harm(seen) for name, seen in (decision.release.evidence or {}).items()}
            releases.add_interval(conn, release.id, interval=interval, evalues=evalues, judgement=decision.judgement)
    there = [_endpoint(release, play, now) for release, play in played]
    search = next(endpoint for endpoint in there if endpoint.name == "search")
    there.append(replace(search, name=TOGETHER, model=TOGETHER))
    plans.publish(conn, [*endpoints.all(conn), *there], reason="the theatre opens", now=now)


def _plays() -> Iterator[Play]:
    yield Play(
        id=SHADOW, endpoint="fraud", ago=120, users=9, flips=0.001,
        plan=plan_from({"strategy": "shadow", "min_seconds": 60, "min_units": 1500}),
    )  # fmt: skip
    tests = [
        {"name": "purchase", "kind": "rate", "role": "success", "direction": "higher", "event": "purchase",
         "critical": False, "required": True},
        {"name": "basket", "kind": "value", "role": "success", "direction": "higher", "event": "basket",
         "critical": False, "low": 0, "high": 200, "margin": 2},
        {"name": "minutes", "kind": "value", "direction": "higher", "event": "minutes", "dry_run": True, "margin": 0.5},
    ]  # fmt: skip
    ab = plan_from({"strategy": "ab", "min_seconds": 60, "min_units": 1200, "add_metrics": tests})
    yield Play(id=AB, endpoint="ranking", ago=900, users=8, plan=ab, basket=(48.0, 53.0), buys=(0.11, 0.15))
    early = plan_from({"strategy": "ab", "min_seconds": 7200, "min_units": 5000, "add_metrics": tests})
    yield Play(id=EARLY, endpoint="search", ago=240, users=8, plan=early, basket=(48.0, 49.0), buys=(0.11, 0.11))
    manual = plan_from({"strategy": "manual", "shares": [5, 25, 100], "min_seconds": 20, "min_units": 20})
    yield Play(id=APPROVAL, endpoint="spam", ago=120, users=30, plan=manual)
    blue = plan_from({"strategy": "blue-green", "min_seconds": 90, "min_units": 800})
    yield Play(id=SWITCH, endpoint="prices", ago=150, users=20, plan=blue)


def _new(play: Play, now: float) -> tuple[Release, Play]:
    at = now - play.ago
    baseline, candidate = (f"v{number}" for number in play.versions)
    share = play.plan.steps[0].share
    started = Event(time=at, name="started", detail=f"{play.plan.strategy.value} {baseline} → {candidate}", actor="ada",
                    share=share)  # fmt: skip
    release = Release(
        id=play.id, endpoint=play.endpoint, baseline=baseline, candidate=candidate, plan=play.plan, actor="ada",
        candidate_uri=f"models:/{play.endpoint}/{play.versions[1]}", phase=Phase.PROGRESSING, created=at - 9,
        step_started=at, history=(started,), gates=GATES, others=_others(play, baseline, candidate),
    )  # fmt: skip
    return release, play


def _others(play: Play, baseline: str, candidate: str) -> tuple[Member, ...]:
    if play.id != EARLY:
        return ()
    return (Member(endpoint=TOGETHER, baseline=baseline, candidate=candidate, candidate_uri=f"models:/{TOGETHER}/4"),)


class _Crowd:
    """New users in each look; who called before does not come again, which makes counting simple."""

    def __init__(self, play: Play) -> None:
        self.play, self.rng = play, random.Random(play.id)
        self.called, self.exposed, self.step, self.pairs = [0, 0], [0, 0], 0, 0

    def look(self, release: Release, start: float) -> Interval:
        if release.step != self.step:
            self.step, self.exposed, self.pairs = release.step, [0, 0], 0
        step, users = release.current, self.play.users
        on = sum(self.rng.random() < step.share / BUCKETS for _ in range(users))
        for arm, more in ((0, users - on), (1, on)):
            self.called[arm] += more
            self.exposed[arm] += more
        rates = {name: (rate, (self.play.worse or {}).get(name, rate)) for name, rate in CALM.items()}
        tallies = {name: self._tally(users - on, on, *rate) for name, rate in rates.items()}
        said = [Cohort(step=self.step, release=tallies["feedback"], step_wise=tallies.pop("feedback"))]
        if any(self.play.buys):
            bought = self._tally(users - on, on, *self.play.buys)
            said.append(Cohort(step=self.step, release=bought, step_wise=bought, about="purchase"))
        shadow = self._pairs() if step.kind is StepKind.SHADOW else None
        if shadow is not None:
            tallies["flips"] = Tally(candidate_units=shadow.tested, candidate_events=shadow.differing)
        return Interval(
            start=start, end=start + LOOK, step=self.step, failures_in_row=0, release=tallies, step_wise=tallies,
            candidate_units=self.pairs if shadow is not None else self.exposed[1], late=tuple(said),
            called=(self.called[0], self.called[1]), exposed=(self.exposed[0], self.exposed[1]), pairs=shadow,
            scores=tuple(self._scores(users - on, on)), cuts={"slow_p99": 6.4, "slow_p90": 4.1, "slow_p50": 3.8},
        )  # fmt: skip

    def _tally(self, baseline: int, candidate: int, base: float, cand: float) -> Tally:
        return Tally(
            baseline_units=baseline, candidate_units=candidate,
            baseline_events=sum(self.rng.random() < base for _ in range(baseline)),
            candidate_events=sum(self.rng.random() < cand for _ in range(candidate)),
        )  # fmt: skip

    def _scores(self, baseline: int, candidate: int) -> Iterator[Scores]:
        if not any(self.play.basket):
            return
        for about, scale, most in (("basket", 1.0, 200.0), ("minutes", 0.1, 1e9)):
            drawn = [
                Score(candidate=arm, value=min(most, round(self.rng.gammavariate(4, mean / 4) * scale, 2)))
                for arm, count, mean in zip((False, True), (baseline, candidate), self.play.basket, strict=True)
                for _ in range(count)
            ]
            yield Scores(step=self.step, about=about, scores=tuple(drawn))

    def _pairs(self) -> PairTally:
        made = 2 * self.play.users
        self.pairs += made
        flips = sum(self.rng.random() < self.play.flips for _ in range(made))
        times: list[dict[int, int]] = [{}, {}]
        for counts, middle in zip(times, (2.1, 1.7), strict=True):
            for _ in range(made):
                taken = self.rng.lognormvariate(0, 0.3) * middle
                number = next(n for n in range(200) if milliseconds(n) >= taken)
                counts[number] = counts.get(number, 0) + 1
        return PairTally(
            pairs=made, flips=float(flips), tested=self.play.users, differing=min(flips, self.play.users), overlap=made,
            lost=int(self.rng.random() < 0.1), dropped=0, baseline_ms=times[0], candidate_ms=times[1],
        )  # fmt: skip


def _run(play: Play, release: Release, *, until: float) -> tuple[Release, list[tuple[Interval, Any]]]:
    crowd, looks, at = _Crowd(play), [], release.step_started
    while at + LOOK <= until and release.phase is Phase.PROGRESSING:
        interval = crowd.look(release, at)
        at += LOOK
        decision = advance(release, interval, at)
        release = decision.release
        looks.append((interval, decision))
    return release, looks


def _versions(play: Play, now: float) -> list[ModelVersion]:
    scores = ({"auc": 0.842, "log_loss": 0.301}, {"auc": 0.861, "log_loss": 0.287})
    return [
        ModelVersion(
            name=play.endpoint, version=number, uri=f"models:/{play.endpoint}/{number}", flavor="xgboost",
            stage=Stage.STAGING if later else Stage.PRODUCTION, aliases=("challenger",) if later else ("champion",),
            sha256=keyed_hash(b"theatre" * 4, f"{play.endpoint}{number}") * 4, created=now - 86_400 * (9 - 7 * later),
            metrics=scores[later],
        )
        for later, number in enumerate(play.versions)
    ]  # fmt: skip


def _endpoint(release: Release, play: Play, now: float) -> Endpoint:
    shape = Signature(
        inputs=(TensorSpec(name="row", datatype=Datatype.FP64, shape=(-1, 8)),),
        outputs=(TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),),
    )
    steps = Adapter(
        outer=shape,
        inputs=(Rename(tensor="area", to="square_metres"), Scale(tensor="square_metres", by=(0.0929,))),
        outputs=(Compute(tensor="label", expression="argmax(scores)", datatype=Datatype.INT64), Drop(tensor="scores")),
    )
    variants = tuple(
        Variant(
            name=f"v{model.version}", model=model,
            adapter=steps if play.endpoint == ADAPTED and model.version == play.versions[1] else None,
            package=Package(
                id=model.sha256, model=model.name, version=model.version, source_sha256=model.sha256,
                runtime=RuntimeKind.ONNX, signature=shape, files=(), created=now,
            ),
        )
        for model in _versions(play, now)
    )  # fmt: skip
    policy = TrafficPolicy(baseline=release.baseline, candidate=release.candidate, share=release.current.share,
                           salt=release.endpoint)  # fmt: skip
    return Endpoint(name=play.endpoint, model=play.endpoint, variants=variants, policy=policy, selectors={})
