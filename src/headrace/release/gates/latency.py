"""A row alone is answered within the endpoint's time budget. Without one it says what it measured, beside the live
version's figures."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.release.gates.base import Asked, Trial, failed, passed, register, skipped, unanswerable
from headrace.types.gate import GateResult

NAME = "latency"


def latency(trial: Trial) -> GateResult:
    if (without := unanswerable(NAME, trial)) is not None:
        return without
    answered = [(row, asked) for row, asked in zip(trial.rows, trial.candidate(), strict=True) if not asked.error]
    if not answered:
        return skipped(NAME, "no row is answered")
    p50, p99 = (quantile([asked for _, asked in answered], q) for q in (0.5, 0.99))
    told = f"{len(answered)} rows alone: p50 {p50:.3g} ms, p99 {p99:.3g} ms"
    if live := [asked for asked in trial.baseline() if not asked.error]:
        told += f" ({trial.names[0]}: {quantile(live, 0.5):.3g} ms, {quantile(live, 0.99):.3g} ms)"
    if trial.wanted.max_p99_ms and p99 > trial.wanted.max_p99_ms:
        slowest = max(answered, key=lambda pair: pair[1].ms)[0]
        return failed(NAME, f"{told}; allowed: p99 {trial.wanted.max_p99_ms:g} ms", slowest)
    return passed(NAME, told)


def quantile(asked: Sequence[Asked], q: float) -> float:
    ordered = sorted(one.ms for one in asked)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


register(NAME, latency)
