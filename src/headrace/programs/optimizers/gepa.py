"""Read what was wrong with each answer, users' own words included, and rewrite the instructions."""

from __future__ import annotations

from typing import Any

from headrace.programs.optimizers.base import Optimizer, Task
from headrace.types.program import OptimizerName


def _make(task: Task) -> Any:
    import dspy  # noqa: PLC0415 -- a plug-in factory: only the compiling process has it

    optimizer = dspy.GEPA(
        metric=task.feedback,
        max_metric_calls=_runs(task),
        reflection_minibatch_size=min(int(task.settings["minibatch"]), len(task.train)),
        reflection_lm=task.reflection,
        num_threads=task.threads,
        seed=task.seed,
        warn_on_score_mismatch=False,
    )
    return optimizer.compile(task.student, trainset=task.train, valset=task.valid)


def _runs(task: Task) -> int:
    """Of the program: what is asked for, within what may be called (a tenth is kept for thinking)."""
    asked = int(task.settings["runs"])
    affordable = int(task.calls * 0.9 / max(1, task.per_row)) if task.calls else asked
    return max(len(task.valid) + 1, min(asked, affordable))


OPTIMIZER = Optimizer(
    name=OptimizerName.GEPA,
    does="has a language model read what was wrong, comments of users included, and rewrite the instructions",
    needs="20 labelled rows or more, better with a column `feedback`; a strong language model (--reflection-lm)",
    costs="as many runs as you say; a long call for every few of them",
    least=2,
    settings={"runs": 300, "minibatch": 3},
    calls=lambda train, valid, per_row, settings: int(settings["runs"] * 1.1) * per_row,
    make=_make,
)
