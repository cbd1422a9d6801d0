"""All gates of a release, one after the other: `run_gates`.

Called by start.py when the candidate is loaded everywhere and before its first share. Decides that a gate which cannot
do its work has failed: nobody gets traffic because a check fell over. Ignores what a gate looks at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from headrace.release.gates.base import Gate, all_gates, failed, skipped
from headrace.release.gates.trial import CandidateTrial
from headrace.release.parts import Parts, Progress
from headrace.types.endpoint import Endpoint, Task
from headrace.types.errors import HeadraceError, ModelRefused
from headrace.types.gate import GateResult
from headrace.types.release import Release

FOR_ALL = ("policy",)  # those that ask nothing of a tensor


def run_gates(
    parts: Parts, release: Release, endpoint: Endpoint, *, candidate: str, progress: Progress
) -> tuple[GateResult, ...]:
    """In order; all of them, so that a person sees everything at once. Empty when the endpoint wants none. `endpoint`
    as it is in the plan that the data planes run, with the candidate among its variants."""
    if not endpoint.gates.enabled:
        return ()
    trial = CandidateTrial(parts, release, endpoint, candidate=candidate)
    for name, gate in all_gates().items():
        began = parts.clock.steady()
        if endpoint.task is Task.CHAT and name not in FOR_ALL:
            continue  # a chat model has no tensors
        result = skipped(name, "the endpoint skips it") if name in endpoint.gates.skip else _run(name, gate, trial)
        result = replace(result, endpoint=endpoint.name, seconds=round(parts.clock.steady() - began, 3))
        progress(f"gate {name}: {result.outcome.value}: {result.detail}")
        trial.results.append(result)
    return tuple(trial.results)


def check_gates(results: Iterable[GateResult]) -> None:
    """Raises ModelRefused naming the first gate that failed, and its row."""
    found = next((result for result in results if not result.passed), None)
    if found is not None:
        row = f"; the row: {found.row}" if found.row else ""
        raise ModelRefused(
            f"gate {found.name!r} failed, no traffic has changed: {found.detail}{row}",
            field=found.name,
            hint="headrace release status shows all gates",
        )


def _run(name: str, gate: Gate, trial: CandidateTrial) -> GateResult:
    try:
        return gate(trial)
    except HeadraceError as error:
        return failed(name, f"it could not do its work: {error.sentence()}")
