"""How the candidate's answers differ from those of the version that it would replace, on the same rows.

Report only, unless the endpoint says that answers may not differ: a retrained model is another model.
"""

from __future__ import annotations

from headrace.release.gates.alike import differing, same, shown
from headrace.release.gates.base import Trial, failed, noted, passed, register, skipped, unanswerable
from headrace.types.gate import GateResult

NAME = "parity"


def parity(trial: Trial) -> GateResult:
    if (without := unanswerable(NAME, trial)) is not None:
        return without
    asked = zip(trial.rows, trial.baseline(), trial.candidate(), strict=True)
    both = [(row, old.outputs, new.outputs) for row, old, new in asked if not old.error and not new.error]
    if not both:
        return skipped(NAME, f"no row is answered by {trial.names[0]} and by {trial.names[1]}")
    first = trial.signature.outputs[0]
    outputs = [spec for spec in trial.signature.outputs if spec.name in both[0][1]]  # it may give more than before
    flips = [(row, old, new) for row, old, new in both if not same(old[first.name], new[first.name], first.datatype)]
    drifted = [(row, why) for row, old, new in both if (why := differing(old, new, outputs))]
    if not drifted:
        return passed(NAME, f"{len(both)} rows are answered as {trial.names[0]} answers them")
    told = f"{len(flips)} of {len(both)} rows get another {first.name}, {len(drifted)} differ in some output"
    if flips:
        row, old, new = flips[0]
        example = f"{row.named()}: {shown(old[first.name])} became {shown(new[first.name])}"
    else:
        row, example = drifted[0][0], f"{drifted[0][0].named()}: {drifted[0][1]}"
    if trial.wanted.may_differ:
        return noted(NAME, f"{told}, as they may; {example}", row)
    if flips and len(flips) > trial.wanted.max_flips * len(both):
        return failed(NAME, f"{told}, {trial.wanted.max_flips:.4g} of them may; {example}", row)
    return noted(NAME, f"{told}, within what is allowed; {example}", row)


register(NAME, parity)
