"""Write instructions and choose examples together, guided by a model of what helped so far."""

from __future__ import annotations

from typing import Any

from headrace.programs.optimizers.base import Optimizer, Task
from headrace.types.program import OptimizerName


def _make(task: Task) -> Any:
    import dspy  # noqa: PLC0415 -- a plug-in factory: only the compiling process has it

    optimizer = dspy.MIPROv2(
        metric=task.metric,
        metric_threshold=task.threshold,
        prompt_model=task.reflection,
        task_model=task.lm,
        max_bootstrapped_demos=int(task.settings["demos"]),
        max_labeled_demos=int(task.settings["labeled"]),
        auto=None,
        num_candidates=int(task.settings["candidates"]),
        num_threads=task.threads,
        max_errors=len(task.train) + len(task.valid),
        seed=task.seed,
    )
    size = min(int(task.settings["minibatch"]), len(task.valid))
    return optimizer.compile(
        task.student,
        trainset=task.train,
        valset=task.valid,
        num_trials=int(task.settings["trials"]),
        minibatch=size < len(task.valid),
        minibatch_size=size,
        seed=task.seed,
    )


OPTIMIZER = Optimizer(
    name=OptimizerName.MIPRO,
    does="has a language model write instructions, then searches for the best pair of instructions and examples",
    needs="50 labelled rows, better 200; a language model that can write instructions (--reflection-lm); optuna",
    costs="a run of a minibatch for each trial, of all rows to validate on every fifth, and some dozens of long calls",
    least=8,
    settings={"demos": 4, "labeled": 4, "candidates": 6, "trials": 12, "minibatch": 35},
    calls=lambda train, valid, per_row, settings: (
        int(
            settings["trials"] * min(settings["minibatch"], valid)
            + (settings["trials"] / 5 + 2) * valid
            + settings["candidates"] * (train / 4 + 4)
        )
        * per_row
    ),
    make=_make,
    package="optuna",
)
