"""Templates and paths between rows and somebody else's JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.mapping import EACH, check_template, fill, parse_path, read
from headrace.types.errors import BadInput

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text().filter(lambda text: not text.startswith("$")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.mark.parametrize(
    ("template", "each", "body"),
    [
        ("$rows", False, ROWS),
        ({"instances": "$rows", "n": 1}, False, {"instances": ROWS, "n": 1}),
        ({"columns": {"a": "$rows.a", "b": ["$rows.b"]}}, False, {"columns": {"a": [1, 2], "b": [["x", "y"]]}}),
        ({"price": "$$5", "row": "$rows"}, False, {"price": "$5", "row": ROWS}),
        ({"a": "$row.a", "b": [{"c": "$row.b"}]}, True, {"a": 1, "b": [{"c": "x"}]}),
        ("$row", True, ROWS[0]),
    ],
)
def test_a_template_is_filled(template: Any, each: bool, body: Any) -> None:
    check_template(template, ["a", "b"], each=each)
    assert fill(template, ROWS[0] if each else ROWS, each=each) == body


@given(values)
def test_what_stands_for_nothing_else_stays_as_it_is(template: Any) -> None:
    assert fill(template, ROWS, each=False) == template
    with pytest.raises(BadInput, match="no place for the rows"):
        check_template(template, ["a"], each=False)


@pytest.mark.parametrize(
    ("template", "each"),
    [({"x": "$row"}, False), ("$rows.c", False), ("$rows", True), ("$secret", False), (["$rows.__class__"], False)],
)
def test_a_place_for_nothing_is_refused_with_those_there_are(template: Any, each: bool) -> None:
    with pytest.raises(BadInput, match=r"stands for nothing; allowed: \$rows?, \$rows?\.a"):
        check_template(template, ["a", "b"], each=each)


ANSWER = {"ok": True, "result": {"scores": [[1, 2], [3, 4]], "items": [{"label": "x"}, {"label": "y"}]}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", ANSWER),
        ("result.scores", [[1, 2], [3, 4]]),
        ("result.scores[1]", [3, 4]),
        ("result.scores[][0]", [1, 3]),
        ("result.items[].label", ["x", "y"]),
        ("result.items[0].label", "x"),
    ],
)
def test_a_path_is_read(path: str, found: Any) -> None:
    assert read(parse_path(path), ANSWER) == found


def test_the_answer_itself_may_be_a_list() -> None:
    assert parse_path("[].a") == (EACH, "a")
    assert read(parse_path("[].a"), [{"a": 1}, {"a": 2}]) == [1, 2]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("result.labels", "result is an object without 'labels'"),
        ("result.items[2]", r"result\.items is a list without 2"),
        ("result.items[].score", "the answer is an object without 'score'"),
        ("ok[]", "ok is a truth value, not a list"),
        ("ok.really", "ok is a truth value without 'really'"),
        ("result[0]", "result is an object without 0"),
        ("x", "the answer is an object without 'x'"),
    ],
)
def test_what_is_not_there_is_named(path: str, told: str) -> None:
    with pytest.raises(LookupError, match=told):
        read(parse_path(path), ANSWER)


@pytest.mark.parametrize("path", ["a[", "a[x]", "a]b", "a..b", "a[-1]", ".", "a.", "[0]b"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="cannot be read from"):
        parse_path(path)


@given(st.text(max_size=20))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        parse_path(text)
    except BadInput:
        return
