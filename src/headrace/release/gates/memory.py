"""Loading the candidate took no more memory than the endpoint allows. The data plane measures it while it loads, model
hosts included; what else was loaded at that moment blurs it."""

from __future__ import annotations

from headrace.release.gates.base import Trial, failed, passed, register, skipped
from headrace.types.gate import GateResult

NAME = "memory"


def memory(trial: Trial) -> GateResult:
    found = trial.memory_mb()
    if found is None:
        return skipped(NAME, "no data plane says how much it took")
    limit = trial.wanted.max_memory_mb
    if limit and found > limit:
        return failed(NAME, f"loading it took {found} MiB; allowed: {limit} MiB")
    return passed(NAME, f"loading it took {found} MiB" + (f" of {limit} MiB" if limit else ""))


register(NAME, memory)
