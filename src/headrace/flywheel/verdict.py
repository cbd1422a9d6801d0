"""Whether a candidate may go on: every gate, and what it says. Pure; called by steps/gate.py.

    golden      not worse by more than the margin: the interval's upper end says so
    fresh       not surely worse; or, where that is enough for a release, not worse by more than the margin
    better      unless not worse is enough: of the golden and fresh rows that are answered otherwise, so many for the
                better that the e-value is 1/alpha
    must        every row that has to be right is right
    slices      no label whose rows are surely worse by more than the slice margin
    latency     a single row takes at most so many times as long
    time, cost  of the training, where bounds are set

What was not measured does not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from headrace.flywheel.looks import evidence
from headrace.types.turn import Flywheel, Gain, Judged, Proof

# What gates say. The console says the same in other languages.
FORMS = {
    "golden": "{live} → {candidate} ({difference} on {rows} rows); at most {margin} is allowed, "
    "and it may be up to {high}",
    "not_worse": "{live} → {candidate} ({difference} on {rows} rows); not worse by more than {margin} is enough, "
    "and it may be up to {high}",
    "fresh": "{live} → {candidate} ({difference} on {rows} rows)",
    "better": "better on {better} rows, worse on {worse}: evidence {evidence}, {needed} is needed",
    "must": "{share} of {rows} rows that have to be right are not",
    "slices": "the worst is {slice}",
    "slices_worse": "surely worse: {slices}",
    "latency": "a row takes {candidate} ms, the live version {live} ms",
    "time": "training took {took} s of {most}",
    "cost": "training has cost {cost} of {most}",
}
_SHORT_MS = 0.5  # differences below this are the machine's, not the model's


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    gains: Sequence[Gain]
    baseline_ms: float
    candidate_ms: float
    seconds: float
    cost: float


def judge(flywheel: Flywheel, measured: Measured) -> tuple[Judged, ...]:
    by_name = {gain.on: gain for gain in measured.gains}
    slices = [gain for gain in measured.gains if "=" in gain.on]
    found = [
        _golden(flywheel, by_name["golden"]),
        *_fresh(flywheel, by_name["fresh"], by_name["golden"]),
        *([_must(by_name["must"])] if by_name["must"].rows else []),
        *([_slices(flywheel, slices)] if slices else []),
        _latency(flywheel, measured),
        *_bounds(flywheel, measured),
    ]
    return tuple(found)


def _golden(flywheel: Flywheel, gain: Gain) -> Judged:
    margin = flywheel.gates.margin
    passed = gain.rows >= flywheel.gates.min_golden and gain.high <= margin
    return _judged("golden", "golden", passed, **_told(gain), margin=f"{margin:+.3f}", high=f"{gain.high:+.3f}")


def _fresh(flywheel: Flywheel, fresh: Gain, golden: Gain) -> list[Judged]:
    if flywheel.gates.fresh is Proof.NOT_WORSE:
        margin = flywheel.gates.margin
        bounds = {"margin": f"{margin:+.3f}", "high": f"{fresh.high:+.3f}"}
        return [_judged("fresh", "not_worse", fresh.rows > 0 and fresh.high <= margin, **_told(fresh), **bounds)]
    better, worse = fresh.better + golden.better, fresh.worse + golden.worse
    found, needed = evidence(better, worse), 1 / flywheel.alpha
    proof = {"better": str(better), "worse": str(worse), "evidence": _short(found), "needed": f"{needed:.0f}"}
    return [
        _judged("fresh", "fresh", fresh.low <= 0, **_told(fresh)),
        _judged("better", "better", found >= needed, **proof),
    ]


def _must(gain: Gain) -> Judged:
    return _judged("must", "must", gain.candidate == 0, share=f"{gain.candidate:.1%}", rows=str(gain.rows))


def _slices(flywheel: Flywheel, gains: Sequence[Gain]) -> Judged:
    """An interval that lies above the margin is a label that got worse for sure."""
    margin = flywheel.gates.slice_margin
    worse = [gain for gain in gains if gain.low > 0 and gain.difference > margin]
    if worse:
        return _judged("slices", "slices_worse", False, slices="; ".join(_slice(gain) for gain in worse))
    return _judged("slices", "slices", True, slice=_slice(max(gains, key=lambda gain: gain.difference)))


def _latency(flywheel: Flywheel, measured: Measured) -> Judged:
    most = flywheel.gates.max_latency
    times = measured.candidate_ms / measured.baseline_ms if measured.baseline_ms else inf
    small = measured.candidate_ms - measured.baseline_ms < _SHORT_MS
    passed = measured.candidate_ms > 0 and (small or times <= most)
    took = {"candidate": f"{measured.candidate_ms:.2f}", "live": f"{measured.baseline_ms:.2f}"}
    return _judged("latency", "latency", passed, **took)


def _bounds(flywheel: Flywheel, measured: Measured) -> list[Judged]:
    gates = flywheel.gates
    found = []
    if gates.max_train_seconds:
        took = {"took": f"{measured.seconds:.1f}", "most": f"{gates.max_train_seconds:g}"}
        found.append(_judged("time", "time", measured.seconds <= gates.max_train_seconds, **took))
    if gates.max_cost:
        cost = {"cost": f"{measured.cost:g}", "most": f"{gates.max_cost:g}"}
        found.append(_judged("cost", "cost", measured.cost <= gates.max_cost, **cost))
    return found


def _judged(gate: str, form: str, passed: bool, **given: str) -> Judged:
    return Judged(gate=gate, passed=passed, says=FORMS[form].format(**given), form=form, given=given)


def _told(gain: Gain) -> dict[str, str]:
    return {
        "live": f"{gain.baseline:.3f}",
        "candidate": f"{gain.candidate:.3f}",
        "difference": f"{gain.difference:+.3f}",
        "rows": str(gain.rows),
    }


def _slice(gain: Gain) -> str:
    """The same in every language."""
    return f"{gain.on}: {gain.baseline:.3f} → {gain.candidate:.3f} ({gain.difference:+.3f}, n = {gain.rows})"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}" if value < 1e6 else f"{value:.0e}"
