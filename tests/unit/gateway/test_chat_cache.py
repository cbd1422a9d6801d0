"""Answers kept for who asks the very same again."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import ANSWER, ASK, DONE, FIRST, assistant, chunk, gateway, saying, streaming, ways

from headrace.gateway.cache import wish_of
from headrace.types.gateway import Chat, ChatCache, Counted, Level, Limit, Window

CACHED = ChatCache(ttl_seconds=60)


async def test_the_same_question_is_answered_once(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), cache=CACHED))))
        first = await site.ask(ASK)
        again = await site.ask(ASK | {"user": "somebody else", "stream_options": None})
        other = await site.ask(ASK | {"temperature": 0.5})
        assert len(site.came["one"]) == 2
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["x-headrace-cache"] == "hit"
        assert "x-headrace-cache" not in first.headers
        assert "x-headrace-cache" not in other.headers
        calls = site.calls()
    assert [call.spent.cached for call in calls if call.spent] == ["", "exact", ""]
    assert [call.spent.usage.total for call in calls if call.spent] == [15, 0, 15]
    assert [call.output for call in calls] == ["Paris."] * 3


async def test_a_stream_is_given_again_as_a_stream(tmp_path: Path) -> None:
    events = [chunk("Paris."), chunk(finish="stop"), DONE]
    async with gateway(tmp_path, one=streaming(*events)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), cache=CACHED))))
        first = await site.ask(ASK | {"stream": True})
        again = await site.ask(ASK | {"stream": True})
        assert len(site.came["one"]) == 1
        assert again.ended
        assert again.body == first.body == b"".join(events)
        assert again.headers["content-type"] == "text/event-stream"


async def test_what_broke_is_not_kept(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=streaming(chunk("Par"), then="cut")) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), cache=CACHED))))
        await site.ask(ASK | {"stream": True})
        await site.ask(ASK | {"stream": True})
        assert len(site.came["one"]) == 2


async def test_another_version_answers_for_itself(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), cache=CACHED))))
        await site.ask(ASK)
        await site.apply(
            assistant(site.folders.add(Chat(ways=ways("one"), cache=CACHED, prompt="x"), number=FIRST + 1))
        )
        await site.ask(ASK)
        assert len(site.came["one"]) == 2


@pytest.mark.parametrize("control", ["no-cache", "no-store", "max-age=0, no-cache"])
async def test_a_caller_may_want_a_new_answer(tmp_path: Path, control: str) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), cache=CACHED))))
        await site.ask(ASK)
        await site.ask(ASK, headers={"cache-control": control})
        assert len(site.came["one"]) == 2


def test_the_words_of_a_cache_control() -> None:
    assert wish_of("max-age=30").age == 30
    assert not wish_of("No-Store").keep
    assert wish_of("no-cache").keep
    assert wish_of(None).look


async def test_what_is_kept_counts_as_a_request_and_not_as_tokens(tmp_path: Path) -> None:
    limits = (
        Limit(level=Level.ALL, counted=Counted.TOKENS, amount=1_000, window=Window.MINUTE),
        Limit(level=Level.ALL, counted=Counted.REQUESTS, amount=100, window=Window.MINUTE),
    )
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), cache=CACHED))), limits=limits)
        for _ in range(20):
            seen = await site.ask(ASK)
    assert seen.headers["x-ratelimit-remaining-requests"] == "80"
