"""Rows as Arrow columns. JSON values stay JSON text; one that is null is absent.

Called by the archive. Decides the column types, from the fields of the stored rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields as dataclass_fields
from operator import attrgetter
from typing import Any

import pyarrow as pa

from headrace.store.journal.records import CallRow, FeedbackRow, text_of
from headrace.store.journal.segments import Kind
from headrace.types.call import MetricEvent, PlaneEvent

_ARROW = {"str": pa.string(), "float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "msgspec.Raw": pa.string()}

# Annotations are text in these modules, so they name the column type.
_COLUMNS: dict[Kind, dict[str, str]] = {
    "calls": dict(CallRow.__annotations__),
    "feedback": dict(FeedbackRow.__annotations__),
    "metrics": {f.name: str(f.type) for f in dataclass_fields(MetricEvent)},
    "events": {f.name: str(f.type) for f in dataclass_fields(PlaneEvent)},
}

SORT: dict[str, list[tuple[str, str]]] = {
    "calls": [("time", "ascending"), ("trace_id", "ascending")],
    "feedback": [("time", "ascending"), ("trace_id", "ascending")],
    "metrics": [("time", "ascending"), ("id", "ascending")],
    "events": [("time", "ascending")],
}


def to_table(kind: Kind, rows: Sequence[Any]) -> pa.Table:
    columns = _COLUMNS[kind]
    values = zip(*map(attrgetter(*columns), rows), strict=True)
    return pa.table({name: _column(v, columns[name]) for name, v in zip(columns, values, strict=True)})


def _column(values: Sequence[Any], text: str) -> pa.Array:
    if text == "msgspec.Raw":
        values = [text_of(value) for value in values]
    return pa.array(values, type=_ARROW[text])
