"""Which step of a migration may follow which. Pure: one table.

Called by migrate.py. Decides also what to believe when the record and the stores disagree: the stores. A step changes
them first and the record afterwards, so a killed one leaves the record behind.
"""

from __future__ import annotations

from headrace.migration.roles import SOURCE, TARGET
from headrace.types.errors import Conflict
from headrace.types.migration import Phase

_BEFORE_SWITCH = (Phase.DUAL, Phase.COPIED, Phase.CHECKED)
# The step, in which phases it is allowed, and what is said otherwise.
STEPS: dict[str, tuple[tuple[Phase, ...], str]] = {
    "start": ((Phase.NEW, Phase.ABORTED), "it has begun; headrace migrate copy goes on"),
    "copy": (_BEFORE_SWITCH, "headrace migrate start comes first"),
    "check": ((*_BEFORE_SWITCH[1:], Phase.SWITCHED), "headrace migrate copy comes first"),
    "switch": ((Phase.CHECKED,), "headrace migrate check must have found both stores equal"),
    "back": ((Phase.SWITCHED,), "reads have not been switched"),
    "finish": ((Phase.SWITCHED,), "headrace migrate switch comes first"),
    "abort": (_BEFORE_SWITCH, "headrace migrate back comes first where reads have been switched"),
}


def allow(step: str, phase: Phase, name: str) -> None:
    """Raises Conflict."""
    phases, hint = STEPS[step]
    if phase not in phases:
        raise Conflict(
            f"migration {name!r} is {phase.value}; {step} is for one that is {', '.join(p.value for p in phases)}",
            field="phase",
            hint=hint,
        )


def found(recorded: Phase, *, truth: int | None, dual: bool) -> Phase:
    """What is true now, by the stores. `truth` None: they are between the two, or cannot be asked."""
    if truth == TARGET:
        return Phase.SWITCHED if dual else Phase.FINISHED
    if truth == SOURCE and not dual:
        return recorded if recorded is Phase.NEW else Phase.ABORTED
    if truth == SOURCE and recorded not in _BEFORE_SWITCH:
        return Phase.COPIED if recorded is Phase.SWITCHED else Phase.DUAL
    return recorded
