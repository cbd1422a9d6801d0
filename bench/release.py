"""The release statistics beside common rules, on the same simulated streams: `python -m bench.release [RELEASES]`.

Prints the tables of docs/design/release-statistics.md.

*Rules* look every ten seconds at 20 requests/s with 10 % on the candidate for an hour; base failures 0.5 %, drifting by
±30 %. *Strategies* are whole releases, decided by the engine, of bench/strategies.py's crowd. *Means* are scores of
bench/scores.py's users, looked at after each one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log, sqrt
from statistics import median

import numpy as np

from bench.scores import Scored, ScoreScene, ratings, scored, thumbs
from bench.strategies import Crowd, runs, with_alpha
from bench.streams import Look, Scene, releases
from bench.switches import After, harm_of, stretches
from headrace.release import betting, evalue
from headrace.release.arms import guesses, terms
from headrace.release.logs import mean
from headrace.release.plans import default_plan, plan_from
from headrace.types.release import Phase
from headrace.types.strategy import Strategy

Rule = Callable[[list[Look]], float | None]  # when it rolls back, in seconds; None: never

ALPHA = 0.05


def e_value(threshold: float, *, steps: int = 1) -> Rule:
    """Headrace's, for one metric that rolls back at this logarithm."""

    def when(seen: list[Look]) -> float | None:
        return next((end for end, harm in harms(seen, steps=steps) if harm >= threshold), None)

    return when


def peak(seen: list[Look], *, steps: int) -> float:
    """The largest logarithm of the e-value of harm on the way, for one metric."""
    return max((harm for _, harm in harms(seen, steps=steps)), default=0.0)


def harms(seen: list[Look], *, steps: int) -> Iterator[tuple[float, float]]:
    """After each look that has seen an event: when it ended, and what evalue.harm says."""
    scopes = evalue.scopes_of(steps, alone=False)
    release, each = evalue.NO_HARM, [evalue.NO_HARM] * steps
    for look in seen:
        if not (look.step_wise.baseline_events or look.step_wise.candidate_events):
            continue  # nobody's first in the step, so nobody's first in the release
        release = evalue.add_harm(release, look.release)
        each[look.step] = evalue.add_harm(each[look.step], look.step_wise)
        parts = ((scopes.step, mean(logs)) for logs in each)
        yield look.end, evalue.largest((scopes.release, mean(release)), *parts)


def peeked_z(seen: list[Look]) -> float | None:
    """A one-sided two-proportion z-test at 5 %, asked again at each look."""
    requests, failures = [0, 0], [0, 0]
    for look in seen:
        for arm in (0, 1):
            requests[arm] += look.requests[arm]
            failures[arm] += look.failures[arm]
        if not all(requests) or not sum(failures):
            continue
        pooled = sum(failures) / sum(requests)
        spread = sqrt(pooled * (1 - pooled) * (1 / requests[0] + 1 / requests[1]))
        if spread and (failures[1] / requests[1] - failures[0] / requests[0]) / spread > 1.645:
            return look.end
    return None


def fixed_threshold(seen: list[Look]) -> float | None:
    """Roll back when more than 1 % of the candidate's requests of the last five minutes failed."""
    for number in range(29, len(seen)):
        window = seen[number - 29 : number + 1]
        requests, failures = (sum(getattr(look, what)[1] for look in window) for what in ("requests", "failures"))
        if requests and failures / requests > 0.01:
            return seen[number].end
    return None


def flagger(seen: list[Look]) -> float | None:
    """Flagger's default: a success rate below 99 % in a minute is a strike, five strikes roll back."""
    strikes = 0
    for number in range(5, len(seen), 6):
        window = seen[number - 5 : number + 1]
        requests, failures = (sum(getattr(look, what)[1] for look in window) for what in ("requests", "failures"))
        strikes += bool(requests and failures / requests > 0.01)
        if strikes >= 5:
            return seen[number].end
    return None


def in_default_plan(alpha: float) -> float:
    """Where the metric `errors` rolls back when it shares α with the other critical metrics of the default plan."""
    plan = replace(default_plan(), alpha=alpha)
    return evalue.roll_back_at(next(m for m in plan.metrics if m.name == "errors"), plan)


RULES: dict[str, Rule] = {
    "one-sided z-test at 5 %, peeked": peeked_z,
    "more than 1 % in 5 minutes": fixed_threshold,
    "Flagger: below 99 %, five strikes": flagger,
    "Headrace, one metric, α = 5 %": e_value(log(1 / ALPHA)),
    "Headrace, one metric, α = 1 %": e_value(log(100)),
    "Headrace, default plan, α = 5 %": e_value(in_default_plan(ALPHA)),
}


