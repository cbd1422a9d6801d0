"""Validate: whether the curated rows are fit to learn from. Decides by fit.py's checks; refuses when one fails."""

from __future__ import annotations

from pathlib import Path

from headrace.flywheel import fit
from headrace.flywheel.cases import read_cases
from headrace.flywheel.made import Made, Say, Step, key_of
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps.curate import GOLDEN, TRAIN
from headrace.types.turn import StepName


def step(shop: Shop, curated: Made) -> Step:
    flywheel = shop.turn.flywheel
    return Step(
        name=StepName.VALIDATE,
        key=key_of(
            StepName.VALIDATE, fit, inputs={"cases": curated.digest}, params=(flywheel.data, flywheel.gates.min_golden)
        ),
        build=lambda folder, say: build(shop, curated, folder, say),
    )


def build(shop: Shop, curated: Made, folder: Path, say: Say) -> Made:
    say(0.2, "checking rows")
    rows = fit.Rows(
        train=list(read_cases(curated.file(TRAIN))),
        golden=list(read_cases(curated.file(GOLDEN))),
        people=int(curated.facts["people"]),
        distrusted=int(curated.facts["distrusted"]),
    )
    problems = fit.problems(rows, shop.turn.flywheel)
    (folder / "problems.txt").write_text("\n".join(problems))
    return Made(
        says=f"{fit.CHECKS} checks passed",
        refused="; ".join(problems),
        counts={"checks": fit.CHECKS, "failed": len(problems)},
    )
