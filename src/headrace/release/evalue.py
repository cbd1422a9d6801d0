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

*Changed.* Harm as above, but of units before a switch and after it, against "odds ratio at most `margin`". Without the
draw of a hash this rests on both being from one crowd. The generating function of K has real roots only, and the
logarithm of a factor is concave in their q, so the expectation is at most 1 here too.

*Beyond.* Where nobody is left to compare with, against "a candidate's unit has the event with probability at most a
limit": the likelihood ratio of higher rates. `add_block` bounds it, so that some stretches of time may be as bad as
they like (Huber's censored likelihood ratio; as an e-value Saha & Ramdas 2024).

*Tolerable.* Against "a candidate's unit has the event with probability at least τ": a bet of λ on each unit at risk,
(1 + λτ) without and (1 - λ(1-τ)) with the event (Waudby-Smith & Ramdas 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf, log, sqrt
from typing import TypeVar

from headrace.release import asymptotic, betting
from headrace.release.logs import mean
from headrace.types.release import MetricEvidence, Scopes, Tally
from headrace.types.score import Bets, Normal
from headrace.types.strategy import MetricSpec, ReleasePlan

HARM = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)  # odds ratios
SAFE = (0.1, 0.25, 0.5, 0.75, 1.0)  # odds ratios below any margin
OUTAGES = 0.05  # of the stretches after a switch in which anything may happen
CAP = 6.0  # of the factor of one of them
BETS = (0.1, 0.25, 0.5, 0.75, 0.95)  # of the largest stake that cannot lose everything

_LOG_HARM = tuple(log(r) for r in HARM)
_MORE_HARM = tuple(r - 1 for r in HARM)
_LOG_SAFE = tuple(log(r) for r in SAFE)
_MORE_SAFE = tuple(r - 1 for r in SAFE)

Logs = tuple[float, ...]
State = TypeVar("State", Bets, Normal)
NO_HARM = (0.0,) * len(HARM)


def begin(steps: int, scopes: Scopes | None = None) -> MetricEvidence:
    """Of events, before anything was seen: all e-values are 1. Without `scopes` each step compares."""
    safe = (0.0,) * len(SAFE)
    return MetricEvidence(
        scopes=scopes or scopes_of(steps, alone=False),
        harm=NO_HARM,
        harm_steps=(NO_HARM,) * steps,
        not_worse=safe,
        not_worse_step=safe,
        tolerable=(0.0,) * len(BETS),
    )


def scopes_of(comparing: int, *, alone: bool) -> Scopes:
    """`comparing`: steps with both versions; of a single one the step and the release are the same. `alone`: there is
    a test without anybody to compare with."""
    release, steps = float(comparing > 0), float(comparing > 1)
    whole = (release + steps + alone) or 1.0
    return Scopes(release=release / whole, step=steps / max(1, comparing) / whole, alone=alone / whole)


def add_harm(logs: Logs, tally: Tally) -> Logs:
    share, events = _share(tally), _events(tally)
    if not events:
        return logs
    on = tally.candidate_events
    parts = zip(logs, _LOG_HARM, _MORE_HARM, strict=True)
    return tuple([have + on * log_r - events * log(1 + share * more) for have, log_r, more in parts])


def add_not_worse(logs: Logs, tally: Tally, margin: float) -> Logs:
    share, events = _share(tally), _events(tally)
    if not events:
        return logs
    on, log_margin, limit = tally.candidate_events, log(margin), log(1 + share * (margin - 1))
    parts = zip(logs, _LOG_SAFE, _MORE_SAFE, strict=True)
    return tuple(
        [have + on * (log_r - log_margin) + events * (limit - log(1 + share * more)) for have, log_r, more in parts]
    )


def add_tolerable(logs: Logs, tally: Tally, tolerance: float) -> Logs:
    if not tolerance:
        return logs
    bad, good = tally.candidate_events, tally.candidate_units - tally.candidate_events
    wins, losses = _stakes(tolerance)
    return tuple([have + good * win + bad * loss for have, win, loss in zip(logs, wins, losses, strict=True)])


def add_beyond(logs: Logs, tally: Tally, limit: float) -> Logs:
    """Of each alternative the likelihood ratio of the candidate's events; `limit` is a rate in (0, 1)."""
    bad, good = tally.candidate_events, tally.candidate_units - tally.candidate_events
    rates = (r * limit / (1 - limit + r * limit) for r in HARM)
    return tuple(
        have + bad * log(rate / limit) + good * log((1 - rate) / (1 - limit))
        for have, rate in zip(logs, rates, strict=True)
    )


def add_block(logs: Logs, tally: Tally, limit: float) -> Logs:
    """Of a stretch of time, for all that its units had in common: an outage hits many at once, and in one of OUTAGES.
    With that chance the factor may be CAP whatever the candidate does, and so it is divided by what that could bring.
    """
    if not tally.candidate_units:
        return logs
    price = log(1 - OUTAGES + OUTAGES * CAP)
    alone = add_beyond((0.0,) * len(logs), tally, limit)
    return tuple(have + min(each, log(CAP)) - price for have, each in zip(logs, alone, strict=True))


def add_changed(logs: Logs, tally: Tally, margin: float) -> Logs:
    """Of units before ("baseline") and after ("candidate") a switch; `margin` is at least 1."""
    share, events = _share(tally), _events(tally)
    limit = log(1 - share + share * margin)
    return tuple(
        have + tally.candidate_events * log(r) - events * (log(1 - share + share * r * margin) - limit)
        for have, r in zip(logs, HARM, strict=True)
    )


def upper(events: int, units: int, z: float = 1.645) -> float:
    """The upper end of Wilson's score interval of a rate (Wilson 1927); `units` is positive."""
    rate, spread = events / units, z * z / units
    centre = rate + spread / 2
    return min(1.0 - 1e-9, (centre + sqrt(spread * (rate * (1 - rate) + spread / 4))) / (1 + spread))


def harm(evidence: MetricEvidence) -> float:
    """Logarithm of the evidence of harm; it reaches log(1/α) with a probability of at most α.

    A unit counts once in the release, so that one whose calls always fail is one piece of evidence and not many. But
    then those counted early say nothing later, so each step begins anew as well. Each scope is an e-process, though not
    of one filtration with the others, so they are not averaged: each has its part of α, and the largest e-value times
    its part is what counts. By the union bound that is valid at all times: docs/design/release-statistics.md.
    """
    scopes = evidence.scopes
    if evidence.bets:
        found = _of_means(betting.harm, evidence.bets, evidence.bets_steps, evidence.bets_after)
    elif evidence.normal:
        found = _of_means(asymptotic.harm, evidence.normal, evidence.normal_steps, evidence.normal_after)
    else:
        found = mean(evidence.harm), [mean(logs) for logs in evidence.harm_steps], mean(evidence.beyond)
    release, steps, alone = found
    return largest((scopes.release, release), *((scopes.step, each) for each in steps), (scopes.alone, alone))


def proof(evidence: MetricEvidence) -> float:
    """Logarithm of the evidence against "it is harmful", by whichever way shows it: each alone would be enough."""
    scopes = evidence.scopes
    if evidence.bets:
        release, steps, _ = _of_means(betting.not_worse, evidence.bets, evidence.bets_steps, None)
    elif evidence.normal:
        release, steps, _ = _of_means(asymptotic.not_worse, evidence.normal, evidence.normal_steps, None)
    else:
        return max(not_worse(evidence), tolerable(evidence))
    if not scopes.step:
        return release
    return largest((0.5, release), *((scopes.step / scopes.release / 2, each) for each in steps))


def means(evidence: MetricEvidence) -> Bets | Normal | None:
    """The state of a mean that knows most: of the release, or of a step when it was the same users who came again."""
    bets = (evidence.bets, *evidence.bets_steps, evidence.bets_after)
    normal = (evidence.normal, *evidence.normal_steps, evidence.normal_after)
    states = [*bets, *normal]
    return max((state for state in states if state), key=lambda state: state.information, default=None)


def not_worse(evidence: MetricEvidence) -> float:
    """Logarithm of the e-value against "worse by the margin"."""
    whole, step = mean(evidence.not_worse), mean(evidence.not_worse_step)
    return largest((0.5, whole), (0.5, step)) if evidence.scopes.step else whole


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


def _of_means(
    read: Callable[[State], float], release: State, steps: Sequence[State], after: State | None
) -> tuple[float, list[float], float]:
    return read(release), [read(step) for step in steps], read(after) if after else 0.0


def largest(*parts: tuple[float, float]) -> float:
    """Of weights and logarithms; never below 0, which is where all begin and what says nothing."""
    return max([0.0, *(log(weight) + each for weight, each in parts if weight)])


@lru_cache(maxsize=64)
def _stakes(tolerance: float) -> tuple[Logs, Logs]:
    """Of each bet the logarithm of what a unit without the event brings, and one with it."""
    stakes = [bet / (1 - tolerance) for bet in BETS]
    return tuple(log(1 + s * tolerance) for s in stakes), tuple(log(1 - s * (1 - tolerance)) for s in stakes)


def _share(tally: Tally) -> float:
    units = tally.baseline_units + tally.candidate_units
    return tally.candidate_units / units if units else 0.0


def _events(tally: Tally) -> int:
    return tally.baseline_events + tally.candidate_events
