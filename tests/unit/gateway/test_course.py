"""A stream that is skimmed is the stream that was read event by event: the same bytes for the caller, the same told."""

from __future__ import annotations

import json
from typing import Any

from gateway_samples import ASK, DONE, chunk
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.course import Course
from headrace.gateway.dialects.anthropic_messages import MessagesDialect
from headrace.gateway.dialects.base import Dialect, Told
from headrace.gateway.dialects.openai_chat import ChatDialect
from headrace.gateway.dialects.skim import MOST_EVENTS

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}


def choosing(**choice: Any) -> bytes:
    body = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": None} | choice]}
    return b"data: %b\n\n" % json.dumps(body, separators=(",", ":")).encode()


WORDS = [chunk(text) for text in ("Paris", " \n\n", 'an "error" in "choices":[{', "é", "")]
CHATS = [
    *WORDS,
    *WORDS,
    choosing(delta={"content": "w"}),
    choosing(delta={"content": "second"}, index=1),
    choosing(delta={"reasoning_content": "hm"}),
    choosing(delta={"tool_calls": [CALL]}),
    choosing(delta={"content": 1}),
    choosing(delta=7),
    choosing(delta={"content": "last"}, finish_reason="length"),
    chunk(finish="stop"),
    chunk(usage=USAGE),
    chunk(usage=None),
    chunk("w").replace(b"\n\n", b"\r\n\r\n"),
    b"data: {}, {}\n\n",
    b"data: {no json}\n\n",
    b'data: {"error": {"message": "it broke", "code": 500}}\n\n',
    b": a comment\n\n",
    b"\n",
    b"id: 7\n" + chunk("named"),
    b"data: {\ndata: }\n\n",
    DONE,
]


def saying(kind: str, name: str = "", **more: Any) -> bytes:
    body = json.dumps({"type": kind, "index": 0} | more).encode()
    return b"event: %b\ndata: %b\n\n" % ((name or kind).encode(), body)


MESSAGES = [
    *[saying("content_block_delta", delta={"type": "text_delta", "text": text}) for text in ("a", "b", "c", "\n\n")],
    saying("content_block_delta", delta={"type": "input_json_delta", "partial_json": "{}"}),
    saying("content_block_delta", delta={"type": "thinking_delta", "thinking": "hm"}),
    saying("content_block_delta", delta=None),
    saying("content_block_delta", index="0"),
    saying("message_start", message={"id": "m", "model": "x", "usage": {"input_tokens": 3, "output_tokens": 1}}),
    saying("content_block_start", content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}),
    saying("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}),
    saying("message_delta", name="content_block_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}),
    saying("error", error={"type": "overloaded_error", "message": "full"}),
    saying("error", name="content_block_delta", error={"type": "overloaded_error", "message": "full"}),
    saying("message_stop"),
    b"event: ping\ndata: {}\n\n",
]


def run(dialect: Dialect, pieces: list[bytes], *, skims: bool, usage: bool = False) -> tuple[bytes, list[Any], Told]:
    """All that was shown; what was shown after each piece, and whether an event had come by then; what was told."""
    options = {"stream": True, "stream_options": {"include_usage": usage}, "max_tokens": 9}
    course = Course(dialect, dialect.ask(json.dumps(ASK | options).encode()), None)
    if not skims:
        course._skim = None
    shown = [(course.feed(piece), course.seen) for piece in pieces] + [(course.rest(), course.seen)]
    return b"".join(out for out, _ in shown), shown, course.told


@st.composite
def streams(draw: st.DrawFn, events: list[bytes]) -> list[bytes]:
    """Cut anywhere: often between events, sometimes within them."""
    drawn = draw(st.lists(st.sampled_from(events), max_size=14))
    if draw(st.booleans()):
        return drawn
    whole = b"".join(drawn)
    cuts = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=6)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True) if start < end]


@given(streams(CHATS), st.booleans())
def test_chats(pieces: list[bytes], usage: bool) -> None:
    dialect = ChatDialect()
    assert run(dialect, pieces, skims=True, usage=usage) == run(dialect, pieces, skims=False, usage=usage)


@given(streams(MESSAGES))
def test_messages(pieces: list[bytes]) -> None:
    dialect = MessagesDialect()
    assert run(dialect, pieces, skims=True) == run(dialect, pieces, skims=False)


def test_words_are_read_later_but_no_more_than_so_many_wait() -> None:
    follower = ChatDialect().follow(ChatDialect().ask(json.dumps(ASK).encode()))
    for number in range(2 * MOST_EVENTS + 1):
        assert follower.skim(chunk(f"{number} "))  # type: ignore[misc]
        assert follower._skim.waiting == (number + 1) % MOST_EVENTS  # type: ignore[attr-defined]
    assert follower.told.text.split() == [str(number) for number in range(2 * MOST_EVENTS + 1)]
