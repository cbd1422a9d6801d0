"""What clients and servers may write into a chat, and what is read of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.dialects.openai_chat import ChatDialect
from headrace.types.errors import BadInput

CHAT = ChatDialect()
ODD: list[Any] = [None, True, False, 0, 1, -3, 7, 2.0, 2.5, 1 << 70, "", "ada", "\u0000", [], {}, [1]]
odd = st.sampled_from(ODD)
NAMES = ("stream", "max_tokens", "max_completion_tokens", "n", "user", "safety_identifier", "temperature")
options = st.dictionaries(st.just("include_usage"), odd) | odd
requests = st.fixed_dictionaries(
    {},
    optional={"model": odd | st.just("gpt"), "stream_options": options, **dict.fromkeys(NAMES, odd)},
)

messages = st.fixed_dictionaries(
    {"content": odd},
    optional=dict.fromkeys(("refusal", "reasoning", "reasoning_content"), st.sampled_from([None, "", "hm"]))
    | {"tool_calls": st.sampled_from([None, [], [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]])},
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "message": messages | st.none(),
        "delta": messages | st.none(),
        "text": odd,
        "index": st.sampled_from([0, 1, 2]),
        "finish_reason": st.sampled_from([None, "stop", "length", "function_call", "", 3]),
    },
)
DETAILS = [None, 3, {}, {"cached_tokens": 2, "audio_tokens": 1}, {"reasoning_tokens": 3}]
usages = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"), odd)
    | dict.fromkeys(("prompt_tokens_details", "completion_tokens_details"), st.sampled_from(DETAILS)),
)
answers = st.fixed_dictionaries(
    {},
    optional={
        "id": odd,
        "model": odd,
        "choices": st.lists(choices, max_size=2) | st.none(),
        "usage": usages | odd,
        "error": st.sampled_from([None, "", "it broke", {"message": "it broke"}]),
    },
)


@given(requests)
def test_a_request_is_read_or_its_field_is_named(request: dict[str, Any]) -> None:
    body = json.dumps(request).encode()
    try:
        asked = CHAT.ask(body)
    except BadInput as error:
        named = (error.field or "").partition(".")[0]
    else:
        named = "model"
        assert asked.max_tokens >= 0
        assert (asked.model, asked.fields.keys()) == (request["model"], request.keys())
    assert named in {"model", "stream_options", *NAMES}


def test_a_name_that_comes_twice_is_the_last_one() -> None:
    asked = CHAT.ask(b'{"model":"a","n":1,"model":"b","n":2,"max_tokens":5,"user":"\xc3\xa9"}')
    assert (asked.model, asked.max_tokens, asked.user) == ("b", 10, "é")


@given(answers)
def test_an_answer_is_whole_or_a_failure(answer: dict[str, Any]) -> None:
    """Whatever an upstream says: it is read without raising, and has a choice where it counts as whole."""
    told = CHAT.answered(json.dumps(answer).encode())
    assert told.ended is (told.failure is None)
    assert told.ended is (not answer.get("error") and bool(answer.get("choices")))
    texts = [found for choice in answer.get("choices") or () if (found := choice.get("message") or choice.get("delta"))]
    if told.text:
        assert told.text in {text for found in texts for text in map(str, found.values())} | {
            choice.get("text") for choice in answer["choices"]
        }
