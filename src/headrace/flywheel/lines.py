"""One row of a dataset version as it stands in its file, and back. Pure; called by datasets.py and differ.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from headrace.data.rows import Candidate
from headrace.types.call import FeedbackName
from headrace.types.dataset import RowOrigin, Split

COLUMNS: Final = (
    "row",
    "trace_id",
    "index",
    "time",
    "endpoint",
    "model",
    "version",
    "unit",
    "inputs",
    "output",
    "label",
    "critique",
    "rule",
    "rating",
    "comment",
    "propensity",
    "feedback",
    "raters",
)


def line_of(row: Candidate, model: str) -> dict[str, Any]:
    """`rating`: what more people say, up or down; none where they are as many. Its weight is 1 / `propensity`."""
    ratings = [word.value for word in row.words if word.name == FeedbackName.RATING]
    up = sum(value is True for value in ratings)
    comments = dict.fromkeys(str(word.value) for word in row.words if word.name == FeedbackName.COMMENT)
    return {
        "row": row.row,
        "trace_id": row.trace_id,
        "index": row.index,
        "time": row.time,
        "endpoint": row.endpoint,
        "model": model,
        "version": row.version,
        "unit": row.unit,
        "inputs": row.inputs,
        "output": row.output,
        "label": row.label,
        "critique": row.critique or None,
        "rule": row.rule,
        "rating": None if 2 * up == len(ratings) else 2 * up > len(ratings),
        "comment": "\n".join(comments) or None,
        "propensity": row.propensity,
        "feedback": sorted(word.id for word in row.words),
        "raters": sorted({word.rater for word in row.words}),
    }


def candidate_of(line: Mapping[str, Any], split: Split) -> Candidate:
    """Without its words: of those only the ids are kept."""
    return Candidate(
        row=line["row"],
        trace_id=line["trace_id"],
        index=line["index"],
        time=line["time"],
        endpoint=line["endpoint"],
        version=line["version"],
        unit=line["unit"],
        inputs=line["inputs"],
        output=line["output"],
        label=line["label"],
        rule=line["rule"],
        split=split,
        propensity=line["propensity"],
    )


def origin_of(line: Mapping[str, Any], split: Split) -> RowOrigin:
    return RowOrigin(
        row=line["row"],
        split=split,
        trace_id=line["trace_id"],
        index=line["index"],
        endpoint=line["endpoint"],
        version=line["version"],
        unit=line["unit"],
        time=line["time"],
        rule=line["rule"],
        feedback=tuple(line["feedback"]),
        raters=tuple(line["raters"]),
    )
