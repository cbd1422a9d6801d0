"""Register: the candidate becomes a version in MLflow's registry, with its run, metrics, data set and lineage.

Done once: store/enrol.py finds what carries this turn's mark before it makes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.flywheel.made import MODEL, Made, Say, Step
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps.evaluate import SETS
from headrace.types.turn import Enrolment, Gain, StepName


def step(shop: Shop, curated: Made, exported: Made, trained: Made, evaluated: Made) -> Step:
    return Step(
        name=StepName.REGISTER,
        key=f"{StepName.REGISTER}-{shop.turn.id}",
        build=lambda folder, say: build(shop, (curated, exported, trained, evaluated), folder, say),
        kept=False,
    )


def build(shop: Shop, made: tuple[Made, Made, Made, Made], folder: Path, say: Say) -> Made:
    curated, exported, trained, evaluated = made
    turn = shop.turn
    gains = [gain for gain in msgspec.convert(evaluated.facts["gains"], list[Gain]) if gain.on in SETS and gain.rows]
    say(0.2, "handing the model to MLflow")
    dataset = shop.datasets.get(curated.facts["dataset"])
    version = shop.enroller.enrol(
        Enrolment(
            mark=turn.id,
            experiment=f"headrace-flywheel-{turn.endpoint}",
            model=exported.facts["model"],
            folder=str(trained.file(MODEL)),
            params={**_params(turn.flywheel.train.params, trained), "cause": turn.cause.value},
            metrics=_metrics(gains, trained),
            dataset=dataset,
            tags={
                "headrace.dataset": dataset.id,
                "headrace.baseline": str(exported.facts["baseline"]),
                "headrace.code": turn.code,
                **trained.facts.get("tags", {}),
            },
            description=evaluated.says,
        )
    )
    del folder
    return Made(
        digest=version,
        says=f"registered as {version}",
        facts={"version": version, "baseline": exported.facts["baseline"]},
    )


def _params(given: Mapping[str, Any], trained: Made) -> dict[str, str]:
    """What the flywheel says, and what the training says that it was."""
    return {name: str(value) for name, value in {**given, **trained.facts.get("params", {})}.items()}


def _metrics(gains: list[Gain], trained: Made) -> dict[str, float]:
    told = {f"{gain.on}_{gain.metric}_error": gain.candidate for gain in gains}
    told |= {f"{gain.on}_{gain.metric}_error_baseline": gain.baseline for gain in gains}
    told |= {"training_seconds": trained.facts["seconds"], "training_cost": trained.facts["cost"]}
    told |= trained.facts["metrics"]
    return told
