"""What went in and what came out of a call, as people read it: a picture, a table, an answer with its scores.

Called by the trace drawer, the traces table and the try-it form. `rows_of`, `pixels_of` and `answer_of` are pure.
Decides the shape in which a JSON value is shown; never shows JSON itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.console.parts.numbers import percent, scalar
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit

SMALLEST_PICTURE, LARGEST_PICTURE = 16, 1024  # numbers in a row that is shown as a square picture
SHOWN = 24  # fields of a row, scores of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The first row's answer, and its scores if the model gave any."""

    label: str
    scores: tuple[tuple[str, float], ...] = ()
    rows: int = 1


def rows_of(value: Any) -> list[Any]:
    """The rows of an input or output: of a table by columns, of a list, or the one value."""
    if isinstance(value, Mapping):
        columns = {name: column for name, column in value.items() if isinstance(column, list)}
        if columns and len(columns) == len(value) and len({len(column) for column in columns.values()}) == 1:
            if len(columns) == 1:
                return rows_of(next(iter(columns.values())))
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [value]
    if isinstance(value, list) and value and isinstance(value[0], list | Mapping):
        return value
    return [value] if _is_vector(value) else value if isinstance(value, list) else [value]


def pixels_of(row: Any) -> tuple[list[float], int] | None:
    """A row of numbers that makes a square, as opacities of its pixels from 0 to 1, and its side."""
    while isinstance(row, list) and len(row) == 1:
        row = row[0]
    if isinstance(row, list) and row and isinstance(row[0], list):
        row = [number for line in row for number in (line if isinstance(line, list) else [line])]
    if not _is_vector(row) or not SMALLEST_PICTURE <= len(row) <= LARGEST_PICTURE:
        return None
    side = math.isqrt(len(row))
    low, high = min(row), max(row)
    if side * side != len(row) or high <= low:
        return None
    return [round((number - low) / (high - low), 3) for number in row], side


def answer_of(output: Any) -> Answer | None:
    if output is None:
        return None
    if isinstance(output, Mapping):
        return _answer_of_fields(output)
    rows = rows_of(output)
    if not rows:
        return None
    head = rows[0]
    if isinstance(head, Mapping):
        made = _answer_of_fields(head)
        return made and Answer(label=made.label, scores=made.scores, rows=len(rows))
    if _is_vector(head) and len(rows) == 1 and isinstance(output, list) and output is head and len(head) > 1:
        return Answer(label=scalar(head[0]), rows=len(head))  # one answer a row
    if _is_vector(head) and len(head) > 1:
        return Answer(label=scalar(head.index(max(head))), scores=_scores(head), rows=len(rows))
    return Answer(label=scalar(head[0] if isinstance(head, list) and head else head), rows=len(rows))


def _answer_of_fields(fields: Mapping[str, Any]) -> Answer | None:
    """The first field is the answer (types.model.Signature); the first one with several numbers a row holds scores."""
    label, rows = "", 1
    scores: tuple[tuple[str, float], ...] = ()
    for value in fields.values():
        of_field = value if isinstance(value, list) else [value]
        head = of_field[0] if of_field else None
        if isinstance(head, list | Mapping):
            scores = scores or _scores(head)
        elif not label:
            label, rows = scalar(head), max(len(of_field), 1)
    return Answer(label=label, scores=scores, rows=rows) if label or scores else None


def _scores(values: Any) -> tuple[tuple[str, float], ...]:
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    return tuple((str(name), float(v)) for name, v in pairs if isinstance(v, int | float))[:SHOWN]


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, int | float) for v in value)


def show_input(visit: Visit, value: Any) -> None:
    """The first row as a picture or a table, and how many more there are."""
    if value is None:
        text("p", "faint", visit.say("value.not_kept"))
        return
    rows = rows_of(value)
    if not rows:
        text("p", "faint", visit.say("value.no_rows"))
        return
    with tag("div", "stack stack-8"):
        show_row(visit, rows[0])
        if len(rows) > 1:
            text("p", "faint small", visit.count("value.more_rows", len(rows) - 1))


def show_row(visit: Visit, row: Any) -> None:
    if picture := pixels_of(row):
        show_pixels(visit, *picture)
    elif isinstance(row, Mapping):
        _show_fields(visit, {str(name): value for name, value in row.items()})
    elif isinstance(row, list):
        _show_fields(visit, {str(index): value for index, value in enumerate(row)})
    else:
        text("p", "", scalar(row))


def show_pixels(visit: Visit, alphas: list[float], side: int) -> None:
    label = visit.say("value.picture", side=side, count=len(alphas))
    size = max(2, min(14, 196 // side))
    with tag("div", "pixels", role="img", aria_label=label, title=label) as grid:
        grid.style(f"grid-template-columns: repeat({side}, {size}px)")
        for alpha in alphas:
            tag("i").style(f"opacity: {alpha}; width: {size}px; height: {size}px")


def _show_fields(visit: Visit, fields: dict[str, Any]) -> None:
    with tag("table", "plain-table"), tag("tbody"):
        for name, value in list(fields.items())[:SHOWN]:
            with tag("tr"):
                text("th", "", name)
                text("td", "", _brief(visit, value))
    if len(fields) > SHOWN:
        text("p", "faint small", visit.count("value.more_fields", len(fields) - SHOWN))


def _brief(visit: Visit, value: Any) -> str:
    if isinstance(value, list):
        if len(value) <= 4 and all(not isinstance(v, list | Mapping) for v in value):
            return ", ".join(scalar(v) for v in value)
        return visit.count("value.items", len(value))
    if isinstance(value, Mapping):
        return visit.count("value.items", len(value))
    return scalar(value)


def show_answer(visit: Visit, output: Any) -> None:
    answer = answer_of(output)
    if answer is None:
        text("p", "faint", visit.say("value.no_answer"))
        return
    with tag("div", "stack stack-8"):
        text("div", "answer", answer.label or "–")
        if answer.rows > 1:
            text("p", "faint small", visit.count("value.more_answers", answer.rows - 1))
        largest = max((score for _, score in answer.scores), default=0.0)
        if answer.scores:
            _show_scores(answer, largest)


def _show_scores(answer: Answer, largest: float) -> None:
    of_whole = all(0 <= score <= 1.001 for _, score in answer.scores)
    for name, score in answer.scores:
        with tag("div", "score"):
            text("span", "ellipsis-1", name, title=name)
            with tag("span", "track"):
                part = max(score, 0.0) / largest if largest > 0 else 0.0
                tag("i").style(f"width: {100 * (score if of_whole else part):.1f}%")
            text("span", "num soft", percent(score, 1.0) if of_whole else scalar(score))
