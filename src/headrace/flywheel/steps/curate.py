"""Curate: which of the exported rows may teach, which may examine, and which may neither.

Writes train.jsonl (what the first version learned from, and what people taught since), fresh.jsonl (rows of users whose
words never teach), golden.jsonl and must.jsonl (frozen, out of the flywheel's folder), critique.jsonl (complaints
without a right answer) and report.json. The rules are those of the room data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.data import curate as curation
from headrace.data.rows import Candidate, Scene, row_id
from headrace.flywheel.cases import Case, read_cases, write_cases
from headrace.flywheel.made import Made, Say, Step, key_of
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps import export
from headrace.types.dataset import CurationReport, Split
from headrace.types.errors import BadInput
from headrace.types.turn import StepName

TRAIN, FRESH, GOLDEN, MUST = "train.jsonl", "fresh.jsonl", "golden.jsonl", "must.jsonl"
CRITIQUE, REPORT = "critique.jsonl", "report.json"


def step(shop: Shop, exported: Made) -> Step:
    rules = shop.turn.flywheel.data
    return Step(
        name=StepName.CURATE,
        key=key_of(
            StepName.CURATE,
            curation,
            inputs={
                "rows": exported.digest,
                "code": shop.turn.code,
                "rules": curation.code_hash(curation.settle(rules.rules)),
            },
            params=(shop.turn.endpoint, rules),
        ),
        build=lambda folder, say: build(shop, exported, folder, say),
    )


def build(shop: Shop, exported: Made, folder: Path, say: Say) -> Made:
    rules = shop.turn.flywheel.data
    base, golden, must = (_frozen(shop, name) for name in (rules.base, rules.golden, rules.must))
    say(0.3, "curating")
    decoder = msgspec.json.Decoder(Candidate)
    with exported.file(export.ROWS).open("rb") as file:
        rows = [decoder.decode(line) for line in file]
    scene = Scene(
        golden=_candidates([*golden, *must]), frozen=True, salt=rules.salt, validation=0.0, held=rules.fresh_share
    )
    found = curation.curate(rows, rules.rules, scene)
    split = {name: [_case(row) for row in found.rows if row.split is name] for name in (Split.TRAIN, Split.CRITIQUE)}
    split[Split.FRESH] = [
        _case(row) for row in found.rows if row.split is Split.FRESH and not (rules.drawn and row.propensity is None)
    ]
    write_cases(folder / TRAIN, [*base, *split[Split.TRAIN]])
    for name, cases in ((FRESH, split[Split.FRESH]), (GOLDEN, golden), (MUST, must), (CRITIQUE, split[Split.CRITIQUE])):
        write_cases(folder / name, cases)
    (folder / REPORT).write_bytes(msgspec.json.encode(found.report))
    counts = {"base": len(base), "teach": len(split[Split.TRAIN]), "fresh": len(split[Split.FRESH])}
    counts |= {"golden": len(golden), "must": len(must), "critique": len(split[Split.CRITIQUE])}
    return Made(
        says=_sentence(counts, found.report),
        counts={**counts, **_taken(found.report), "people": found.report.raters},
        facts={"people": found.report.raters, "distrusted": len(found.report.distrusted)},
    )


def _frozen(shop: Shop, name: str) -> list[Case]:
    if not name:
        return []
    path = (shop.code / name).resolve()
    if not path.is_relative_to(shop.code.resolve()) or not path.is_file():
        raise BadInput(f"there is no file {name!r} in the flywheel's folder", field="data")
    return list(read_cases(path))


def _candidates(cases: Sequence[Case]) -> tuple[Candidate, ...]:
    """Frozen rows, as curation knows them."""
    return tuple(
        Candidate(
            row=row_id("frozen", index),
            trace_id="frozen",
            index=index,
            time=0.0,
            endpoint="",
            version=0,
            unit="frozen",
            inputs=case["inputs"],
            output=None,
            label=case["label"],
            rule="golden",
            split=Split.GOLDEN,
        )
        for index, case in enumerate(cases)
    )


def _case(row: Candidate) -> dict[str, Any]:
    """`source` is the rule that gave the label; `row` leads back to the call and to who said so."""
    kept = {"inputs": row.inputs, "label": row.label, "source": row.rule, "row": row.row, "trace_id": row.trace_id}
    return kept | {"unit": row.unit, "time": row.time, "critique": row.critique}


def _taken(report: CurationReport) -> dict[str, float]:
    return {f"left_out_{rule.name}": rule.taken for rule in report.rules if rule.taken > 0}


def _sentence(counts: dict[str, int], report: CurationReport) -> str:
    distrusted = f"; {len(report.distrusted)} of {report.raters} people are not believed" if report.distrusted else ""
    return (
        f"{counts['teach']} new rows teach beside {counts['base']}; {counts['fresh']} fresh and {counts['golden']} "
        f"golden rows examine{distrusted}"
    )
