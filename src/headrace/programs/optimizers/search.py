"""Bootstrap several times with other rows, and keep the set of examples that does best."""

from __future__ import annotations

import random
from typing import Any

from headrace.programs.optimizers.base import Optimizer, Task
from headrace.types.program import OptimizerName


def _make(task: Task) -> Any:
    import dspy  # noqa: PLC0415 -- a plug-in factory: only the compiling process has it

    optimizer = dspy.BootstrapFewShotWithRandomSearch(
        metric=task.metric,
        metric_threshold=task.threshold,
        max_bootstrapped_demos=int(task.settings["demos"]),
        max_labeled_demos=int(task.settings["labeled"]),
        num_candidate_programs=int(task.settings["candidates"]),
        num_threads=task.threads,
        max_errors=len(task.train) + len(task.valid),
    )
    train = random.Random(task.seed).sample(task.train, len(task.train))  # noqa: S311 -- an order, not a secret
    return optimizer.compile(task.student, trainset=train, valset=task.valid)


OPTIMIZER = Optimizer(
    name=OptimizerName.RANDOM_SEARCH,
    does="makes several sets of examples as BootstrapFewShot does, and keeps the one that does best on other rows",
    needs="30 labelled rows or more",
    costs="a run of all rows to validate on for each candidate and for three more, and the bootstrapping",
    least=4,
    settings={"demos": 4, "labeled": 8, "candidates": 6},
    calls=lambda train, valid, per_row, settings: int((settings["candidates"] + 3) * (valid + train / 2)) * per_row,
    make=_make,
)
