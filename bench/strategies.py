"""Whole releases of each strategy, simulated with the engine's own decisions: `advance` on what users would show it.

Called by the tests of the release statistics and by `python -m bench.release`. Users differ: some always fail, some
call far more than others, some get slow answers, some are unhappy and say so one look later. The base rate drifts, and
outages hit some users together. Vectorised over releases and users; each release takes its own steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.streams import Bools, tallies
from headrace.release import evalue, learn
from headrace.release.advance import advance, resumed
from headrace.types.release import Cohort, Event, Interval, Phase, Release, ReleasePlan, Tally
from headrace.types.strategy import StepKind
from headrace.types.traffic import BUCKETS

QUANTILES = {"slow_p50": 0.50, "slow_p90": 0.90, "slow_p99": 0.99}
APPROVED_AFTER = 2  # looks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """`worse` multiplies the candidate's failures, `slower` its latencies, `unhappier` the thumbs down on it."""

    users: int = 3_000
    per_second: float = 20.0
    base_rate: float = 0.005
    drift: float = 0.3  # of the base rate, up and down in half an hour
    chronic: float = 0.01  # of the users fail in every call
    heavy: float = 2.0  # 1: all call alike often
    outage: float = 0.05  # chance that in a look the calls of a random tenth of the users fail
    unhappy: float = 0.02  # of the calls are answered with a thumb down
    flips: float = 0.005  # of the copies differ
    worse: float = 1.0
    slower: float = 1.0
    unhappier: float = 1.0
    look: float = 40.0
    looks: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one release went. `peaks`: by guarding metric, how far its e-value came, as a logarithm."""

    release: Release
    peaks: dict[str, float]

    def rolls_back(self, plan: ReleasePlan) -> bool:
        """Under a plan that differs in its alpha."""
        limits = {m.name: evalue.roll_back_at(m, plan) for m in plan.metrics if m.guards}
        return any(self.peaks.get(name, 0.0) >= limit for name, limit in limits.items())


def runs(plan: ReleasePlan, crowd: Crowd, count: int, seed: int = 0, *, block: int = 250) -> Iterator[Run]:
    random = np.random.default_rng(seed)
    for start in range(0, count, block):
        yield from _Block(plan, crowd, min(block, count - start), random).run()


class _Block:
    """Some releases at a time."""

    def __init__(self, plan: ReleasePlan, crowd: Crowd, count: int, random: np.random.Generator) -> None:
        self.crowd, self.count, self.random = crowd, count, random
        self.size = (count, crowd.users)
        self.releases = [_new(plan, number) for number in range(count)]
        self.peaks: list[dict[str, float]] = [{m.name: 0.0 for m in plan.metrics if m.guards} for _ in range(count)]
        self.asked = [0] * count
        self.bucket = random.integers(0, BUCKETS, self.size)
        self.chronic = (random.random(self.size) < crowd.chronic).ravel()
        self.slow = random.normal(0, 0.3, self.size).ravel()  # in logarithms
        self.phase = random.random(count) * 2 * np.pi
        names = ("errors", *QUANTILES, "unhappy")
        self.ever = {name: np.zeros(self.size, bool) for name in names}
        self.in_step = {name: np.zeros(self.size, bool) for name in names}
        self.called = np.zeros((2, *self.size), bool)  # in this step, by arm
        self.reached = np.zeros((2, *self.size), bool)  # in the release, by arm
        self.before = np.zeros((2, *self.size), bool)  # called in the step before
        self.complaints = np.zeros(self.size, bool)  # of the last look, not yet said
        self.moved = np.zeros(count, bool)  # into another step since then

    def run(self) -> list[Run]:
        for number in range(self.crowd.looks):
            self._look(number)
        return [Run(release=r, peaks=p) for r, p in zip(self.releases, self.peaks, strict=True)]

    def _look(self, number: int) -> None:
        crowd, random = self.crowd, self.random
        live = np.array([_is_live(r) for r in self.releases])
        share = np.array([r.current.share for r in self.releases])
        candidate = self.bucket < share[:, None]
        rate = crowd.base_rate * (1 + crowd.drift * np.sin(self.phase + 2 * np.pi * number * crowd.look / 1800))
        owner = np.repeat(np.arange(self.count), random.poisson(crowd.per_second * crowd.look, self.count) * live)
        calls = owner * crowd.users + (crowd.users * random.random(len(owner)) ** crowd.heavy).astype(np.int64)
        on = candidate.ravel()[calls]
        hurt = (random.random((self.count, 1)) < crowd.outage) & (random.random(self.size) < 0.1)
        failed = random.random(len(calls)) < rate[owner] * np.where(on, crowd.worse, 1)
        failed |= self.chronic[calls] | hurt.ravel()[calls]
        latency = random.normal(0, 0.5, len(calls)) + self.slow[calls] + np.where(on, np.log(crowd.slower), 0)
        unhappy = random.random(len(calls)) < crowd.unhappy * np.where(on, crowd.unhappier, 1)
        hits = {"errors": failed}
        for name, quantile in QUANTILES.items():
            hits[name] = ~failed & (latency > np.log(1.25) + _normal(quantile) * np.hypot(0.5, 0.3))
        seen = {"errors": self._users(calls), **dict.fromkeys(QUANTILES, self._users(calls[~failed]))}
        self.called |= np.stack([seen["errors"] & ~candidate, seen["errors"] & candidate])
        self.reached |= self.called
        cohorts = self._late()
        found = {
            name: self._tallies(name, seen[name], self._users(calls[hit]), candidate) for name, hit in hits.items()
        }
        self.complaints = self._users(calls[unhappy])
        self._judge(number, live, found, cohorts)

    def _users(self, calls: Ints) -> Bools:
        flags = np.zeros(self.size, bool)
        flags.ravel()[calls] = True
        return flags

    def _tallies(self, name: str, seen: Bools, hit: Bools, candidate: Bools) -> list[tuple[Tally, Tally]]:
        release = tallies(seen, hit, candidate, self.ever[name])
        return list(zip(release, tallies(seen, hit, candidate, self.in_step[name]), strict=True))

    def _late(self) -> list[tuple[Tally, Tally]]:
        """What was said about the look before: among all who called in its step, which may be over."""
        called = np.where(self.moved[:, None], self.before, self.called)
        return self._tallies("unhappy", called[0] | called[1], self.complaints & (called[0] | called[1]), called[1])

    def _judge(
        self, number: int, live: Bools, found: dict[str, list[tuple[Tally, Tally]]], late: list[tuple[Tally, Tally]]
    ) -> None:
        exposed = [counts.tolist() for counts in np.count_nonzero(self.called, axis=2)]
        called = [counts.tolist() for counts in np.count_nonzero(self.reached, axis=2)]
        pairs = self.random.poisson(self.crowd.per_second * self.crowd.look / 4, self.count)
        flips = self.random.binomial(pairs, self.crowd.flips)
        moved = np.zeros(self.count, bool)
        for n in np.flatnonzero(live).tolist():
            release, end = self.releases[n], (number + 1) * self.crowd.look
            whole, step = ({name: each[n][scope] for name, each in found.items()} for scope in (0, 1))
            units = exposed[1][n]
            if release.current.kind is StepKind.SHADOW:
                tally = Tally(candidate_units=int(pairs[n]), candidate_events=int(flips[n]))
                whole, step = ({**each, "flips": tally} for each in (whole, step))
                units = release.step_units + int(pairs[n])
            about = release.step - bool(self.moved[n])
            cohort = Cohort(step=about, release=late[n][0], step_wise=late[n][1])
            interval = Interval(
                start=end - self.crowd.look,
                end=end,
                step=release.step,
                candidate_units=units,
                failures_in_row=0,
                release=whole,
                step_wise=step,
                late=(cohort,) if late[n][0].baseline_units + late[n][0].candidate_units else (),
                cuts=dict.fromkeys(QUANTILES, 1.0),
                called=(called[0][n], called[1][n]),
                exposed=(exposed[0][n], exposed[1][n]),
            )
            now = self._approve(n, advance(release, interval, end).release, end)
            moved[n] = now.step != release.step
            self.releases[n] = now
            for name, most in self.peaks[n].items():
                self.peaks[n][name] = max(most, evalue.harm((now.evidence or {})[name]))
        self._begin_steps(moved)

    def _approve(self, number: int, release: Release, now: float) -> Release:
        if release.phase is not Phase.PAUSED or release.current.kind is not StepKind.APPROVAL:
            return release
        self.asked[number] += 1
        if self.asked[number] % APPROVED_AFTER:
            return release
        return resumed(release, now)

    def _begin_steps(self, moved: Bools) -> None:
        self.before[:, moved] = self.called[:, moved]
        self.called[:, moved] = False
        for counted in self.in_step.values():
            counted[moved] = False
        self.moved = moved


def _is_live(release: Release) -> bool:
    """A person who is asked for a verdict, not for an approval, is where a simulated release ends."""
    waits = release.phase is Phase.PAUSED and release.current.kind is not StepKind.APPROVAL
    return not release.phase.ended and not waits


def _new(plan: ReleasePlan, number: int) -> Release:
    first = plan.steps[0]
    return Release(
        id=f"rel_{number}",
        endpoint="digits",
        baseline="v1",
        candidate="v2",
        candidate_uri="models:/digits/2",
        plan=plan,
        phase=Phase.PROGRESSING,
        created=0.0,
        actor="ann",
        evidence={m.name: learn.begin(m, plan.steps) for m in plan.metrics},
        history=(Event(time=0.0, name="started", detail="", actor="ann", share=first.share),),
    )


def _normal(quantile: float) -> float:
    return {0.50: 0.0, 0.90: 1.2816, 0.99: 2.3263}[quantile]


def with_alpha(plan: ReleasePlan, alpha: float) -> ReleasePlan:
    return replace(plan, alpha=alpha)
