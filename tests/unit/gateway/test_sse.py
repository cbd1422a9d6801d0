"""Framing of server-sent events: whatever the split and the ends of lines, the same events, and no byte lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.sse import Event, Frames, framed
from headrace.types.errors import UpstreamError

BODY = (
    ": keep-alive\n\n"
    'data: {"a": "ä€😀"}\n\n'
    "event: content_block_delta\ndata: {}\n\n"
    "event: two\ndata: first\ndata: second\nid: 7\n\n"
    "data:no space\n\n"
    "data\n\n"
    "retry: 10\n\n"
    "data: [DONE]\n\n"
)
EVENTS = [
    (b"", b""),
    (b"", '{"a": "ä€😀"}'.encode()),
    (b"content_block_delta", b"{}"),
    (b"two", b"first\nsecond"),
    (b"", b"no space"),
    (b"", b""),
    (b"", b""),
    (b"", b"[DONE]"),
]


def fed(body: bytes, cuts: list[int]) -> list[Event]:
    frames, events, start = Frames(), [], 0
    for cut in [*sorted({c % (len(body) + 1) for c in cuts}), len(body)]:
        events += frames.feed(body[start:cut])
        start = cut
    return events + frames.close()


@given(cuts=st.lists(st.integers(0, 10_000), max_size=40), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_split_and_any_end_of_line_give_the_same_events(cuts: list[int], end: str) -> None:
    body = BODY.replace("\n", end).encode()
    events = fed(body, cuts)
    assert b"".join(event.raw for event in events) == body
    assert [(e.name, e.data) for e in events if e.raw.strip()] == EVENTS


@given(
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=BODY.count("\n"), max_size=BODY.count("\n")),
    cuts=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_ends_of_lines_may_be_mixed(ends: list[str], cuts: list[int]) -> None:
    mixed = "".join(line + end for line, end in zip(BODY.split("\n"), ends, strict=False)).encode()
    events = fed(mixed, cuts)
    assert b"".join(event.raw for event in events) == mixed
    # \r before \n is one end, so a line's own \r may join with the \n of an empty line after it: compare with no split.
    assert [(e.name, e.data) for e in events if e.data] == [(e.name, e.data) for e in fed(mixed, []) if e.data]


def test_byte_by_byte() -> None:
    body = BODY.encode()
    assert [(e.name, e.data) for e in fed(body, list(range(len(body))))] == EVENTS


def test_the_last_event_counts_without_a_blank_line() -> None:
    frames = Frames()
    assert frames.feed(b"data: 1\n\ndata: [DONE]\n") == [Event(b"data: 1\n\n", b"", b"1")]
    assert frames.close() == [Event(b"data: [DONE]\n", b"", b"[DONE]")]
    assert frames.close() == []


def test_an_event_is_not_held_up_by_a_carriage_return() -> None:
    frames = Frames()
    assert [e.data for e in frames.feed(b"data: 1\r\n\r")] == [b"1"]
    assert [e.data for e in frames.feed(b"\ndata: 2\r\r")] == [b"2"]


@pytest.mark.parametrize("cuts", [[], [1], [1, 2], [1, 2, 3]])
def test_a_byte_order_mark_is_dropped(cuts: list[int]) -> None:
    assert fed(b"\xef\xbb\xbfdata: 1\n\n", cuts) == [Event(b"data: 1\n\n", b"", b"1")]


@pytest.mark.parametrize("start", [b"data: ", b"data:\r\ndata: "])
def test_memory_is_bounded(start: bytes) -> None:
    frames = Frames(limit=1000)
    frames.feed(start + b"x" * 900)
    with pytest.raises(UpstreamError, match="larger than 1000 bytes"):
        frames.feed(b"x" * 100)


def test_ours_are_read_as_they_were_written() -> None:
    assert fed(framed(b"{}"), []) == [Event(b"data: {}\n\n", b"", b"{}")]
    assert fed(framed(b"{}", b"error"), []) == [Event(b"event: error\ndata: {}\n\n", b"error", b"{}")]
