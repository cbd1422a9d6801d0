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
    return Judged(
        gate="golden",
        passed=gain.rows >= flywheel.gates.min_golden and gain.high <= margin,
        says=f"{_words(gain)}; at most {margin:+.3f} is allowed, and it may be up to {gain.high:+.3f}",
    )


def _fresh(flywheel: Flywheel, fresh: Gain, golden: Gain) -> list[Judged]:
    if flywheel.gates.fresh is Proof.NOT_WORSE:
        passed = fresh.rows > 0 and fresh.high <= flywheel.gates.margin
        return [Judged(gate="fresh", passed=passed, says=f"{_words(fresh)}; not worse is enough")]
    better, worse = fresh.better + golden.better, fresh.worse + golden.worse
    found, needed = evidence(better, worse), 1 / flywheel.alpha
    says = f"better on {better} rows, worse on {worse}: evidence {_short(found)}, {needed:.0f} is needed"
    return [
        Judged(gate="fresh", passed=fresh.low <= 0, says=_words(fresh)),
        Judged(gate="better", passed=found >= needed, says=says),
    ]


def _must(gain: Gain) -> Judged:
    return Judged(
        gate="must",
        passed=gain.candidate == 0,
        says=f"{gain.candidate:.1%} of {gain.rows} rows that have to be right are not",
    )


def _slices(flywheel: Flywheel, gains: Sequence[Gain]) -> Judged:
    """An interval that lies above the margin is a label that got worse for sure."""
    margin = flywheel.gates.slice_margin
    worse = [gain for gain in gains if gain.low > 0 and gain.difference > margin]
    worst = max(gains, key=lambda gain: gain.difference)
    says = "; ".join(f"{gain.on} {_words(gain)}" for gain in worse) or f"worst is {worst.on}, {_words(worst)}"
    return Judged(gate="slices", passed=not worse, says=says)


def _latency(flywheel: Flywheel, measured: Measured) -> Judged:
    most = flywheel.gates.max_latency
    times = measured.candidate_ms / measured.baseline_ms if measured.baseline_ms else inf
    small = measured.candidate_ms - measured.baseline_ms < _SHORT_MS
    return Judged(
        gate="latency",
        passed=measured.candidate_ms > 0 and (small or times <= most),
        says=f"a row takes {measured.candidate_ms:.2f} ms, the live version {measured.baseline_ms:.2f} ms",
    )


def _bounds(flywheel: Flywheel, measured: Measured) -> list[Judged]:
    gates = flywheel.gates
    found = []
    if gates.max_train_seconds:
        says = f"training took {measured.seconds:.1f} s of {gates.max_train_seconds:g}"
        found.append(Judged(gate="time", passed=measured.seconds <= gates.max_train_seconds, says=says))
    if gates.max_cost:
        says = f"training has cost {measured.cost:g} of {gates.max_cost:g}"
        found.append(Judged(gate="cost", passed=measured.cost <= gates.max_cost, says=says))
    return found


def _words(gain: Gain) -> str:
    return f"{gain.baseline:.3f} → {gain.candidate:.3f} ({gain.difference:+.3f} on {gain.rows} rows)"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}" if value < 1e6 else f"{value:.0e}"