def table(count: int) -> str:
    ratios = (1.0, 2.0, 4.0, 10.0)
    lines = [
        "| rule | rolls back a harmless release | failures x2 | x4 | x10 |",
        "|---|--:|--:|--:|--:|",
    ]
    streams = {r: list(releases(Scene(ratio=r), count if r == 1 else count // 5)) for r in ratios}
    for name, rule in RULES.items():
        cells = []
        for ratio in ratios:
            ends = [rule(seen) for seen in streams[ratio]]
            stopped = [end for end in ends if end is not None]
            share = f"{100 * len(stopped) / len(ends):.1f} %"
            cells.append(share if ratio == 1 else f"{share}, {median(stopped):.0f} s" if stopped else share)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def strategy_table(count: int) -> str:
    lines = [
        "| strategy | rolls back a harmless release, α = 5 % | α = 1 % | failures x4 | x10 |",
        "|---|--:|--:|--:|--:|",
    ]
    for strategy in Strategy:
        plan = plan_from(
            {"strategy": strategy.value, "alpha": 0.01, "min_units": 1200 if strategy is Strategy.AB else 5}
        )
        crowd = Crowd(look=20, looks=60)
        harmless = list(runs(plan, crowd, count))
        cells = [
            f"{100 * sum(run.rolls_back(with_alpha(plan, alpha)) for run in harmless) / count:.1f} %"
            for alpha in (0.05, 0.01)
        ]
        for ratio in (4.0, 10.0):
            found = list(runs(with_alpha(plan, 0.05), replace(crowd, worse=ratio), count // 5))
            ends = [run.release.ended for run in found if run.release.phase is Phase.ROLLED_BACK]
            share = f"{100 * len(ends) / len(found):.0f} %"
            cells.append(f"{share}, {median(ends):.0f} s" if ends else share)
        lines.append(f"| {strategy.value} | {' | '.join(cells)} |")
    return "\n".join(lines)


AFTER = {
    "alike": After(heavy=1.0),
    "some call far more, 5 % always complain": After(heavy=3.0, chronic=0.05),
    "the rate rises by a fifth in the watch": After(drift=0.2),
}


def switch_table(count: int) -> str:
    """Feedback after a switch, as one metric."""
    lines = [
        "| 3,000 users, preview 60 s, watch 300 s | goes back at α = 5 % | α = 1 % | unhappy x2 | x4 |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, crowd in AFTER.items():
        peaks = [harm_of(groups) for groups in stretches(crowd, count)]
        cells = [sum(each >= log(1 / alpha) for each in peaks) / count for alpha in (0.05, 0.01)]
        for worse in (2.0, 4.0):
            found = [harm_of(groups) for groups in stretches(replace(crowd, worse=worse), count // 5)]
            cells.append(sum(each >= log(20) for each in found) / len(found))
        lines.append(f"| {name} | {' | '.join(f'{100 * cell:.1f} %' for cell in cells)} |")
    return "\n".join(lines)


MEANS = {
    "thumbs, 3 % down": (ScoreScene(draw=thumbs, mean=0.03, alike=0.01), 0.06),
    "thumbs, 40 % down": (ScoreScene(draw=thumbs, mean=0.4), 0.1),
    "ratings, users of a group alike": (ScoreScene(draw=ratings, alike=0.2), 0.05),
}


def mean_table(count: int) -> str:
    """1,500 scores each, over a ramp of 1 → 5 → 25 → 50 %."""
    lines = [
        "| metric | peeked t-test at 5 % | bets, α = 5 % | α = 1 % | found of a difference |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, (scene, effect) in MEANS.items():
        harmless = [scored(scene, seed) for seed in range(count)]
        peaks = [peak_of_bets(stream) for stream in harmless]
        found = [peak_of_bets(scored(replace(scene, effect=effect), seed)) for seed in range(count // 5)]
        cells = [
            sum(map(peeked_t, harmless)) / count,
            sum(each >= log(20) for each in peaks) / count,
            sum(each >= log(100) for each in peaks) / count,
        ]
        power = f"{effect:g}: {100 * sum(each >= log(20) for each in found) / len(found):.0f} %"
        lines.append(f"| {name} | {' | '.join(f'{100 * cell:.1f} %' for cell in cells)} | {power} |")
    return "\n".join(lines)


def peak_of_bets(stream: Scored) -> float:
    """The largest logarithm of the e-value of harm on the way."""
    guess = guesses(stream.values, total=0.5, units=1)
    logs, _ = betting.factors(terms(stream.candidate, stream.values, guess, stream.share), guess, stream.share, 0.0)
    return float((np.logaddexp.reduce(np.cumsum(logs, axis=1)) - log(len(logs))).max())


def peeked_t(stream: Scored) -> bool:
    """A one-sided Welch test of the raw means at 5 %, asked again after each score, from the tenth of either arm on."""
    sums = []
    for arm in (~stream.candidate, stream.candidate):
        units = np.cumsum(arm)
        mean = np.cumsum(stream.values * arm) / np.maximum(units, 1)
        square = np.cumsum(stream.values**2 * arm) / np.maximum(units, 1)
        sums.append((units, mean, np.maximum(square - mean**2, 0) / np.maximum(units - 1, 1)))
    (b_units, b_mean, b_error), (c_units, c_mean, c_error) = sums
    spread = np.sqrt(b_error + c_error)
    ready = (np.minimum(b_units, c_units) >= 10) & (spread > 0)
    return bool(((c_mean - b_mean)[ready] > 1.645 * spread[ready]).any())


def main(count: int) -> None:
    for made in (table, strategy_table, mean_table, switch_table):
        sys.stdout.write(made(count) + "\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
