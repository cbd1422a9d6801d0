"""Register: the candidate becomes a version in MLflow's registry, with its run, metrics, data set and lineage.

Done once: store/enrol.py finds what carries this turn's mark before it makes anything.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.flywheel.made import Made, Say, Step
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps.evaluate import SETS
from headrace.flywheel.steps.train import MODEL
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
    dataset = f"ds_{curated.digest}"
    version = shop.enroller.enrol(
        Enrolment(
            mark=turn.id,
            experiment=f"headrace-flywheel-{turn.endpoint}",
            model=exported.facts["model"],
            folder=str(trained.file(MODEL)),
            params={**{k: str(v) for k, v in turn.flywheel.train.params.items()}, "cause": turn.cause.value},
            metrics=_metrics(gains, trained),
            dataset_name=f"{turn.endpoint}-turn",
            dataset=dataset,
            dataset_rows=int(curated.counts["base"] + curated.counts["teach"]),
            tags={
                "headrace.dataset": dataset,
                "headrace.baseline": str(exported.facts["baseline"]),
                "headrace.code": turn.code,
            },
            description=evaluated.says,
        )
    )
    del folder
    return Made(
        digest=version,
        says=f"registered as {version}",
        facts={"version": version, "dataset": dataset, "baseline": exported.facts["baseline"]},
    )


def _metrics(gains: list[Gain], trained: Made) -> dict[str, float]:
    told = {f"{gain.on}_{gain.metric}_error": gain.candidate for gain in gains}
    told |= {f"{gain.on}_{gain.metric}_error_baseline": gain.baseline for gain in gains}
    told |= {"training_seconds": trained.facts["seconds"], "training_cost": trained.facts["cost"]}
    told |= trained.facts["metrics"]
    return told
