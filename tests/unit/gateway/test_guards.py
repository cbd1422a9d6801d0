"""Guards: alone, in a call, and in a stream of which they hold back what they must see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_samples import ANSWER, ASK, DONE, assistant, chunk, gateway, saying, streaming, ways
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.guard import Guards
from headrace.gateway.guards.pii import Pii
from headrace.gateway.guards.words import Words
from headrace.types.call import CallStatus
from headrace.types.endpoint import Capture
from headrace.types.errors import Blocked, ModelFailed
from headrace.types.gateway import Chat, Guard, Wire

PII = Guard(kind="pii")
MAIL = "ada@example.org"


def asking(text: str, **more: Any) -> dict[str, Any]:
    return ASK | {"messages": [{"role": "user", "content": text}]} | more


def answer(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return ANSWER | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def shown(body: bytes) -> str:
    """All text of a stream."""
    events = [json.loads(line[6:]) for line in body.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(c["delta"].get("content") or "" for e in events for c in e.get("choices", []))


async def test_personal_data_is_masked_for_the_upstream_and_put_back_for_the_caller(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, answer("I wrote to <email_1>, not to <email_2>."))) as site:
        chat = Chat(ways=ways("one"), guards=(PII,))
        await site.apply(assistant(site.folders.add(chat), capture=Capture.MASKED))
        seen = await site.ask(asking(f"Write to {MAIL} and again to {MAIL}, my card is 4111 1111 1111 1111."))
        sent = json.loads(site.came["one"][0][1])["messages"][0]["content"]
        (call,) = site.calls()
    assert sent == "Write to <email_1> and again to <email_1>, my card is <card_2>."
    assert seen.json()["choices"][0]["message"]["content"] == f"I wrote to {MAIL}, not to <email_2>."
    assert call.spent is not None
    assert call.spent.guards == {"pii.email": 2, "pii.card": 1}
    assert MAIL not in json.dumps(call.input)
    assert "4111" not in json.dumps(call.input)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40))
async def test_a_stand_in_that_is_split_over_events_is_put_back(sizes: list[int]) -> None:
    guards = Guards((Pii({}),), (Pii({}),))
    guards.memory.originals["<email_1>"] = MAIL
    text, events, at = "Mail <email_1> today; " + "word " * 40 + "and <email_1>", [], 0
    for size in sizes:
        events.append(chunk(text[at : at + size]))
        at += size
    events += [chunk(text[at:]), chunk(finish="stop"), DONE]
    stream = guards.stream(Wire.CHAT)
    assert stream is not None
    body = b"".join(stream.feed(event) for event in events) + stream.close()
    assert shown(body) == text.replace("<email_1>", MAIL)
    assert body.endswith(DONE)
    assert body.index(b'"stop"') > body.rindex(b"and")


async def test_a_word_that_must_not_pass_stops_a_call_before_anybody_is_asked(tmp_path: Path) -> None:
    guard = Guard(kind="words", settings={"words": ["Project Falcon"]})
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), guards=(guard,)))))
        with pytest.raises(Blocked, match="must not pass"):
            await site.ask(asking("tell me of project falcon"))
        assert not site.came["one"]
        assert (await site.ask(asking("tell me of falconry"))).status == 200
        blocked, _ = site.calls()
    assert blocked.status is CallStatus.REJECTED


async def test_a_word_in_an_answer_is_the_models_failure(tmp_path: Path) -> None:
    guard = Guard(kind="words", settings={"patterns": ["sk-[a-z0-9]{4,}"]})
    async with gateway(tmp_path, one=saying(200, answer("the key is sk-abcd1234"))) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), guards=(guard,)))))
        with pytest.raises(ModelFailed, match="stopped by a guard"):
            await site.ask(ASK)
        (call,) = site.calls()
    assert call.status is CallStatus.FAILED


async def test_a_stream_lets_nothing_of_it_through(tmp_path: Path) -> None:
    guard = Guard(kind="words", settings={"patterns": ["sk-[a-z0-9]{4,}"], "window": 64})
    pieces = [chunk(part) for part in ("the ", "key ", "is s", "k-ab", "cd12", "34 and so on " * 20)]
    async with gateway(tmp_path, one=streaming(*pieces, chunk(finish="stop"), DONE)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), guards=(guard,)))))
        seen = await site.ask(ASK | {"stream": True})
        (call,) = site.calls()
    assert seen.ended
    assert b"stopped by a guard" in seen.body
    assert b"k-ab" not in seen.body
    assert DONE not in seen.body
    assert call.status is CallStatus.FAILED


async def test_an_answer_that_is_not_of_the_schema_does_not_pass(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    guard = Guard(kind="json_schema", before=False, settings={"schema": schema})
    chat = Chat(ways=ways("one"), guards=(guard,))
    async with gateway(tmp_path, one=saying(200, answer('{"city": 1}'))) as site:
        await site.apply(assistant(site.folders.add(chat)))
        with pytest.raises(ModelFailed, match="city: 1 is not of type"):
            await site.ask(ASK)
    good = [chunk('{"city": '), chunk('"Paris"}'), chunk(finish="stop"), DONE]
    async with gateway(tmp_path, one=streaming(*good)) as site:
        await site.apply(assistant(site.folders.add(chat)))
        seen = await site.ask(ASK | {"stream": True})
    assert json.loads(shown(seen.body)) == {"city": "Paris"}


async def test_a_guard_that_cannot_be_built_refuses_the_plan(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        for guard, told in (
            (Guard(kind="magic"), "kind is 'magic'; allowed: pii, words, json_schema"),
            (Guard(kind="words"), "neither words nor patterns"),
            (Guard(kind="words", settings={"patterns": ["("]}), "patterns: missing"),
            (Guard(kind="pii", settings={"kinds": ["soul"]}), "kinds has 'soul'"),
            (Guard(kind="json_schema", settings={"schema": {"type": "objekt"}}), "schema:"),
        ):
            chat = Chat(ways=ways("one"), guards=(guard,))
            site.boards._chats.clear()
            (reason,) = (await site.apply(assistant(site.folders.add(chat)))).values()
            assert told in reason


def test_masking_words() -> None:
    words = Words({"words": ["falcon"], "action": "mask"})
    guards = Guards((words,), ())
    assert guards.memory.told == {}
    text = "a Falcon flies"
    from headrace.gateway.guard import put

    assert put(text, words.before(text, guards.memory), len(text))[0] == "a ****** flies"
