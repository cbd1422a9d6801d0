"""Let the program answer your rows, and show what it got right, with its steps in between."""

from __future__ import annotations

import random
from typing import Any

from headrace.programs.optimizers.base import Optimizer, Task
from headrace.types.program import OptimizerName


def _make(task: Task) -> Any:
    import dspy  # noqa: PLC0415 -- a plug-in factory: only the compiling process has it

    train = random.Random(task.seed).sample(task.train, len(task.train))  # noqa: S311 -- an order, not a secret
    optimizer = dspy.BootstrapFewShot(
        metric=task.metric,
        metric_threshold=task.threshold,
        max_bootstrapped_demos=int(task.settings["demos"]),
        max_labeled_demos=int(task.settings["labeled"]),
        max_rounds=int(task.settings["rounds"]),
        max_errors=len(train),
    )
    return optimizer.compile(task.student, trainset=train)


OPTIMIZER = Optimizer(
    name=OptimizerName.BOOTSTRAP,
    does="runs the program on your rows and shows the runs that were right, steps in between included",
    needs="10 labelled rows or more, and a program that is right now and then",
    costs="at most one run for each row to train on and round; it stops when it has its examples",
    least=2,
    settings={"demos": 4, "labeled": 4, "rounds": 1},
    calls=lambda train, valid, per_row, settings: int(train * settings["rounds"]) * per_row,
    make=_make,
)
