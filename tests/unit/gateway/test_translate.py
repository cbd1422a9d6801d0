"""Translation: golden documents in both directions, what cannot cross, and what no input may break.

A file in tests/golden/translate holds what a caller asked, what an upstream answered (whole and streamed), and under
`told` what the other side must be told: made by the code once, and read before it was kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.gateway.dialects.base import Address, Asked
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.sse import Frames
from headrace.gateway.translate.crossed import Crossed, bridges, target_of
from headrace.types.errors import BadInput, UpstreamError
from headrace.types.gateway import Failure, Wire

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "translate").glob("*.json"))
NOW = 1_700_000_000
PAIRS = [
    (Wire.CHAT, Wire.MESSAGES),
    (Wire.CHAT, Wire.GEMINI),
    (Wire.MESSAGES, Wire.CHAT),
    (Wire.MESSAGES, Wire.GEMINI),
    (Wire.RESPONSES, Wire.CHAT),
    (Wire.RESPONSES, Wire.MESSAGES),
    (Wire.RESPONSES, Wire.GEMINI),
]


def asked_of(wire: Wire, document: Any) -> Asked:
    return DIALECTS[wire].ask(json.dumps(document).encode(), Address(model="m", stream=bool(document.get("stream"))))


def crossed(source: Wire, target: Wire, document: Any, **how: Any) -> Crossed:
    return Crossed(asked_of(source, document), source, target, now=NOW, **how)


def told(across: Crossed, events: list[Any]) -> list[Any]:
    out = b""
    for event in events:
        name = str(event.get("type", "")).encode() if isinstance(event, dict) else b""
        out += across.event(name, event.encode() if isinstance(event, str) else json.dumps(event).encode())
    frames = Frames()
    read = frames.feed(out + across.close())
    assert frames.close() == []
    return [json.loads(e.data) if e.data.startswith(b"{") else (e.data or e.raw).decode() for e in read]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    case = json.loads(path.read_text())
    source, target = Wire(case["source"]), Wire(case["target"])
    across = crossed(source, target, case["asked"])
    assert json.loads(across.request("up")) == case["told"]["request"]
    assert list(across.lost) == case["told"]["lost"]
    assert [json.loads(across.answer(json.dumps(a).encode())) for a in case["answers"]] == case["told"]["answers"]
    for events, expected in zip(case["streams"], case["told"]["streams"], strict=True):
        across = crossed(source, target, case["asked"])
        across.request("up")
        assert told(across, events) == expected


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_stream_and_a_whole_answer_bill_the_same(path: Path) -> None:
    """The dialect of the caller, reading what was translated, counts what the upstream's dialect counted."""
    case = json.loads(path.read_text())
    source, target = Wire(case["source"]), Wire(case["target"])
    theirs, ours = DIALECTS[target], DIALECTS[source]
    for answer in case["answers"]:
        across = crossed(source, target, case["asked"])
        across.request("up")
        before = theirs.answered(json.dumps(answer).encode())
        after = ours.answered(across.answer(json.dumps(answer).encode()))
        assert (after.text, after.finish, after.failure) == (before.text, before.finish, None) or "refusal" in str(
            answer
        )
        if before.usage is not None:
            assert after.usage == before.usage


def test_which_ways_there_are() -> None:
    for source, target in PAIRS:
        assert bridges(source, target)
    assert target_of(Wire.MESSAGES, frozenset({Wire.GEMINI, Wire.CHAT})) is Wire.CHAT
    assert target_of(Wire.RESPONSES, frozenset({Wire.MESSAGES, Wire.COUNT_TOKENS})) is Wire.MESSAGES
    assert target_of(Wire.EMBEDDINGS, frozenset({Wire.MESSAGES})) is None
    assert target_of(Wire.GEMINI, frozenset({Wire.CHAT})) is None


def test_sampling_does_not_go_where_it_is_refused() -> None:
    across = crossed(
        Wire.CHAT, Wire.MESSAGES, {"model": "m", "temperature": 0.1, "top_p": 1, "messages": []}, sampling=False
    )
    assert "temperature" not in json.loads(across.request("up"))
    assert across.lost == ("temperature", "top_p")


def test_the_names_of_what_is_lost_fit_into_a_header() -> None:
    odd = {"a\r\nset-cookie: b": 1, "ä, b": 1, "x" * 99: 1, **{f"n{i}": 1 for i in range(99)}}
    across = crossed(Wire.CHAT, Wire.MESSAGES, {"model": "m", "messages": [], **odd})
    across.request("up")
    assert across.lost[:3] == ("a??set-cookie:?b", "???b", "x" * 64)
    assert len(across.lost) == 32


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt", "background"])
def test_what_needs_a_memory_is_refused(name: str) -> None:
    across = crossed(Wire.RESPONSES, Wire.CHAT, {"model": "m", "input": "x", name: {"id": "x"}})
    with pytest.raises(BadInput, match="memory") as refused:
        across.request("up")
    assert refused.value.field == name


@pytest.mark.parametrize(
    ("model", "name"), [("gpt-4o", "max_tokens"), ("gpt-5.1", "max_completion_tokens"), ("o3", "max_completion_tokens"),
                        ("openai/gpt-6", "max_completion_tokens"), ("qwen3", "max_tokens"), ("opus", "max_tokens")]
)  # fmt: skip
def test_newer_models_of_openai_want_another_limit(model: str, name: str) -> None:
    across = crossed(Wire.MESSAGES, Wire.CHAT, {"model": "m", "max_tokens": 5, "messages": []})
    assert json.loads(across.request(model))[name] == 5


