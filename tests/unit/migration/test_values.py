"""Values in one form for all stores, sums of rows, and the description of a migration."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.migration.spec import parse_spec, read_spec
from headrace.migration.values import Sums, from_text, given_values, normal, row_hash, same, to_text
from headrace.types.errors import BadInput, NotFound, UpstreamError
from headrace.types.migration import Field, Kind, Layout, Row

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
JSON = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner | st.none()) | st.dictionaries(TEXT, inner | st.none()),
    max_leaves=5,
)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: TEXT,
    Kind.INT: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOL: st.booleans(),
    Kind.BYTES: st.binary(),
    Kind.JSON: JSON,
    Kind.TIME: st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5.5))])),
}
LAYOUT = Layout(key=Field(name="id", kind=Kind.TEXT), fields=tuple(Field(name=kind.value, kind=kind) for kind in Kind))
FEW = st.fixed_dictionaries({Kind.INT.value: VALUES[Kind.INT], Kind.TEXT.value: TEXT})
ROWS = st.fixed_dictionaries({kind.value: st.none() | values for kind, values in VALUES.items()})


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(ROWS)
def test_what_a_store_of_bytes_keeps_comes_back(values: dict[str, Any]) -> None:
    told = given_values(LAYOUT, values)
    back = {f.name: None if (v := told[f.name]) is None else from_text(f, to_text(f, v)) for f in LAYOUT.fields}
    assert back == told
    assert same(LAYOUT, Row(key="k", values=told), Row(key="k", version=3, values=back))


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(ROWS, st.sampled_from(list(Kind)), st.data())
def test_every_field_counts_in_the_hash(values: dict[str, Any], kind: Kind, data: st.DataObject) -> None:
    one = given_values(LAYOUT, values)
    other = one | {kind.value: given_values(LAYOUT, {kind.value: data.draw(VALUES[kind])})[kind.value]}
    equal = row_hash(LAYOUT, Row(key="k", values=one)) == row_hash(LAYOUT, Row(key="k", values=other))
    assert equal == (json.dumps(one, default=repr, sort_keys=True) == json.dumps(other, default=repr, sort_keys=True))


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(FEW, max_size=20), st.randoms())
def test_sums_do_not_mind_the_order(rows: list[dict[str, Any]], order: random.Random) -> None:
    made = [Row(key=str(i), values=given_values(LAYOUT, values)) for i, values in enumerate(rows)]
    one, other = Sums(LAYOUT), Sums(LAYOUT)
    one.add(made)
    order.shuffle(made)
    for row in made:
        other.add([row])
    assert one.differing(other) == frozenset()
    assert one.fingerprint() == other.fingerprint()
    if made:
        other.add(made[:1])
        assert one.rows + 1 == other.rows
        assert len(one.differing(other)) == 1
        assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.TEXT, "a\x00b"),
        (Kind.TEXT, b"bytes"),
        (Kind.INT, 1.0),
        (Kind.INT, True),
        (Kind.INT, 2**63),
        (Kind.FLOAT, math.nan),
        (Kind.FLOAT, math.inf),
        (Kind.FLOAT, False),
        (Kind.BOOL, 1),
        (Kind.BYTES, "text"),
        (Kind.JSON, {1, 2}),
        (Kind.TIME, "2026-11-21"),
    ],
)
def test_values_that_no_store_would_keep(kind: Kind, value: Any) -> None:
    with pytest.raises(BadInput, match=f"^{kind.value} is "):
        given_values(LAYOUT, {kind.value: value})


@pytest.mark.parametrize(
    ("kind", "raw", "wanted"),
    [
        (Kind.FLOAT, Decimal("1.50"), 1.5),
        (Kind.FLOAT, 3, 3.0),
        (Kind.INT, Decimal("7"), 7),
        (Kind.INT, 7.0, 7),
        (Kind.BOOL, 1, True),
        (Kind.BYTES, memoryview(b"x"), b"x"),
        (Kind.BYTES, "x", b"x"),
        (Kind.TEXT, b"x", "x"),
        (Kind.TIME, "2026-11-21 10:00:00+01:00", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        (Kind.TIME, datetime(2026, 11, 21, 9, tzinfo=UTC).replace(tzinfo=None), datetime(2026, 11, 21, 9, tzinfo=UTC)),
    ],
)
def test_what_drivers_give_in_one_form(kind: Kind, raw: Any, wanted: Any) -> None:
    assert normal(Field(name="x", kind=kind), raw) == wanted


@pytest.mark.parametrize(
    ("kind", "raw"),
    [(Kind.INT, 7.5), (Kind.INT, "x"), (Kind.FLOAT, "x"), (Kind.BOOL, 2), (Kind.TEXT, 5), (Kind.TIME, "soon")],
)
def test_what_is_none_of_its_kind_is_told(kind: Kind, raw: Any) -> None:
    with pytest.raises(UpstreamError, match=f"x is {raw!r} in the store; described as {kind.value}"):
        normal(Field(name="x", kind=kind), raw)


SPEC: dict[str, Any] = {
    "name": "features",
    "source": "sqlite:///a.db?table=t",
    "target": "redis://:${PASSWORD}@127.0.0.1/0?prefix=f:",
    "key": {"name": "user_id", "kind": "int"},
    "fields": {"spend": "float", "plan": "text"},
}


def test_a_description_with_a_secret() -> None:
    found = parse_spec(SPEC, {"PASSWORD": "p@ss/word"})
    assert found.target == "redis://:p%40ss%2Fword@127.0.0.1/0?prefix=f:"
    assert found.layout.key == Field(name="user_id", kind=Kind.INT)
    assert [f.name for f in found.layout.fields] == ["spend", "plan"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Features!"}, "name is 'Features!'; allowed"),
        ({"fields": {}}, "there are 0 fields; allowed: 1 to 500"),
        ({"fields": {"a-b": "text"}}, "a field is called 'a-b'"),
        ({"fields": {"user_id": "text"}}, "'user_id' is the key and a field"),
        ({"fields": {"x": "money"}}, "money"),
        ({"key": {"name": "id", "kind": "float"}}, "key.kind is 'float'; allowed: text, int"),
        ({"chunk": 0}, "chunk is 0; allowed: 1 to 10,000"),
        ({"target": SPEC["source"]}, "the same store"),
        ({"target": "redis://:${NOBODY}@h/0?prefix=f:"}, "asks for the variable NOBODY"),
        ({"speed": 1}, "speed"),
    ],
)
def test_a_description_that_is_wrong(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_spec(SPEC | change, {"PASSWORD": "x"})


def test_a_description_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        read_spec(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("name: [")
    with pytest.raises(BadInput, match="is no YAML"):
        read_spec(tmp_path / "bad.yaml")
