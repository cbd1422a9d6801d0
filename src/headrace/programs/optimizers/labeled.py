"""Show the language model some of your rows. No calls; a first step that is hard to beat on small data."""

from __future__ import annotations

import random
from typing import Any

from headrace.programs.optimizers.base import Optimizer, Task
from headrace.types.program import OptimizerName


def _make(task: Task) -> Any:
    import dspy  # noqa: PLC0415 -- a plug-in factory: only the compiling process has it

    # DSPy's own draws with a fixed seed: the draw is made here, so that the seed means something.
    drawn = random.Random(task.seed).sample(task.train, min(int(task.settings["demos"]), len(task.train)))  # noqa: S311
    return dspy.LabeledFewShot(k=len(drawn)).compile(task.student, trainset=drawn, sample=False)


OPTIMIZER = Optimizer(
    name=OptimizerName.LABELED,
    does="shows the language model some of your rows as examples",
    needs="5 labelled rows or more",
    costs="no calls; every later call is longer by the examples",
    least=1,
    settings={"demos": 8},
    calls=lambda train, valid, per_row, settings: 0,
    make=_make,
)