@pytest.mark.parametrize(
    ("source", "target", "event"),
    [
        (Wire.CHAT, Wire.MESSAGES, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
        (Wire.MESSAGES, Wire.CHAT, {"error": {"message": "busy", "code": 500}}),
        (Wire.RESPONSES, Wire.CHAT, {"error": {"message": "busy", "code": None}}),
        (Wire.CHAT, Wire.GEMINI, {"error": {"message": "busy", "status": "UNAVAILABLE"}}),
        (Wire.RESPONSES, Wire.MESSAGES, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
        (Wire.MESSAGES, Wire.GEMINI, {"error": {"message": "busy", "status": "UNAVAILABLE"}}),
    ],
)
def test_an_error_inside_a_stream_is_one_on_the_other_side(source: Wire, target: Wire, event: Any) -> None:
    across = crossed(source, target, {"model": "m", "stream": True})
    across.request("up")
    follower = DIALECTS[source].follow(asked_of(source, {"model": "m"}))
    [read] = Frames().feed(across.event(b"", json.dumps(event).encode()))
    follower.feed(read.name, read.data)
    assert isinstance(follower.told.failure, Failure)
    assert follower.told.message == "busy"
    assert not follower.told.ended


def test_a_stream_that_was_cut_does_not_end_well() -> None:
    for source, target in PAIRS:
        across = crossed(source, target, {"model": "m", "stream": True})
        across.request("up")
        assert across.close() == b""


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
PLACES = st.integers(0, 2)
DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, TEXT),
    st.builds(lambda text: {"reasoning_content": text}, TEXT),
    st.builds(
        lambda index, text: {"tool_calls": [{"index": index, "function": {"arguments": text}}]}, st.integers(0, 2), TEXT
    ),
)


@settings(max_examples=60)
@given(deltas=st.lists(DELTAS, max_size=20), source=st.sampled_from([Wire.MESSAGES, Wire.RESPONSES]))
def test_any_stream_of_chat_keeps_its_text_and_calls(deltas: list[Any], source: Wire) -> None:
    """Whatever comes in whatever order: the caller's own dialect reads the same out of the translated stream."""
    across = crossed(source, Wire.CHAT, {"model": "m", "stream": True})
    across.request("up")
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    begun: set[int] = set()
    chunks: list[Any] = []
    for delta in deltas:
        for call in delta.get("tool_calls", []):
            if call["index"] not in begun:
                call |= {"id": f"c{len(begun)}", "index": len(begun)}
                call["function"]["name"] = "f"
                begun.add(call["index"])
        chunks.append({"id": "x", "model": "up", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    chunks.append({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"id": "x", "choices": [], "usage": usage})
    theirs = DIALECTS[Wire.CHAT].follow(asked_of(Wire.CHAT, {"model": "m"}))
    ours = DIALECTS[source].follow(asked_of(source, {"model": "m"}))
    out = b""
    for data in [*(json.dumps(chunk).encode() for chunk in chunks), b"[DONE]"]:
        theirs.feed(b"", data)
        out += across.event(b"", data)
    open_blocks: set[int] = set()
    for event in Frames().feed(out):
        ours.feed(event.name, event.data)
        read = json.loads(event.data)
        if read["type"] == "content_block_start":
            assert read["index"] not in open_blocks
            open_blocks.add(read["index"])
        elif read["type"] == "content_block_delta":
            assert read["index"] in open_blocks
        elif read["type"] == "content_block_stop":
            open_blocks.remove(read["index"])
    assert not open_blocks
    assert ours.told.ended
    assert ours.told.text == theirs.told.text
    assert [call["arguments"] for call in ours.told.tools] == [call["arguments"] for call in theirs.told.tools]
    assert ours.told.usage == theirs.told.usage


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "user", "text", "function", "auto"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "id", "parts",
                "input", "image_url", "url", "source", "index", "delta", "message", "finish_reason", "stop_reason",
            ]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
TOP = st.dictionaries(
    st.sampled_from(
        [
            "messages", "system", "tools", "tool_choice", "stop", "stop_sequences", "input", "text", "reasoning",
            "thinking", "choices", "candidates", "content", "usage", "usageMetadata", "output_config", "metadata",
            "response_format", "type", "delta", "message", "index", "content_block", "error",
        ]
    ),
    JSON,
    max_size=6,
)  # fmt: skip


@settings(max_examples=60)
@given(pair=st.sampled_from(PAIRS), asked=TOP, answered=TOP, events=st.lists(TOP, max_size=4))
def test_nothing_that_is_sent_breaks_a_translation(
    pair: tuple[Wire, Wire], asked: Any, answered: Any, events: list[Any]
) -> None:
    """It is translated, or refused as the sender's fault: never a crash."""
    across = crossed(*pair, {"model": "m", "stream": True, **asked})
    try:
        json.loads(across.request("up"))
    except BadInput:
        return
    try:
        json.loads(across.answer(json.dumps(answered).encode()))
        told(across, events)
    except UpstreamError:
        return
