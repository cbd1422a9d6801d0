"""A call and what people said of it, as rows of a data set. Pure; called by export.py.

One row per row of the input. Which answer is right:

    label = the corrected output, when a person gave one that fits the rows of the call; it wins over the output
          = the output, when the newest rating is a thumbs up
          = none otherwise: nobody has said what is right

A correction fits the rows of a call of one row as it is, those of several rows as
a list with one entry per row; any other correction of such a call belongs to no row, and is counted in `misfits`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headrace.flywheel.selection import Rating
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName

COLUMNS = (
    "trace_id",
    "time",
    "endpoint",
    "model",
    "version",
    "inputs",
    "output",
    "label",
    "rating",
    "corrected",
    "comment",
    "unit",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What people said of one call, as it stands now."""

    rating: bool | None = None
    correction: Any = None
    corrected: bool = False
    comment: str | None = None

    def matches(self, wanted: Rating | None) -> bool:
        match wanted:
            case None:
                return True
            case Rating.UP:
                return self.rating is True
            case Rating.DOWN:
                return self.rating is False
            case Rating.CORRECTED:
                return self.corrected
            case Rating.ANY:
                return self != NOTHING


NOTHING: Final = Said()
# As plain text, which hashes ten times as fast: millions are looked up.
_RATING, _CORRECTION, _COMMENT = (
    str(n.value) for n in (FeedbackName.RATING, FeedbackName.CORRECTION, FeedbackName.COMMENT)
)


def sum_up(feedback: Collection[Feedback]) -> Said:
    """The newest of each name; a tie goes to the larger id, so that the answer does not depend on the order."""
    ordered = sorted(feedback, key=lambda f: (f.time, f.id)) if len(feedback) > 1 else feedback
    newest = {one.name: one for one in ordered}
    rating, correction, comment = newest.get(_RATING), newest.get(_CORRECTION), newest.get(_COMMENT)
    return Said(
        rating=bool(rating.value) if rating else None,
        correction=correction.value if correction else None,
        corrected=correction is not None,
        comment=str(comment.value) if comment else next((f.comment for f in newest.values() if f.comment), None),
    )


@dataclass(slots=True, kw_only=True)
class Examples:
    rows: list[dict[str, Any]]
    misfits: int = 0  # 1: the correction does not fit the rows of the call


def examples_of(call: Call, said: Said, model: str) -> Examples:
    """Rows with COLUMNS as keys. A call whose input and output were not kept gives none."""
    if call.input is None:
        return Examples(rows=[])
    inputs, outputs = split_inputs(call.input, call.rows), rows_of(call.output, call.rows)
    corrections = rows_of(said.correction, call.rows) if said.corrected else None
    if inputs is None:
        return Examples(rows=[])
    found = Examples(rows=[], misfits=int(said.corrected and corrections is None))
    for index, values in enumerate(inputs):
        output = outputs[index] if outputs is not None else None
        corrected = corrections is not None
        praised = output if said.rating else None
        label = praised if corrections is None else corrections[index]
        what = (call.trace_id, call.time, call.endpoint, model, call.version, values, output)
        told = (label, said.rating, corrected, said.comment, call.unit)
        found.rows.append(dict(zip(COLUMNS, (*what, *told), strict=True)))
    return found


def split_inputs(value: Any, rows: int) -> list[Any] | None:
    """Each form that serving/codec.py takes, as a list with one entry per row; None when it does not have so many."""
    if isinstance(value, dict):
        columns = list(value.values())
        if columns and all(isinstance(column, list) and len(column) == rows for column in columns):
            return [{name: column[index] for name, column in value.items()} for index in range(rows)]
        return [value] if rows == 1 else None
    if isinstance(value, list) and len(value) == rows:
        return [value] if rows == 1 and not isinstance(value[0], list | dict) else list(value)
    return [value] if rows == 1 else None


def answered(call: Call, *, corrected: bool) -> bool:
    """It is worth a row: it has an answer, or failed and a person said what it should have been."""
    if call.status is CallStatus.OK:
        return True
    return corrected and call.status in (CallStatus.FAILED, CallStatus.TIMEOUT)


def answers_of(value: Any, call: Call) -> Sequence[Any] | None:
    """The model's answer for each row. Of outputs by name the first one is it, the others (scores) ride along; what a
    program gives is one thing, whatever its form."""
    if isinstance(value, dict) and value and call.protocol != "program":
        columns = list(value.values())
        if all(isinstance(column, list) and len(column) == call.rows for column in columns):
            return list(columns[0])
    return rows_of(value, call.rows)


def rows_of(value: Any, rows: int) -> Sequence[Any] | None:
    """One entry per row; a single value is that of a single row."""
    if isinstance(value, list) and len(value) == rows:
        return value
    return [value] if rows == 1 and value is not None else None
