"""The release statistics beside common rules, on the same simulated streams: `python -m bench.release [RELEASES]`.

Prints the table of docs/design/release-statistics.md. All rules look every ten seconds at 20 requests/s with 10 % on
the candidate for an hour; base failures 0.5 %, drifting by ±30 %.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from math import log, sqrt
from statistics import median

from bench.streams import Look, Scene, releases
from headrace.release import evalue
from headrace.release.plans import default_plan
from headrace.types.release import MetricEvidence

Rule = Callable[[list[Look]], float | None]  # when it rolls back, in seconds; None: never

ALPHA = 0.05


def e_value(threshold: float, *, steps: int = 1) -> Rule:
    """Headrace's, for one metric that rolls back at this logarithm."""

    def when(seen: list[Look]) -> float | None:
        evidence = evalue.begin(steps)
        for look in seen:
            evidence = learn(evidence, look)
            if evalue.harm(evidence) >= threshold:
                return look.end
        return None

    return when


def peak(seen: list[Look], *, steps: int) -> float:
    """The largest logarithm of the e-value of harm on the way, for one metric."""
    evidence, most = evalue.begin(steps), 0.0
    for look in seen:
        evidence = learn(evidence, look)
        most = max(most, evalue.harm(evidence))
    return most


def learn(evidence: MetricEvidence, look: Look) -> MetricEvidence:
    steps = list(evidence.harm_steps)
    steps[look.step] = evalue.add_harm(steps[look.step], look.step_wise)
    return replace(evidence, harm=evalue.add_harm(evidence.harm, look.release), harm_steps=tuple(steps))


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


if __name__ == "__main__":
    sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000) + "\n")
