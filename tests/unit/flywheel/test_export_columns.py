"""The columns of an export: the same rows and the same texts as one by one, without looking at them one by one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.flywheel.examples import Said
from headrace.flywheel.stream import _Split, _told
from headrace.store.journal.flow import SCHEMA as CALLS
from headrace.store.journal.flow import Passed
from headrace.store.lines import SCHEMA, Calls, Part, Told, lines_of
from headrace.store.rows import ParquetFlow
from headrace.store.texts import csv_of, jsonl

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
scalars = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | words | st.sampled_from("[]{},")
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=2), max_leaves=6
)


@st.composite
def texts(draw: st.DrawFn) -> str | None:
    """JSON as callers write it, with and without white space; null is no text (records.text_of)."""
    value = draw(values | values.map(lambda inner: [inner]) | values.map(lambda inner: [[inner]]))
    if value is None:
        return None
    spaced = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
    text = json.dumps(value, separators=spaced, ensure_ascii=False)
    if draw(st.booleans()):
        text = text.replace("[", "[ ").replace("]", " ]")
    return text


@st.composite
def passed(draw: st.DrawFn) -> Passed:
    number = draw(st.integers(0, 5))
    told = {"status": "ok", "shadow_of": "", "reason": "bucket", "unit": draw(words)}
    return Passed(
        time=draw(st.floats(0, 1e12)),
        trace_id=f"tr-{number}",
        endpoint="digits",
        version=1,
        rows=draw(st.sampled_from([1, 1, 1, 2, 3])),
        input=draw(texts()),
        output=draw(texts()),
        **told,
    )


said = st.builds(
    lambda rating, corrected, correction, comment: Said(
        rating=rating, corrected=corrected, correction=correction if corrected else None, comment=comment
    ),
    st.none() | st.booleans(),
    st.booleans(),
    values,
    st.none() | words,
)
spoken = st.dictionaries(st.integers(0, 5).map("tr-{}".format), said, max_size=4)


def block_of(calls: list[Passed]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([call._asdict() for call in calls], schema=CALLS)


def nobody(call: Passed) -> list[Part]:
    raise AssertionError(f"looked at one by one: {call}")


@settings(max_examples=50)
@given(st.lists(passed(), min_size=1, max_size=8), spoken, st.none() | st.integers(1, 5))
def test_columns_hold_what_each_call_gives(calls: list[Passed], told: Mapping[str, Said], limit: int | None) -> None:
    split = _Split(told)
    found, count = lines_of(Calls(block_of(calls)), _told(told), {"digits": "m"}, split=split, limit=limit)
    giving = [(call, parts) for call in calls if (parts := split(call))][:limit]
    assert count == len(giving)
    expected = [
        (call.trace_id, call.time, call.unit, *part, told.get(call.trace_id, Said()).rating)
        for call, parts in giving
        for part in parts
    ]
    names = ["trace_id", "time", "unit", "inputs", "output", "label", "corrected", "rating"]
    assert [tuple(row[name] for name in names) for row in found.to_pylist()] == expected


@pytest.mark.parametrize(
    ("given_", "input_", "answer", "output"),
    [
        ("[[1.0,2.0]]", "[1.0,2.0]", "[7]", "7"),
        ('[{"a":1,"b":"x, y"}]', '{"a":1,"b":"x, y"}', "[[0.25,0.75]]", "[0.25,0.75]"),
        ("[1,2,3]", "[1,2,3]", '["cat"]', '"cat"'),
        ("[5]", "[5]", '{"label":[3]}', '{"label":[3]}'),
    ],
)
def test_usual_calls_are_taken_apart_in_columns_alone(given_: str, input_: str, answer: str, output: str) -> None:
    call = Passed(1.7e9, "tr-1", "digits", 1, "ann", "ok", 1, given_, answer, "", "bucket")
    told = {"tr-1": Told(rating=True, comment=None, correction=None)}
    found, count = lines_of(Calls(block_of([call] * 3)), told, {"digits": "m"}, split=nobody, limit=None)
    assert count == 3
    for row in found.to_pylist():
        assert (row["inputs"], row["output"], row["label"]) == (input_, output, output)


def test_a_correction_may_be_that_there_is_nothing() -> None:
    call = Passed(1.7e9, "tr-1", "digits", 1, "ann", "ok", 1, "[[1]]", "[7]", "", "bucket")
    told = _told({"tr-1": Said(corrected=True, correction=[None], rating=True)})
    found, _ = lines_of(Calls(block_of([call])), told, {"digits": "m"}, split=nobody, limit=None)
    (row,) = found.to_pylist()
    assert (row["label"], row["corrected"], row["output"]) == (None, True, "7")


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    text = st.none() | values.map(lambda value: msgspec.json.encode(value).decode()).map(
        lambda text: None if text == "null" else text
    )
    return {
        "trace_id": draw(words),
        "time": draw(st.floats(0, 1e12) | st.integers(0, 2_000_000_000).map(float)),
        "endpoint": draw(words),
        "model": draw(words),
        "version": draw(st.integers(0, 99)),
        "inputs": draw(text),
        "output": draw(text),
        "label": draw(text),
        "rating": draw(st.none() | st.booleans()),
        "corrected": draw(st.booleans()),
        "comment": draw(st.none() | words),
        "unit": draw(words),
    }


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: row[name] and msgspec.Raw(row[name].encode()) for name in ("inputs", "output", "label")}


@settings(max_examples=50)
@given(st.lists(rows(), min_size=1, max_size=5))
def test_lines_are_those_of_msgspec(found: list[dict[str, Any]]) -> None:
    expected = msgspec.json.Encoder().encode_lines([decoded(row) for row in found])
    assert jsonl(pa.RecordBatch.from_pylist(found, schema=SCHEMA)) == expected


@settings(max_examples=50)
@given(st.lists(rows(), min_size=1, max_size=5))
def test_cells_are_those_of_the_csv_module(found: list[dict[str, Any]]) -> None:
    out = io.StringIO(newline="")
    for row in found:
        cells = row | {"time": repr(row["time"]), "inputs": row["inputs"] or "null"}
        for name in ("output", "label"):
            if (row[name] or "").startswith('"'):
                cells[name] = json.loads(row[name])
        for name in ("rating", "corrected"):
            cells[name] = None if row[name] is None else json.dumps(row[name])
        csv.writer(out).writerow(cells.values())
    assert csv_of(pa.RecordBatch.from_pylist(found, schema=SCHEMA), ()).decode() == out.getvalue()


@settings(max_examples=50)
@given(st.lists(rows(), min_size=1, max_size=5))
def test_parquet_keeps_the_columns(found: list[dict[str, Any]]) -> None:
    flow = ParquetFlow()
    block = pa.RecordBatch.from_pylist(found, schema=SCHEMA)
    table = pq.read_table(io.BytesIO(flow.write([block, block]) + flow.close()))
    assert table.to_pylist() == found * 2
    assert table.schema.equals(SCHEMA)
