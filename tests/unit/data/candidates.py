"""Rows to curate, in a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.data.curate import Curated, curate
from headrace.data.rows import Candidate, Scene, row_id
from headrace.types.call import Feedback, FeedbackName
from headrace.types.dataset import CurationRule

START = 1_700_000_000.0


def word(row: int, name: str, value: Any, rater: str = "ann", **changes: Any) -> Feedback:
    values = {
        "id": f"fb_{row}_{name}_{rater}",
        "trace_id": f"tr-{row:04d}",
        "name": name,
        "value": value,
        "rater": rater,
        "time": START + row * 100,
    }
    return Feedback(**(values | changes))


def up(row: int, rater: str = "ann", **changes: Any) -> Feedback:
    return word(row, FeedbackName.RATING, True, rater, **changes)


def down(row: int, rater: str = "ann", **changes: Any) -> Feedback:
    return word(row, FeedbackName.RATING, False, rater, **changes)


def fix(row: int, value: Any, rater: str = "ann", **changes: Any) -> Feedback:
    return word(row, FeedbackName.CORRECTION, value, rater, **changes)


def row(number: int, *words: Feedback, **changes: Any) -> Candidate:
    trace = f"tr-{number:04d}"
    values: dict[str, Any] = {
        "row": row_id(trace, 0),
        "trace_id": trace,
        "index": 0,
        "time": START + number,
        "endpoint": "digits",
        "version": 1,
        "unit": f"user{number}",
        "inputs": [float(number), 0.0],
        "output": 1,
        "words": words,
    }
    return Candidate(**(values | changes))


def curated(
    rows: Sequence[Candidate], *asked: CurationRule, only: Sequence[str] = (), scene: Scene | None = None
) -> Curated:
    """`only`: every other rule that can be switched off is off."""
    names = ("raters", "corrections", "praise", "privacy", "outliers", "duplicates", "near_duplicates", "cap")
    off = [CurationRule(name=name, on=False) for name in names if only and name not in only]
    return curate(rows, [*off, *asked], scene or Scene(held=0.0, validation=0.0))


def why(made: Curated, rule: str) -> Mapping[str, int]:
    return next(report.why for report in made.report.rules if report.name == rule)
