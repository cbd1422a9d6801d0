"""Look at the rows on which the answers vary most, and learn a rule or an example from each."""

from __future__ import annotations

from typing import Any

from headrace.programs.optimizers.base import Optimizer, Task
from headrace.types.program import OptimizerName


def _make(task: Task) -> Any:
    import dspy  # noqa: PLC0415 -- a plug-in factory: only the compiling process has it

    optimizer = dspy.SIMBA(
        metric=task.metric,
        bsize=min(int(task.settings["minibatch"]), len(task.train)),
        num_candidates=int(task.settings["candidates"]),
        max_steps=int(task.settings["steps"]),
        max_demos=int(task.settings["demos"]),
        prompt_model=task.reflection,
        num_threads=task.threads,
    )
    return optimizer.compile(task.student, trainset=task.train, seed=task.seed)


OPTIMIZER = Optimizer(
    name=OptimizerName.SIMBA,
    does="finds rows on which the answers vary, and adds a rule or an example for them",
    needs="32 labelled rows or more; a language model that can give advice (--reflection-lm)",
    costs="for each step twice the minibatch times the candidates, and a long call for each rule",
    least=4,
    settings={"minibatch": 32, "candidates": 6, "steps": 8, "demos": 4},
    calls=lambda train, valid, per_row, settings: (
        int(
            settings["steps"] * 2 * settings["candidates"] * min(settings["minibatch"], train)
            + settings["candidates"] * train
        )
        * per_row
    ),
    make=_make,
)
