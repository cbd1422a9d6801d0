"""Train: the user's own program makes a model out of train.jsonl, wherever the executor runs it; or a program that asks
a language model is compiled with it (compiling.py).

A training's folder is its own: train.jsonl, task.json, a copy of the flywheel's folder in code/, and `out` for what it
makes. A function is run by client/training.py; a command is run as it stands. Killed, it begins again with what it left
in `work`. How long it took and what it says it has cost is kept with the model.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from headrace.client import training
from headrace.compute.executors.base import OUT, Task
from headrace.flywheel.made import MODEL, Made, Say, Step, key_of
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps import compiling
from headrace.flywheel.steps.curate import TRAIN
from headrace.types.errors import ModelFailed
from headrace.types.turn import StepName, Training

CODE = "code"
SEED = 20_261_121
PROGRAM = ("python", "-m", "headrace.client.training")


class _Report(msgspec.Struct):
    cost: float = 0.0
    metrics: dict[str, float] = {}


def step(shop: Shop, curated: Made, exported: Made) -> Step:
    turn = shop.turn
    if turn.flywheel.train.compile is not None:
        return compiling.step(shop, curated)
    return Step(
        name=StepName.TRAIN,
        key=key_of(
            StepName.TRAIN,
            training,
            inputs={"cases": curated.digest, "code": turn.code},
            params=(turn.endpoint, turn.flywheel.train),
        ),
        build=lambda folder, say: build(shop, curated, exported, folder, say),
    )


def build(shop: Shop, curated: Made, exported: Made, folder: Path, say: Say) -> Made:
    spec = shop.turn.flywheel.train
    shutil.copyfile(curated.file(TRAIN), folder / TRAIN)
    shutil.copytree(shop.code, folder / CODE)
    (folder / OUT).mkdir()
    told = {
        "params": spec.params,
        "endpoint": shop.turn.endpoint,
        "baseline": exported.facts["baseline"],
        "seed": SEED,
    }
    (folder / training.TASK).write_bytes(msgspec.json.encode(told))
    began = shop.clock.steady()

    def on_line(line: str) -> None:
        if line.startswith(training.PROGRESS):
            say(*_progress(line.removeprefix(training.PROGRESS)))

    shop.executor.run(task_of(shop, folder), on_line=on_line, stop=shop.stop)
    seconds = shop.clock.steady() - began
    report = _taken(folder)
    return Made(
        says=f"trained in {seconds:.1f} s",
        counts={"seconds": round(seconds, 3), "cost": report.cost, **report.metrics},
        facts={"seconds": seconds, "cost": report.cost, "metrics": report.metrics},
    )


def task_of(shop: Shop, folder: Path) -> Task:
    spec = shop.turn.flywheel.train
    return Task(
        id=f"train-{shop.turn.id}",
        argv=_argv(spec),
        folder=folder,
        timeout_seconds=spec.timeout_seconds,
        memory_mb=spec.memory_mb,
        cpus=spec.cpus,
        gpus=spec.gpus,
        network=spec.network,
        env={"PYTHONPATH": CODE, **shop.passed},
    )


def _argv(spec: Training) -> tuple[str, ...]:
    if spec.command:
        return spec.command
    return (*PROGRAM, f"{CODE}/{spec.function}")


def _progress(words: str) -> tuple[float, str]:
    share, _, says = words.strip().partition(" ")
    try:
        return min(max(float(share), 0.0), 1.0), says
    except ValueError:
        return 0.0, words.strip()


def _taken(folder: Path) -> _Report:
    """Leaves the model and what it reported: the rest is known from elsewhere."""
    model, told = folder / OUT / MODEL, folder / OUT / training.REPORT
    if not (model / "MLmodel").is_file():
        raise ModelFailed(
            f"the training ended well and left no model in {OUT}/{MODEL}",
            field="train",
            hint="save it there as MLflow does: mlflow.sklearn.save_model(model, path)",
        )
    try:
        report = msgspec.json.decode(told.read_bytes(), type=_Report) if told.is_file() else _Report()
    except msgspec.DecodeError as error:
        raise ModelFailed(f"{OUT}/{training.REPORT} cannot be read: {error}", field="train") from error
    model.rename(folder / MODEL)
    for name in (OUT, CODE):
        shutil.rmtree(folder / name)
    for name in (TRAIN, training.TASK):
        (folder / name).unlink()
    return report
