"""Judges as guards: what they are asked, what stops a call, what a stream lets go, and that no silence is a yes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway_samples import (
    ANSWER,
    ASK,
    DONE,
    FIRST,
    Site,
    assistant,
    chunk,
    gateway,
    price,
    saying,
    streaming,
    ways,
)
from hypothesis import given
from hypothesis import strategies as st
from scripted import Script

from headrace.gateway.guards.judge import judge_of, verdict_of
from headrace.types.call import Call, CallStatus
from headrace.types.endpoint import Endpoint
from headrace.types.errors import BadInput, Blocked, ModelFailed, Unavailable
from headrace.types.gateway import Chat, ChatCache, Guard, Retries, Wire
from headrace.types.traffic import Reason

RUBRIC = "Nothing about capitals."
BEFORE = Guard(kind="judge", after=False, settings={"model": "critic", "rubric": RUBRIC, "seconds": 5})
AFTER = Guard(kind="judge", before=False, settings={"model": "critic", "rubric": RUBRIC, "name": "taste"})


def verdict(passes: Any, reason: str = "Because.") -> Script:
    content = json.dumps({"reason": reason, "pass": passes})
    message = {"role": "assistant", "content": content}
    return saying(200, {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def critic(site: Site, *guards: Guard) -> Endpoint:
    judge = site.folders.add(Chat(ways=ways("judge"), guards=guards, retries=Retries(attempts=1)), number=FIRST + 50)
    return replace(assistant(judge), name="critic")


@asynccontextmanager
async def judged(
    tmp_path: Path, *guards: Guard, live: Script | None = None, judge: Script, cache: float = 0, **more: Any
) -> AsyncIterator[Site]:
    async with gateway(tmp_path, one=live or saying(200, ANSWER), judge=judge) as site:
        chat = Chat(ways=ways("one"), guards=guards, cache=ChatCache(ttl_seconds=cache))
        assert not await site.apply(assistant(site.folders.add(chat)), critic(site), **more)
        yield site


def lines(site: Site) -> tuple[list[Call], list[Call]]:
    """Of callers, and of judges."""
    calls = site.calls()
    return [c for c in calls if c.endpoint == "assistant"], [c for c in calls if c.endpoint == "critic"]


async def test_what_passes_is_asked_and_the_verdict_is_on_record(tmp_path: Path) -> None:
    prices = (price("judge", input=2.0),)
    async with judged(tmp_path, BEFORE, AFTER, judge=verdict(True), prices=prices) as site:
        seen = await site.ask(ASK, user="ann")
        assert seen.json() == ANSWER
        before, after = (json.loads(body) for _, body in site.came["judge"])
        assert RUBRIC in before["messages"][0]["content"]
        assert json.loads(before["messages"][1]["content"]) == {"conversation": ASK["messages"]}
        assert json.loads(after["messages"][1]["content"]) == {"conversation": ASK["messages"], "answer": "Paris."}
        assert before["response_format"]["json_schema"]["strict"] is True
        (call,), verdicts = lines(site)
        for one in verdicts:
            assert one.spent is not None
            assert (one.spent.key, one.spent.of, one.spent.user) == ("judge", call.trace_id, "")
            assert (one.reason, one.counted, one.from_user) == (Reason.GATE, False, False)
            assert one.spent.cost == pytest.approx(12 * 2 / 1e6)
            assert json.loads(one.output)["pass"] is True
        assert len(verdicts) == 2


async def test_a_no_before_is_the_callers_and_nobody_is_asked(tmp_path: Path) -> None:
    async with judged(tmp_path, BEFORE, judge=verdict(False)) as site:
        with pytest.raises(Blocked, match="judge"):
            await site.ask(ASK)
        assert site.came["one"] == []
        (call,), _ = lines(site)
        assert call.status is CallStatus.REJECTED
        assert call.spent is not None
        assert call.spent.guards == {"judge": 1}


async def test_a_no_after_is_the_versions_failure_and_is_paid_for(tmp_path: Path) -> None:
    async with judged(tmp_path, AFTER, judge=verdict(False)) as site:
        with pytest.raises(ModelFailed, match="taste"):
            await site.ask(ASK)
        (call,), _ = lines(site)
        assert (call.status, call.counted) == (CallStatus.FAILED, True)
        assert call.spent is not None
        assert call.spent.usage.total == 15


@pytest.mark.parametrize(
    "silence",
    [
        saying(500, {"error": {"message": "no"}}),
        saying(200, ANSWER),  # "Paris." is no verdict
        verdict("true"),
        verdict(1),
        verdict(None),
        saying(429, {"error": {"message": "later"}}, retry_after="60"),
    ],
)
@pytest.mark.parametrize("guard", [BEFORE, AFTER])
async def test_no_verdict_is_a_no(tmp_path: Path, silence: Script, guard: Guard) -> None:
    async with judged(tmp_path, guard, judge=silence) as site:
        with pytest.raises(Unavailable, match="gave no verdict"):
            await site.ask(ASK)
        (call,), _ = lines(site)
        assert (call.status, call.counted) == (CallStatus.FAILED, False), "not the version's doing"


async def test_a_judge_who_takes_too_long_says_no(tmp_path: Path) -> None:
    hanging = replace(BEFORE, settings={**BEFORE.settings, "seconds": 0.05})
    async with judged(tmp_path, hanging, judge=_hang) as site:
        with pytest.raises(Unavailable, match="gave no verdict"):
            await site.ask(ASK)
        assert [call.status for call in lines(site)[1]] == [CallStatus.TIMEOUT]


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


PIECES = [chunk("Par"), chunk("is."), chunk(finish="stop"), DONE]


@pytest.mark.parametrize(("passes", "shown"), [(True, b"".join(PIECES)), (False, None)])
async def test_of_a_stream_nothing_is_shown_before_the_verdict(
    tmp_path: Path, passes: bool, shown: bytes | None
) -> None:
    async with judged(tmp_path, AFTER, live=streaming(*PIECES), judge=verdict(passes)) as site:
        seen = await site.ask({**ASK, "stream": True})
        assert seen.ended
        assert json.loads(json.loads(site.came["judge"][0][1])["messages"][1]["content"])["answer"] == "Paris."
        if shown is not None:
            assert seen.chunks == [shown], "all at once"
        else:
            assert b"Par" not in seen.body
            assert b'"error"' in seen.body


async def test_a_stream_that_is_not_drawn_is_not_held(tmp_path: Path) -> None:
    rarely = replace(AFTER, settings={**AFTER.settings, "sample": 1e-9})
    async with judged(tmp_path, rarely, live=streaming(*PIECES), judge=verdict(False)) as site:
        seen = await site.ask({**ASK, "stream": True})
        assert len(seen.chunks) > 1
        assert seen.body == b"".join(PIECES)
        assert site.came["judge"] == []


async def test_personal_data_stays_masked_for_the_judge(tmp_path: Path) -> None:
    async with judged(tmp_path, Guard(kind="pii"), BEFORE, judge=verdict(True)) as site:
        await site.ask({**ASK, "messages": [{"role": "user", "content": "Write to ada@example.org"}]})
        assert b"ada@" not in site.came["judge"][0][1]
        assert b"<email_1>" in site.came["judge"][0][1]


async def test_what_was_judged_may_be_kept_and_what_was_stopped_is_not(tmp_path: Path) -> None:
    async with judged(tmp_path, AFTER, judge=verdict(True), cache=60) as site:
        await site.ask(ASK)
        assert (await site.ask(ASK)).headers["x-headrace-cache"] == "hit"
        assert len(site.came["judge"]) == 1
    async with judged(tmp_path / "no", AFTER, judge=verdict(False), cache=60) as site:
        for _ in range(2):
            with pytest.raises(ModelFailed):
                await site.ask(ASK)
        assert len(site.came["one"]) == 2


async def test_what_a_judge_cannot_see_whole_does_not_pass(tmp_path: Path) -> None:
    async with judged(tmp_path, BEFORE, judge=verdict(True)) as site:
        with pytest.raises(Unavailable, match="too much for a judge"):
            await site.ask({**ASK, "messages": [{"role": "user", "content": "x" * 70_000}]})
        with pytest.raises(Blocked, match="form"):
            await site.ask({"model": "assistant", "n": 1}, wire=Wire.IMAGES)
        assert site.came["judge"] == site.came["one"] == []


@pytest.mark.parametrize("more", [{"n": 2}, {"generationConfig": {"candidateCount": 2}}])
async def test_of_several_answers_none_is_judged_and_none_passes(tmp_path: Path, more: dict[str, Any]) -> None:
    async with judged(tmp_path, AFTER, judge=verdict(True)) as site:
        with pytest.raises(ModelFailed, match="cannot see this answer whole"):
            await site.ask({**ASK, **more})


async def test_a_system_prompt_beside_the_messages_is_seen(tmp_path: Path) -> None:
    async with judged(tmp_path, BEFORE, judge=verdict(True)) as site:
        body = {"model": "assistant", "max_tokens": 9, "system": "Be rude.", "messages": ASK["messages"]}
        await site.ask(body, wire=Wire.MESSAGES)
        seen = json.loads(json.loads(site.came["judge"][0][1])["messages"][1]["content"])
        assert seen["conversation"] == {"system": "Be rude.", "messages": ASK["messages"]}


async def test_a_judge_is_judged_by_nobody(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER), judge=verdict(True)) as site:
        back = replace(BEFORE, settings={**BEFORE.settings, "model": "assistant"})
        chat = Chat(ways=ways("one"), guards=(BEFORE,))
        assert not await site.apply(assistant(site.folders.add(chat)), critic(site, back))
        await site.ask(ASK)
        assert (len(site.came["judge"]), len(site.came["one"])) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model": "assistant", "rubric": "r"}, "cannot judge itself; allowed: critic"),
        ({"model": "nobody", "rubric": "r"}, "no chat endpoint 'nobody'"),
        ({"model": "critic"}, "rubric is None"),
        ({"model": "critic", "rubric": "r", "seconds": 0}, "seconds is 0"),
        ({"model": "critic", "rubric": "r", "sample": 1.5}, "sample is 1.5"),
        ({"model": "critic", "rubric": "r", "strict": True}, "'strict' is not known"),
    ],
)
async def test_a_judge_that_cannot_be_refuses_the_version(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER), judge=verdict(True)) as site:
        chat = Chat(ways=ways("one"), guards=(Guard(kind="judge", settings=settings),))
        refused = await site.apply(assistant(site.folders.add(chat)), critic(site))
        assert told in refused["assistant", f"v{FIRST}"]


@given(st.text(max_size=60))
def test_nothing_but_a_clear_yes_passes(text: str) -> None:
    try:
        passes, _ = verdict_of(text)
    except BadInput:
        return
    assert passes is json.loads(text)["pass"]


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_a_sample_is_drawn_by_the_trace_id(share: float) -> None:
    judge = judge_of({"model": "critic", "rubric": "r", "sample": share})
    drawn = [judge.due(f"tr-{number}") for number in range(400)]
    assert drawn == [judge.due(f"tr-{number}") for number in range(400)]
    assert abs(sum(drawn) / 400 - share) < 0.15
