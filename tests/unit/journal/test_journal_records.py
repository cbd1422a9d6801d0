from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_samples import make_call, make_event, make_feedback

from headrace.store.journal.records import (
    BadLine,
    CallRow,
    FeedbackRow,
    call_of,
    decode,
    decode_row,
    encode_call,
    encode_event,
    encode_feedback,
    parse,
    text_of,
)
from headrace.types.call import Call, CallStatus, Feedback
from headrace.types.traffic import Reason

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
calls = st.builds(
    make_call,
    st.integers(0, 1000),
    endpoint=st.text(),
    reason=st.sampled_from(Reason),
    status=st.sampled_from(CallStatus),
    latency_ms=st.floats(0, 1e9),
    error=st.text(),
    input=values,
    output=values,
)


@given(calls)
def test_a_call_comes_back_from_its_line(call: Call) -> None:
    line = encode_call(call)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b"\0" not in line
    assert decode(line) == call


@given(calls)
def test_a_stored_row_is_the_call(call: Call) -> None:
    row = decode_row(encode_call(call)).call
    assert row is not None
    assert call_of(row) == call


@given(values)
def test_raw_input_and_output_go_in_as_they_came(value: Any) -> None:
    text = json.dumps(value).encode()  # not as msgspec would write it: blanks after commas, escapes
    line = encode_call(make_call(input=msgspec.Raw(text), output=msgspec.Raw(text)))
    assert text in line
    found = decode(line)
    assert isinstance(found, Call)
    assert found.input == found.output == value


def test_a_pretty_printed_request_stays_one_line() -> None:
    line = encode_call(make_call(input=msgspec.Raw(b'{\n  "rows": [\r\n 1,\n 2],\n "text": "a\\nb"}\n')))
    assert line.count(b"\n") == 1
    found = decode(line)
    assert isinstance(found, Call)
    assert found.input == {"rows": [1, 2], "text": "a\nb"}


def test_a_nul_from_outside_cannot_end_a_segment() -> None:
    line = encode_call(make_call(input=msgspec.Raw(b'"a\0b"')))
    assert b"\0" not in line
    assert decode(line).input == "a?b"  # type: ignore[union-attr]


def test_feedback_and_events_come_back() -> None:
    for record, line in (
        (make_feedback(3), encode_feedback(make_feedback(3))),
        (make_event(4), encode_event(make_event(4))),
    ):
        assert decode(line) == record


@pytest.mark.parametrize("stored", [(CallRow, Call), (FeedbackRow, Feedback)], ids=["call", "feedback"])
def test_stored_rows_have_the_fields_of_their_noun(stored: tuple[type[msgspec.Struct], type]) -> None:
    row, noun = stored
    expected = {f.name: f.default for f in fields(noun)}
    found = {f.name: f.default for f in msgspec.structs.fields(row)}
    assert list(found) == list(expected)
    for name, default in expected.items():
        if isinstance(found[name], msgspec.Raw):
            assert default in (None, ()), name
        else:
            assert (found[name] is msgspec.NODEFAULT) == (default is MISSING), name
            assert default is MISSING or found[name] == default, name


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0\0\0",
        b"{",
        b'{"call": {"trace_id": "tr-1"}}',
        b'{"call": {"tra',
        b"[]",
        b'{"assessment": {}}',
        b"null",
        encode_call(make_call())[5:],
        encode_feedback(make_feedback()).replace(b"human", b"hu\xffan"),
        encode_call(make_call(input=msgspec.Raw(b"[" * 5000 + b"]" * 5000))),
    ],
)
def test_what_is_no_record_is_said_to_be_none(line: bytes) -> None:
    with pytest.raises(BadLine):
        decode(line)


def test_a_call_counts_whatever_its_caller_sent() -> None:
    for raw, kept in ((b"[1e999]", "[1e999]"), (b'"\xff"', "\ufffd")):
        assert decode(encode_call(make_call(3, input=msgspec.Raw(raw)))) == make_call(3, input=kept)


def test_text_that_is_not_utf8_does_not_stop_the_archive() -> None:
    row = decode_row(encode_call(make_call(input=msgspec.Raw(b'"\xff"')))).call
    assert row is not None
    assert text_of(row.input) == '"\ufffd"'


@pytest.mark.parametrize("text", ['"\\ud800"', "1e999"])
def test_json_that_python_cannot_hold_stays_text(text: str) -> None:
    assert parse(text) == text
