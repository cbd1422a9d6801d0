"""The quick way to read a chat, taken where it is as clients write it, says the same as the slow one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.dialects import fields
from headrace.gateway.dialects.base import NOWHERE, Asked, Told
from headrace.gateway.dialects.openai_chat import ChatDialect, _read, asked_of
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


def outcome(read: Any, body: bytes) -> Asked | tuple[str | None, str]:
    try:
        asked: Asked = read(body)
    except BadInput as error:
        return error.field, error.message
    return asked


@given(requests)
def test_asked(request: dict[str, Any]) -> None:
    body = json.dumps(request).encode()
    assert outcome(CHAT.ask, body) == outcome(lambda body: asked_of(fields.top(body), NOWHERE), body)


def test_a_name_that_comes_twice_is_the_last_one() -> None:
    body = b'{"model":"a","n":1,"model":"b","n":2,"max_tokens":5,"user":"\xc3\xa9"}'
    asked = CHAT.ask(body)
    assert (asked.model, asked.max_tokens, asked.user) == ("b", 10, "é")
    assert asked == asked_of(fields.top(body), NOWHERE)


@given(answers)
def test_answered(answer: dict[str, Any]) -> None:
    body, slow = json.dumps(answer).encode(), Told()
    _read(slow, body)
    told = CHAT.answered(body)
    if told.ended:
        slow.ended = True
        assert told == slow
    else:
        assert (told.usage, told.text, told.tools) == (slow.usage, slow.text, slow.tools)
