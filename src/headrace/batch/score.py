"""A block of rows, scored: cells → arrays → calls → columns of results. What each engine runs, wherever it runs it.

Called by the engines. Decides that a row which cannot be sent is an error in its place, like one that was refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.base.clock import SystemClock
from headrace.batch.columns import Arrangement, Form, Source
from headrace.client.infer import Arrays, Infer, Target
from headrace.client.score import PATIENCE, Pause, Scorer
from headrace.store.rowcells import column_values, nested_values, stacked_values
from headrace.store.rowfile import Rows
from headrace.store.scored import Column, Part, part_of
from headrace.types.errors import HeadraceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """All that it takes to score a block, as plain values: it may be sent to another machine."""

    target: Target
    arrangement: Arrangement
    patience: float = PATIENCE

    def open(self, pause: Pause, on_wait: Callable[[HeadraceError], None] = lambda _: None) -> OpenWorker:
        infer = Infer(self.target)
        scorer = Scorer(infer, clock=SystemClock(), pause=pause, patience=self.patience, on_wait=on_wait)
        return OpenWorker(self.arrangement, scorer, infer.close)


class OpenWorker:
    """Thread-safe."""

    def __init__(self, arrangement: Arrangement, scorer: Scorer, close: Callable[[], None]) -> None:
        self._arrangement, self._scorer, self.close = arrangement, scorer, close

    def __call__(self, rows: Rows) -> Part:
        arrays, bad = _arrays(self._arrangement, rows)
        bad = rows.bad | {i: why for i, why in bad.items() if i not in rows.bad}
        results = _Results(self._arrangement, rows.count)
        for i, why in bad.items():
            results.errors[i] = why
        good = np.array([i for i in range(rows.count) if i not in bad], dtype=np.int64)
        if len(good):
            some = arrays if len(good) == rows.count else {name: array[good] for name, array in arrays.items()}
            for piece in self._scorer(some):
                where = good[piece.first : piece.first + piece.count].tolist()
                results.fill(where, piece.outputs, trace_id=piece.trace_id, version=piece.version, error=piece.error)
        return part_of(rows, self._arrangement.kept(rows.columns), results.columns(), results.words())


def _arrays(arrangement: Arrangement, rows: Rows) -> tuple[Arrays, dict[int, str]]:
    arrays: Arrays = {}
    bad: dict[int, str] = {}
    if not rows.count:
        return arrays, bad
    for source in arrangement.sources:
        arrays[source.spec.name], more = _array(source, rows)
        bad = more | bad
    return arrays, bad


def _array(source: Source, rows: Rows) -> tuple[Any, dict[int, str]]:
    datatype = source.spec.datatype
    if source.form is Form.STACK:
        return stacked_values(rows, source.names, datatype)
    if source.form is Form.COLUMN or source.names[0] not in rows.columns:
        values, bad = column_values(rows, source.names[0], datatype)
        return values.reshape(-1, *[1] * (len(source.spec.shape) - 1)), bad
    return nested_values(rows, source.names[0], datatype, source.spec.shape[1:])


class _Results:
    """One entry a row; None where there is none."""

    def __init__(self, arrangement: Arrangement, rows: int) -> None:
        self.errors: list[str | None] = [None] * rows
        self._traces: list[str | None] = [None] * rows
        self._versions: list[str | None] = [None] * rows
        self._specs = arrangement.results
        self._values: dict[str, list[Any]] = {name: [None] * rows for name in arrangement.results}

    def fill(self, where: list[int], outputs: Arrays, *, trace_id: str, version: str, error: str) -> None:
        for column, spec in self._specs.items():
            answers = outputs[spec.name].tolist() if spec.name in outputs else [None] * len(where)
            into = self._values[column]
            for i, value in zip(where, answers, strict=True):
                into[i] = value
        for i in where:
            self._traces[i], self._versions[i] = trace_id or None, version or None
            self.errors[i] = error or None

    def columns(self) -> list[Column]:
        return [
            Column(name=name, datatype=spec.datatype, depth=len(spec.shape) - 1, values=self._values[name])
            for name, spec in self._specs.items()
        ]

    def words(self) -> dict[str, list[str | None]]:
        return {"trace_id": self._traces, "model_version": self._versions, "error": self.errors}
