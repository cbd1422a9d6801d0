"""Evaluate: candidate and baseline answer the same golden, fresh and must rows, and each slice is compared.

Both are asked by the same program (asked.py) on the same executor, one after the other. What an answer costs is
score.py's, what the difference is worth intervals.py's.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from headrace.compute.executors.base import OUT, Task
from headrace.flywheel import exam, intervals
from headrace.flywheel.cases import Case, digest_of, read_cases
from headrace.flywheel.made import Made, Say, Step, key_of
from headrace.flywheel.score import costs_of
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps.curate import FRESH, GOLDEN, MUST
from headrace.flywheel.steps.train import MODEL
from headrace.types.turn import Flywheel, Gain, Metric, StepName

SETS = {"golden": GOLDEN, "fresh": FRESH, "must": MUST}
LABELS = 20  # slices at most, the most frequent labels
SLICE_ROWS = 20  # fewer say nothing


def step(shop: Shop, curated: Made, exported: Made, trained: Made) -> Step:
    flywheel = shop.turn.flywheel
    return Step(
        name=StepName.EVALUATE,
        key=key_of(
            StepName.EVALUATE,
            intervals,
            inputs={"cases": curated.digest, "model": trained.digest, "baseline": exported.facts["baseline"]},
            params=(flywheel.metric, flywheel.alpha, shop.turn.endpoint),
        ),
        build=lambda folder, say: build(shop, curated, exported, trained, folder=folder, say=say),
    )


def build(shop: Shop, curated: Made, exported: Made, trained: Made, *, folder: Path, say: Say) -> Made:
    flywheel = shop.turn.flywheel
    say(0.05, "fetching the live version")
    baseline = shop.registry.download(shop.registry.resolve(exported.facts["baseline"]), _fresh(folder / "live"))
    say(0.2, "asking the live version")
    before = _ask(shop, baseline, curated, folder / "before")
    say(0.6, "asking the candidate")
    after = _ask(shop, trained.file(MODEL), curated, folder / "after")
    shutil.rmtree(folder / "live")
    say(0.9, "comparing")
    gains = [
        gain
        for name, file in SETS.items()
        for gain in compared(name, list(read_cases(curated.file(file))), before.sets[file], after.sets[file], flywheel)
    ]
    (folder / "gains.json").write_bytes(msgspec.json.encode(gains))
    times = {"baseline_row_ms": round(before.row_ms, 3), "candidate_row_ms": round(after.row_ms, 3)}
    return Made(
        says="; ".join(_sentence(gain) for gain in gains if gain.on in SETS and gain.rows),
        counts={f"{gain.on}_rows": gain.rows for gain in gains if gain.on in SETS} | times,
        facts={"gains": msgspec.to_builtins(gains), **times},
    )


def compared(name: str, cases: list[Case], before: list[Any], after: list[Any], flywheel: Flywheel) -> list[Gain]:
    """Of the set; and, of golden rows with right-or-wrong answers, of each label that is frequent enough."""
    labels = [case["label"] for case in cases]
    old, new = costs_of(flywheel.metric, labels, before), costs_of(flywheel.metric, labels, after)
    found = [intervals.compare(name, flywheel.metric, old, new, flywheel.alpha)]
    if name != "golden" or flywheel.metric is not Metric.EXACT:
        return found
    digests = [digest_of(label) for label in labels]
    for digest, rows in Counter(digests).most_common(LABELS):
        if rows < SLICE_ROWS or rows == len(cases):
            continue
        mine = [i for i, each in enumerate(digests) if each == digest]
        label = labels[mine[0]]
        found.append(
            intervals.compare(
                f"label={label}", flywheel.metric, [old[i] for i in mine], [new[i] for i in mine], flywheel.alpha
            )
        )
    return found


def _ask(shop: Shop, model: Path, curated: Made, folder: Path) -> exam.Answers:
    spec = shop.turn.flywheel.train
    (_fresh(folder) / OUT).mkdir()
    for file in SETS.values():
        shutil.copyfile(curated.file(file), folder / file)
    (folder / exam.ASK).write_bytes(msgspec.json.encode(exam.Ask(model=str(model), sets=list(SETS.values()))))
    task = Task(
        id=f"ask-{shop.turn.id}-{folder.name}",
        argv=("python", "-m", "headrace.flywheel.asked"),
        folder=folder,
        timeout_seconds=spec.timeout_seconds,
        memory_mb=spec.memory_mb,
        cpus=spec.cpus,
        gpus=spec.gpus,
        network=spec.network,
        env=dict(shop.passed),
    )
    shop.asker.run(task, on_line=lambda _: None, stop=shop.stop)
    answers = msgspec.json.decode((folder / OUT / exam.ANSWERS).read_bytes(), type=exam.Answers)
    for file in SETS.values():
        (folder / file).unlink()
    return answers


def _fresh(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _sentence(gain: Gain) -> str:
    return (
        f"{gain.on}: {gain.baseline:.3f} → {gain.candidate:.3f} on {gain.rows} rows "
        f"(difference {gain.difference:+.3f}, {gain.low:+.3f} to {gain.high:+.3f})"
    )
