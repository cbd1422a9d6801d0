"""E-values of a release: how much the evidence speaks against "no difference", valid however often one looks.

Called by advance.py. Pure. docs/design/release-statistics.md derives what stands here and shows it by simulation.

*Harm.* In an interval, n_b and n_c units of baseline and candidate are at risk (seen, and not counted before), and k
of them have their first bad event, K of these on the candidate. Without a difference every unit at risk is as likely
as any other to be among the k, so that K is hypergeometric with mean kq, q = n_c / (n_b + n_c), whatever the base rate,
its drift, the weights, or how unequal units are. For an odds ratio r the factor

    r^K / (1 - q + q r)^k

has an expectation of at most 1 (r^K is convex, and sampling without replacement is dominated by sampling with it:
Hoeffding 1963, theorem 4). Products of such factors, and averages over r, are e-processes: by Ville's inequality the
chance that one ever reaches 1/α is at most α. This is the safe log-rank test (ter Schure, Pérez-Ortiz, Ly,
Grünwald 2021).

*Not worse.* The same against the hypothesis "odds ratio at least `margin`", with alternatives below it.

*Beyond.* Where nobody is left to compare with, against "a candidate's unit has the event with probability at most a
limit": the likelihood ratio of higher rates.

*Tolerable.* Against "a candidate's unit has the event with probability at least τ": a bet of λ on each unit at risk,
(1 + λτ) without and (1 - λ(1-τ)) with the event (Waudby-Smith & Ramdas 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, log, sqrt
from typing import TypeVar

from headrace.release import asymptotic, betting
from headrace.release.logs import mean
from headrace.types.release import MetricEvidence, Tally
from headrace.types.score import Bets, Normal
from headrace.types.strategy import MetricSpec, ReleasePlan

HARM = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)  # odds ratios
SAFE = (0.1, 0.25, 0.5, 0.75, 1.0)  # odds ratios below any margin
BETS = (0.1, 0.25, 0.5, 0.75, 0.95)  # of the largest stake that cannot lose everything

Logs = tuple[float, ...]
State = TypeVar("State", Bets, Normal)
NO_HARM = (0.0,) * len(HARM)


def begin(steps: int) -> MetricEvidence:
    """Of events, before anything was seen: all e-values are 1."""
    safe = (0.0,) * len(SAFE)
    return MetricEvidence(
        harm=NO_HARM,
        harm_steps=(NO_HARM,) * steps,
        not_worse=safe,
        not_worse_step=safe,
        tolerable=(0.0,) * len(BETS),
    )


def add_harm(logs: Logs, tally: Tally) -> Logs:
    share, events = _share(tally), _events(tally)
    return tuple(
        have + tally.candidate_events * log(r) - events * log(1 - share + share * r)
        for have, r in zip(logs, HARM, strict=True)
    )


def add_not_worse(logs: Logs, tally: Tally, margin: float) -> Logs:
    share, events = _share(tally), _events(tally)
    limit = log(1 - share + share * margin)
    return tuple(
        have + tally.candidate_events * log(r / margin) + events * (limit - log(1 - share + share * r))
        for have, r in zip(logs, SAFE, strict=True)
    )


def add_tolerable(logs: Logs, tally: Tally, tolerance: float) -> Logs:
    if not tolerance:
        return logs
    bad, good = tally.candidate_events, tally.candidate_units - tally.candidate_events
    stakes = (bet / (1 - tolerance) for bet in BETS)
    return tuple(
        have + good * log(1 + stake * tolerance) + bad * log(1 - stake * (1 - tolerance))
        for have, stake in zip(logs, stakes, strict=True)
    )


def add_beyond(logs: Logs, tally: Tally, limit: float) -> Logs:
    """Of each alternative the likelihood ratio of the candidate's events; `limit` is a rate in (0, 1)."""
    bad, good = tally.candidate_events, tally.candidate_units - tally.candidate_events
    rates = (r * limit / (1 - limit + r * limit) for r in HARM)
    return tuple(
        have + bad * log(rate / limit) + good * log((1 - rate) / (1 - limit))
        for have, rate in zip(logs, rates, strict=True)
    )


def upper(events: int, units: int, z: float = 1.645) -> float:
    """The upper end of Wilson's score interval of a rate (Wilson 1927); `units` is positive."""
    rate, spread = events / units, z * z / units
    centre = rate + spread / 2
    return min(1.0 - 1e-9, (centre + sqrt(spread * (rate * (1 - rate) + spread / 4))) / (1 + spread))


def harm(evidence: MetricEvidence) -> float:
    """Logarithm of the e-value of harm: half of it the whole release, half the steps, each anew.

    A unit counts once in the release, so that one whose calls always fail is one piece of evidence and not many. But
    then those counted early say nothing later, so each step begins anew as well; one not begun contributes its 1. That
    is an average over scopes, which simulation has to bear out: docs/design/release-statistics.md. Where a rate itself
    is held to a limit (a switch, a shadow's flips), that is a third part of it.
    """
    if evidence.bets:
        return _halves(betting.harm, evidence.bets, evidence.bets_steps)
    if evidence.normal:
        return _halves(asymptotic.harm, evidence.normal, evidence.normal_steps)
    parts = [mean(evidence.harm), mean([mean(logs) for logs in evidence.harm_steps])]
    return mean([*parts, mean(evidence.beyond)] if evidence.beyond else parts)


def proof(evidence: MetricEvidence) -> float:
    """Logarithm of the e-value against "it is harmful", by whichever way shows it: each alone would be enough."""
    if evidence.bets:
        return _halves(betting.not_worse, evidence.bets, evidence.bets_steps)
    if evidence.normal:
        return _halves(asymptotic.not_worse, evidence.normal, evidence.normal_steps)
    return max(not_worse(evidence), tolerable(evidence))


def means(evidence: MetricEvidence) -> Bets | Normal | None:
    """The state of a mean that knows most: of the release, or of a step when it was the same users who came again."""
    states = [evidence.bets, *evidence.bets_steps, evidence.normal, *evidence.normal_steps]
    return max((state for state in states if state), key=lambda state: state.information, default=None)


def not_worse(evidence: MetricEvidence) -> float:
    """Logarithm of the e-value against "worse by the margin"."""
    return mean([mean(evidence.not_worse), mean(evidence.not_worse_step)])


def tolerable(evidence: MetricEvidence) -> float:
    """Logarithm of the e-value against "the rate is above the tolerance"."""
    return mean(evidence.tolerable)


def roll_back_at(spec: MetricSpec, plan: ReleasePlan) -> float:
    """Logarithm of the e-value from which a metric rolls back; infinite for one that is not critical.

    Critical metrics share α by weight (Bonferroni), so that together they roll back a harmless release with at most α.
    """
    if not spec.guards:
        return inf
    total = sum(m.weight for m in plan.metrics if m.guards)
    return log(total / (plan.alpha * spec.weight))


def proven_at(plan: ReleasePlan) -> float:
    """Logarithm of the e-value from which a required metric counts as proven. All must be: no correction is needed."""
    return log(1 / plan.alpha)


def _halves(read: Callable[[State], float], release: State, steps: Sequence[State]) -> float:
    return mean([read(release), mean([read(step) for step in steps])]) if steps else read(release)


def _share(tally: Tally) -> float:
    units = tally.baseline_units + tally.candidate_units
    return tally.candidate_units / units if units else 0.0


def _events(tally: Tally) -> int:
    return tally.baseline_events + tally.candidate_events
