"""The child that asks a model the rows of an examination: `python -m headrace.flywheel.asked`, in a folder.

Started by steps/evaluate.py through the executor: loading a model runs whatever code is in it. Reads ask.json (where
the model is, the names of the row files) and writes out/answers.json: an answer for every row, in order, and how long a
single row takes. Ignores what is right.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from headrace.flywheel.cases import read_cases
from headrace.flywheel.exam import ANSWERS, ASK, Answers, Ask
from headrace.optimize.rows import Table, from_json, rows_of, take
from headrace.store.flavor import answers_of, feed_pyfunc, load_pyfunc, read_signature
from headrace.types.errors import HeadraceError, ModelFailed

AT_ONCE = 512  # rows


def main() -> None:
    warnings.simplefilter("ignore")
    folder = Path.cwd()
    ask = msgspec.json.decode((folder / ASK).read_bytes(), type=Ask)
    try:
        found = answer(ask, folder)
    except HeadraceError as error:
        sys.stdout.write(error.sentence() + "\n")
        sys.exit(1)
    (folder / "out" / ANSWERS).write_bytes(msgspec.json.encode(found, enc_hook=_plain))


def answer(ask: Ask, folder: Path) -> Answers:
    path = Path(ask.model)
    model, signature = load_pyfunc(path), read_signature(path)

    def predict(table: Table) -> list[Any]:
        answered = answers_of(model.predict(feed_pyfunc(model, table)), rows_of(table))
        columns = [array.tolist() for array in answered.values()]
        return columns[0] if len(columns) == 1 else [list(row) for row in zip(*columns, strict=True)]

    sets: dict[str, list[Any]] = {}
    tables: list[Table] = []
    for name in ask.sets:
        cases = list(read_cases(folder / name))
        table, odd = from_json([case["inputs"] for case in cases], signature)
        if odd:
            raise ModelFailed(f"{odd} of {len(cases)} rows of {name} do not fit the model's signature", field="inputs")
        tables.append(table)
        sets[name] = [
            each
            for start in range(0, len(cases), AT_ONCE)
            for each in predict(take(table, slice(start, start + AT_ONCE)))
        ]
    return Answers(sets=sets, row_ms=_row_ms(predict, tables, ask.timed))


def _row_ms(predict: Any, tables: list[Table], rows: int) -> float:
    singles = [take(table, slice(i, i + 1)) for table in tables for i in range(min(rows, rows_of(table)))][:rows]
    took = []
    for one in singles:
        began = time.perf_counter()
        predict(one)
        took.append((time.perf_counter() - began) * 1000)
    return median(took) if took else 0.0


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    raise TypeError(f"an answer holds a {type(value).__name__}")


if __name__ == "__main__":
    main()
