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

from headrace.compute.executors.base import OUT, Stopped, Task
from headrace.flywheel import exam, intervals
from headrace.flywheel.cases import Case, digest_of, read_cases
from headrace.flywheel.made import KEPT, MODEL, Made, Say, Step, key_of
from headrace.flywheel.score import costs_of
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps.curate import FRESH, GOLDEN, MUST
from headrace.programs.examine import examine
from headrace.programs.package import package_in, read_package
from headrace.types.errors import Conflict
from headrace.types.program import Compilation
from headrace.types.turn import Flywheel, Gain, Metric, StepName

SETS = {"golden": GOLDEN, "fresh": FRESH, "must": MUST}
LABELS = 20  # slices at most, the most frequent labels
SLICE_ROWS = 20  # fewer say nothing
LEAST_DRAWN = 5


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
    gains += drawn(list(read_cases(curated.file(FRESH))), before.sets[FRESH], after.sets[FRESH], flywheel)
    (folder / "gains.json").write_bytes(msgspec.json.encode(gains))
    times = {"baseline_row_ms": round(before.row_ms, 3), "candidate_row_ms": round(after.row_ms, 3)}
    return Made(
        says="; ".join(_sentence(gain) for gain in gains if gain.on in SETS and gain.rows),
        counts={f"{gain.on}_rows": gain.rows for gain in gains if gain.on in SETS} | times | _spent(before, after),
        facts={"gains": msgspec.to_builtins(gains), **times},
    )


def _spent(*asked: exam.Answers) -> dict[str, float]:
    """Of language models, for the examination; none for other models."""
    calls = sum(each.calls for each in asked)
    return {"lm_calls": calls, "lm_money": sum(each.money for each in asked)} if calls else {}


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


def drawn(cases: list[Case], before: list[Any], after: list[Any], flywheel: Flywheel) -> list[Gain]:
    """Of fresh rows that were drawn for review: who speaks unasked is no fair sample, and these are."""
    mine = [(case, old, new) for case, old, new in zip(cases, before, after, strict=True) if case.get("propensity")]
    if len(mine) < LEAST_DRAWN:
        return []
    labels = [case["label"] for case, _, _ in mine]
    old = costs_of(flywheel.metric, labels, [answer for _, answer, _ in mine])
    new = costs_of(flywheel.metric, labels, [answer for _, _, answer in mine])
    return [intervals.weigh("drawn", flywheel.metric, old, new, [case["propensity"] for case, _, _ in mine])]


def _ask(shop: Shop, model: Path, curated: Made, folder: Path) -> exam.Answers:
    program = package_in(model)
    if program is not None:
        return _ask_program(shop, program, curated, folder)
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


def _ask_program(shop: Shop, program: Path, curated: Made, folder: Path) -> exam.Answers:
    """In a model host, which has no key and no network: this process asks the language model for it."""
    cases = {file: list(read_cases(curated.file(file))) for file in SETS.values()}
    rows = [case["inputs"] for file in SETS.values() for case in cases[file]]
    how = shop.turn.flywheel.train.compile or Compilation()
    try:
        found = examine(
            read_package(program),
            rows,
            aliases=shop.aliases,
            paid=folder.parent / KEPT / f"{folder.name}.jsonl",  # each version is asked by itself
            at_once=how.threads,
            cancelled=shop.stop,
        )
    except Conflict:
        if shop.stop.is_set():
            raise Stopped from None
        raise
    answers = iter(found.answers)
    return exam.Answers(
        sets={file: [next(answers) for _ in cases[file]] for file in SETS.values()},
        row_ms=found.row_ms,
        calls=found.usage.calls,
        money=found.usage.money,
    )


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
