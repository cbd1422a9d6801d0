"""Labelled rows for a program, from where people have said what is right: a turn's cases, a dataset, the review queue.

Called by steps/compiling.py and the console. Decides that a row teaches when its label is what the program's output may
be; what fits no program is counted as `odd`, and none of it is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.data.agreement import consensus
from headrace.data.rows import same
from headrace.flywheel.datasets import Datasets
from headrace.flywheel.examples import split_inputs
from headrace.flywheel.review import labels_of
from headrace.programs.compile import FEEDBACK
from headrace.programs.definition import check_row
from headrace.store import feedbacks, reviews
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.types.dataset import Split
from headrace.types.errors import BadInput
from headrace.types.program import Program

MOST = 5_000  # reviewed calls


@dataclass(slots=True, kw_only=True)
class Taught:
    """`test`: kept apart already, such as a golden set. `source`: name@id for the record."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    test: list[dict[str, Any]] = field(default_factory=list)
    odd: int = 0
    why: str = ""  # of the first odd row
    source: str = ""


def rows_of(program: Program, cases: Iterable[Mapping[str, Any]]) -> Taught:
    """Cases have `inputs` and `label`, and maybe a `comment`."""
    found = Taught()
    for number, case in enumerate(cases):
        try:
            found.rows.append(_row(program, case, f"row {number}"))
        except BadInput as error:
            found.odd += 1
            found.why = found.why or error.message
    return found


def rows_of_dataset(datasets: Datasets, name: str, program: Program) -> Taught:
    """It learns from the splits to learn from, and is measured on the frozen ones."""
    version = datasets.get(name)
    found = rows_of(
        program, [row for split in (Split.TRAIN, Split.VALIDATION) for row in datasets.rows(version, split)]
    )
    golden = rows_of(program, datasets.rows(version, Split.GOLDEN))
    found.test, found.source = golden.rows, f"{version.name}@{version.id[3:15]}"
    found.odd += golden.odd
    found.why = found.why or golden.why
    return found


def rows_of_reviews(database: Database, query: JournalQuery, endpoint: str, program: Program) -> Taught:
    """Calls of an endpoint about whose label the reviewers agree."""
    with database.read() as conn:
        items = reviews.listed(conn, state=None, endpoint=endpoint, limit=MOST)
        said = feedbacks.for_traces(conn, [item.trace_id for item in items])
    given = {item.trace_id: labels_of(said.get(item.trace_id, ())) for item in items}
    labels = {trace_id: each for trace_id, each in given.items() if each}
    cases = []
    for batch in query.among(list(labels)):
        for call in batch:
            agreed: Any = consensus([same(value) for value in labels[call.trace_id].values()])
            inputs = split_inputs(call.input, call.rows) if call.input is not None else None
            if agreed is not None and inputs:
                cases.append({"inputs": inputs[0], "label": msgspec.json.decode(agreed)})
    found = rows_of(program, cases)
    found.source = f"review:{endpoint}"
    return found


def _row(program: Program, case: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The only input and the only output may come without their names."""
    inputs, label = case["inputs"], case["label"]
    if not isinstance(inputs, Mapping):
        inputs = {program.inputs[0].name: inputs} if len(program.inputs) == 1 else {}
    if not isinstance(label, Mapping):
        label = {program.outputs[0].name: label}
    row = check_row(program, {**inputs, **label}, where)
    said = case.get("comment")
    return row | {FEEDBACK: said} if said and FEEDBACK not in row else row
