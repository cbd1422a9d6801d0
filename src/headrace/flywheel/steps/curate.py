"""Curate: which of the exported rows may teach, which may examine, and which may neither: a dataset version.

The version is made by Datasets, as any other: content-addressed, with parents and the report of every rule, listed by
MLflow. Beside what people said it holds what the flywheel's folder brings: what the first version learned from, and the
frozen rows of the examination. Written for the steps that follow: its splits as files of cases.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from headrace.data import curate as curation
from headrace.data.rows import Candidate, row_id
from headrace.flywheel.cases import read_cases, write_cases
from headrace.flywheel.datasets import Given
from headrace.flywheel.gather import Gathered
from headrace.flywheel.made import Made, Say, Step, key_of
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps import export
from headrace.types.dataset import CurationReport, DatasetVersion, Split
from headrace.types.errors import BadInput
from headrace.types.turn import StepName

TRAIN, FRESH, GOLDEN, MUST = "train.jsonl", "fresh.jsonl", "golden.jsonl", "must.jsonl"
CRITIQUE = "critique.jsonl"
FILES = {Split.TRAIN: TRAIN, Split.FRESH: FRESH, Split.GOLDEN: GOLDEN, Split.MUST: MUST, Split.CRITIQUE: CRITIQUE}
BASE = "base"  # the rule of rows that nobody said: the flywheel's folder has them
OURS = (BASE, Split.GOLDEN.value, Split.MUST.value)


def step(shop: Shop, exported: Made) -> Step:
    rules = shop.turn.flywheel.data
    frozen = shop.datasets.golden(export.recipe_of(shop, "").dataset)
    return Step(
        name=StepName.CURATE,
        key=key_of(
            StepName.CURATE,
            curation,
            inputs={
                "rows": exported.digest,
                "code": shop.turn.code,
                "rules": curation.code_hash(curation.settle(rules.rules)),
                "golden": "" if rules.golden or frozen is None else frozen.file.sha256,
            },
            params=(shop.turn.endpoint, rules),
        ),
        build=lambda folder, say: build(shop, exported, folder, say),
    )


def build(shop: Shop, exported: Made, folder: Path, say: Say) -> Made:
    rules, turn = shop.turn.flywheel.data, shop.turn
    given = Given(
        base=_brought(shop, rules.base, BASE, Split.TRAIN),
        golden=_brought(shop, rules.golden, Split.GOLDEN.value, Split.GOLDEN),
        must=_brought(shop, rules.must, Split.MUST.value, Split.MUST),
    )
    say(0.3, "curating")
    decoder = msgspec.json.Decoder(Candidate)
    with exported.file(export.ROWS).open("rb") as file:
        rows = [decoder.decode(line) for line in file]
    if not rows and not given.rows:
        return Made(refused="nobody has said anything of this endpoint's answers in the window")
    version = shop.datasets.curate(
        export.recipe_of(shop, exported.facts["model"]),
        Gathered(rows=rows, misfits=int(exported.counts["misfits"])),
        given=given,
        actor=turn.actor or "flywheel",
    )
    written = {split: _write(shop, version, split, folder / file) for split, file in FILES.items()}
    return _made(version, written, base=len(given.base))


def _brought(shop: Shop, name: str, rule: str, split: Split) -> tuple[Candidate, ...]:
    """Rows of a file in the flywheel's folder, as curation knows them."""
    if not name:
        return ()
    path = (shop.code / name).resolve()
    if not path.is_relative_to(shop.code.resolve()) or not path.is_file():
        raise BadInput(f"there is no file {name!r} in the flywheel's folder", field="data")
    return tuple(
        Candidate(
            row=row_id(name, index),
            trace_id="",
            index=index,
            time=0.0,
            endpoint="",
            version=0,
            unit=rule,  # of nobody who calls, so that they are neighbours of everybody
            inputs=case["inputs"],
            output=None,
            label=case["label"],
            rule=rule,
            split=split,
        )
        for index, case in enumerate(read_cases(path))
    )


def _write(shop: Shop, version: DatasetVersion, split: Split, path: Path) -> int:
    lines = shop.datasets.rows(version, split)
    if split is Split.FRESH and shop.turn.flywheel.data.drawn:
        lines = (line for line in lines if line["propensity"] is not None)
    return write_cases(path, _cases(lines))


def _cases(lines: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """`source` is the rule that gave the label, where people did; `row` leads back to the call and to who said so."""
    for line in lines:
        case = {"inputs": line["inputs"], "label": line["label"]}
        if line["rule"] not in OURS:
            names = ("row", "trace_id", "unit", "time", "critique", "comment", "propensity")
            case |= {"source": line["rule"]} | {name: line[name] for name in names}
        yield case


def _made(version: DatasetVersion, rows: dict[Split, int], *, base: int) -> Made:
    report = version.report
    assert report is not None
    counts = {"base": base, "teach": rows[Split.TRAIN] - base, "fresh": rows[Split.FRESH]}
    counts |= {"golden": rows[Split.GOLDEN], "must": rows[Split.MUST], "critique": rows[Split.CRITIQUE]}
    return Made(
        says=_sentence(counts, version, report),
        counts={**counts, **_taken(report), "people": report.raters},
        facts={"people": report.raters, "distrusted": len(report.distrusted), "dataset": version.id},
    )


def _taken(report: CurationReport) -> dict[str, float]:
    return {f"left_out_{rule.name}": rule.taken for rule in report.rules if rule.taken > 0}


def _sentence(counts: dict[str, int], version: DatasetVersion, report: CurationReport) -> str:
    distrusted = f"; {len(report.distrusted)} of {report.raters} people are not believed" if report.distrusted else ""
    return (
        f"{counts['teach']} new rows teach beside {counts['base']}; {counts['fresh']} fresh and {counts['golden']} "
        f"golden rows examine: {version.name}@{version.number}{distrusted}"
    )
