"""Shadows of chat endpoints: what is copied, what never is, what it costs whom, and that the copies become pairs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
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

from headrace.gateway.dialects.base import Address
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.effects import without_effects
from headrace.release.pairs import Known, Pairs
from headrace.release.spoken import ANSWER as OUTPUT
from headrace.release.spoken import as_texts
from headrace.store import spend
from headrace.store.db import Database
from headrace.store.migrate import migrate
from headrace.types.call import Call, CallStatus
from headrace.types.endpoint import Capture
from headrace.types.errors import OverLimit
from headrace.types.gateway import Breaker, Chat, Counted, Guard, Level, Limit, Retries, Window, Wire
from headrace.types.pair import PairRules, PairTally
from headrace.types.release import Member
from headrace.types.traffic import Shadow, TrafficPolicy

LIVE, CANDIDATE = f"v{FIRST}", f"v{FIRST + 1}"
SHADOW = Shadow(variant=CANDIDATE, attributes=("x-tenant",))


def answering(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


@asynccontextmanager
async def shadowed(
    tmp_path: Path, live: Script, candidate: Script, *, shadow: Shadow = SHADOW, **more: Any
) -> AsyncIterator[Site]:
    """Version one asks `live`; version two asks `candidate` under another prompt."""
    chats = more.pop("chats", {})
    async with gateway(tmp_path, live=live, candidate=candidate) as site:
        first = site.folders.add(Chat(ways=ways("live")))
        second = site.folders.add(Chat(ways=ways("candidate"), prompt="Be brief.", **chats), number=FIRST + 1)
        policy = TrafficPolicy(baseline=LIVE, candidate=CANDIDATE, salt="rel_1", shadow=shadow)
        made = assistant(first, second, **more.pop("endpoint", {}))
        assert not await site.apply(replace(made, policy=policy), **more)
        yield site


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def copies(site: Site) -> list[Call]:
    return [call for call in site.calls() if call.shadow_of]


def paired(site: Site, *, judge: Any = None, **rules: Any) -> PairTally:
    watching = Pairs(
        Member(endpoint="assistant", baseline=LIVE, candidate=CANDIDATE, candidate_uri="service:/assistant/2"),
        SHADOW,
        as_texts(PairRules(**rules), (OUTPUT,)),
        specs=(OUTPUT,),
        known=Known(),
        find=lambda trace_id: None,
        judge=judge,
    )
    watching.observe(site.calls())
    return watching.close().tally


async def test_an_answer_is_asked_for_again_and_billed_to_nobody(tmp_path: Path) -> None:
    prices = (price("live", input=1.0), price("candidate", input=5.0, output=7.0))
    async with shadowed(tmp_path, saying(200, ANSWER), saying(200, answering("Lyon.")), prices=prices) as site:
        seen = await site.ask(ASK, headers={"x-tenant": "a"}, user="ann")
        assert seen.json()["choices"][0]["message"]["content"] == "Paris."
        await until(lambda: len(copies(site)) == 1)
        live, copy = site.calls()
        assert (copy.shadow_of, copy.variant, copy.status) == (live.trace_id, CANDIDATE, CallStatus.OK)
        assert (live.output, copy.output) == ("Paris.", "Lyon.")
        assert copy.beside == {"attributes": {"x-tenant": "a"}}
        assert not copy.from_user
        assert not copy.counted
        assert live.spent is not None
        assert not live.spent.alone
        assert copy.spent is not None
        assert (copy.spent.key, copy.spent.user, copy.spent.of) == ("shadow", "", live.trace_id)
        assert copy.spent.cost == pytest.approx((12 * 5 + 3 * 7) / 1e6)
        sent = json.loads(site.came["candidate"][0][1])
        assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
        assert site.completer.shadows.outcomes.counts == {("assistant", CANDIDATE, "ok"): 1}
        assert ("assistant", CANDIDATE) not in site.completer.recorder.meter.lanes, "in no figure of live calls"


async def test_limits_count_callers_and_the_ledger_counts_all(tmp_path: Path) -> None:
    limits = (Limit(level=Level.ALL, counted=Counted.REQUESTS, window=Window.MINUTE, amount=4),)
    async with shadowed(tmp_path, saying(200, ANSWER), saying(200, ANSWER), limits=limits) as site:
        for number in range(4):
            assert (await site.ask(ASK)).status == 200
            await until(lambda so_far=number: len(copies(site)) == so_far + 1)
        with pytest.raises(OverLimit):
            await site.ask(ASK)
        database = Database(f"sqlite:///{tmp_path}/headrace.db")
        migrate(database)
        with database.write() as conn:
            spend.add(conn, site.calls())
        with database.read() as conn:
            by_key = {s.group["key"]: s.calls for s in spend.sums(conn, since=0, until=2e12, by=["key"])}
            used = spend.used(conn, Level.ALL, since=0)
        database.close()
        assert by_key == {"": 4, "shadow": 4}
        assert used["*"][0] == 4, "from which limits begin after a restart"


async def test_of_a_stream_its_text_is_compared(tmp_path: Path) -> None:
    pieces = [chunk("Par"), chunk("is."), chunk(finish="stop"), DONE]
    async with shadowed(tmp_path, streaming(*pieces), streaming(*pieces)) as site:
        seen = await site.ask({**ASK, "stream": True})
        assert seen.ended
        await until(lambda: len(copies(site)) == 1)
        assert [call.output for call in site.calls()] == ["Paris.", "Paris."]
        told = paired(site)
        assert (told.pairs, told.flips, told.tested, told.lost) == (1, 0, 1, 0)


AT = Address(model="assistant")
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


@pytest.mark.parametrize(
    ("wire", "more", "asked_again"),
    [
        (Wire.CHAT, {}, True),
        (Wire.CHAT, {"tools": [TOOL]}, True),
        (Wire.CHAT, {"tools": [TOOL, {"type": "web_search"}]}, False),
        (Wire.CHAT, {"store": True}, False),
        (Wire.CHAT, {"web_search_options": {}}, True),
        (Wire.CHAT, {"web_search_options": {"size": 1}}, False),
        (Wire.RESPONSES, {}, True),
        (Wire.RESPONSES, {"store": False}, True),
        (Wire.RESPONSES, {"store": True}, False),
        (Wire.RESPONSES, {"background": True}, False),
        (Wire.RESPONSES, {"previous_response_id": "resp_1"}, False),
        (Wire.RESPONSES, {"prompt": {"id": "pmpt_1"}}, False),
        (Wire.COMPLETIONS, {"prompt": "Once"}, True),
        (Wire.MESSAGES, {"tools": [{"name": "look", "input_schema": {}}]}, True),
        (Wire.MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, False),
        (Wire.MESSAGES, {"mcp_servers": [{"url": "https://x"}]}, False),
        (Wire.GEMINI, {"tools": [{"functionDeclarations": []}]}, True),
        (Wire.GEMINI, {"tools": [{"googleSearch": {}}]}, False),
        (Wire.EMBEDDINGS, {"input": "a"}, False),
        (Wire.IMAGES, {"prompt": "a cat"}, False),
    ],
)
def test_nothing_with_effects_is_asked_twice(wire: Wire, more: dict[str, Any], asked_again: bool) -> None:
    asked = DIALECTS[wire].ask(json.dumps({"model": "assistant", "max_tokens": 5, **more}).encode(), AT)
    found = without_effects(wire, asked)
    assert (found is not None) is asked_again
    if found is not None and wire is Wire.RESPONSES:
        assert bytes(found.fields["store"]) == b"false", "unless told so, they are kept"


@given(st.sampled_from([Wire.CHAT, Wire.RESPONSES, Wire.MESSAGES, Wire.GEMINI]), st.text(max_size=12))
def test_a_tool_of_a_kind_that_nobody_knows_is_not_run_twice(wire: Wire, kind: str) -> None:
    tool = {"type": kind} if wire is not Wire.GEMINI else {kind: {}}
    known = kind in ("function", "custom", "functionDeclarations", "function_declarations")
    asked = DIALECTS[wire].ask(json.dumps({"model": "assistant", "tools": [tool]}).encode(), AT)
    assert known or without_effects(wire, asked) is None


async def test_what_is_not_copied_is_waited_for_by_nobody(tmp_path: Path) -> None:
    async with shadowed(tmp_path, saying(200, ANSWER), saying(200, ANSWER)) as site:
        await site.ask({**ASK, "store": True})
        await site.ask(ASK, task="title_generation")
        await site.ask(ASK, headers={"x-headrace-variant": CANDIDATE})
        await site.ask(ASK)
        await until(lambda: len(copies(site)) == 1)
        assert len(site.came["candidate"]) == 2, "the forced one, and one copy"
        assert [call.spent.alone for call in site.calls() if call.spent and not call.shadow_of] == [True] * 3 + [False]
        told = paired(site)
        assert (told.pairs, told.lost) == (1, 0)


async def test_no_live_answer_waits_and_what_has_no_room_is_counted(tmp_path: Path) -> None:
    shadow = Shadow(variant=CANDIDATE, max_concurrency=2, max_queue=3)
    hanging = streaming(chunk("L"), then="hang")
    async with shadowed(tmp_path, saying(200, ANSWER), hanging, shadow=shadow) as site:
        for _ in range(2):
            await site.ask(ASK)
        await until(lambda: len(site.came["candidate"]) == 2)
        for _ in range(6):
            assert (await site.ask(ASK)).status == 200
        counts = site.completer.shadows.outcomes.counts
        assert counts["assistant", CANDIDATE, "dropped"] == 3
        assert len(site.came["candidate"]) == 2, "two at once"
        lane = site.boards.now.lanes["assistant"]
        await site.apply(replace(lane.endpoint, policy=TrafficPolicy(baseline=LIVE)), revision=2)
        await site.completer.shadows.close()
        assert counts["assistant", CANDIDATE, "dropped"] == 6, "what waited when the plan had no shadow any more"
        assert [call.status for call in copies(site)] == [CallStatus.SHED] * 2
        told = paired(site)
        assert (told.candidate_errors, told.dropped) == (0, 2), "that we went is not held against it"


async def test_a_copy_that_fails_closes_no_way_of_callers(tmp_path: Path) -> None:
    never = {"retries": Retries(attempts=1), "breaker": Breaker(failures=1)}
    async with gateway(tmp_path, both=_alternating()) as site:
        first = site.folders.add(Chat(ways=ways("both"), **never))
        second = site.folders.add(Chat(ways=ways("both"), prompt="Fail.", **never), number=FIRST + 1)
        policy = TrafficPolicy(baseline=LIVE, candidate=CANDIDATE, salt="rel_1", shadow=SHADOW)
        await site.apply(replace(assistant(first, second), policy=policy))
        for number in range(3):
            assert (await site.ask(ASK)).status == 200
            await until(lambda so_far=number: len(copies(site)) == so_far + 1)
        statuses = [call.status for call in copies(site)]
        assert statuses[0] is CallStatus.FAILED
        assert set(statuses[1:]) <= {CallStatus.FAILED, CallStatus.SHED}, "its own breaker is open by now"


def _alternating() -> Script:
    good, bad = saying(200, ANSWER), saying(500, {"error": {"message": "no"}})
    turns = [0]

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turns[0] += 1
        await (bad if turns[0] == 2 else good)(reader, writer)

    return script


@pytest.mark.parametrize(
    ("guard", "status", "refused"),
    [
        (Guard(kind="words", after=False, settings={"words": ["France"]}), CallStatus.REJECTED, 1),
        (Guard(kind="words", before=False, settings={"words": ["Paris"]}), CallStatus.FAILED, 0),
    ],
)
async def test_the_candidates_own_guards_hold(tmp_path: Path, guard: Guard, status: CallStatus, refused: int) -> None:
    chats = {"guards": (guard,)}
    async with shadowed(tmp_path, saying(200, ANSWER), saying(200, ANSWER), chats=chats) as site:
        assert (await site.ask(ASK)).status == 200
        await until(lambda: len(copies(site)) == 1)
        assert [call.status for call in copies(site)] == [status]
        told = paired(site)
        assert (told.refused, told.candidate_errors, told.differing) == (refused, 1, 1)


class _Judge:
    """Texts that begin alike mean the same."""

    missing = False

    def __call__(self, baseline: str, candidate: str) -> float | None:
        return float(baseline[:2] != candidate[:2])


async def test_pairs_are_compared_as_texts(tmp_path: Path) -> None:
    async with shadowed(tmp_path, saying(200, ANSWER), saying(200, answering("Parts."))) as site:
        for number in range(4):
            await site.ask(ASK, user=f"u{number}")
        await until(lambda: len(copies(site)) == 4)
        told = paired(site)
        assert (told.pairs, told.flips, told.tested, told.differing) == (4, 4.0, 4, 4)
        assert paired(site, text_distance=0.4).flips == 0, "two edits of six characters"
        assert paired(site, judge=_Judge()).flips == 0, "and a judge decides what they mean"
        assert told.profile.labels == (), "texts are no labels"


async def test_without_texts_in_the_journal_there_is_nothing_to_compare(tmp_path: Path) -> None:
    kept = {"capture": Capture.NONE}
    async with shadowed(tmp_path, saying(200, ANSWER), saying(200, answering("Lyon.")), endpoint=kept) as site:
        await site.ask(ASK)
        await until(lambda: len(copies(site)) == 1)
        assert [call.output for call in site.calls()] == [None, None]
        told = paired(site)
        assert (told.pairs, told.flips) == (1, 0)


async def test_the_arguments_of_tools_are_compared_and_not_their_spelling(tmp_path: Path) -> None:
    def calling(arguments: str, number: str) -> dict[str, Any]:
        call = {"id": number, "type": "function", "function": {"name": "look", "arguments": arguments}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}

    one, two = calling('{"a":1, "b":2}', "call_1"), calling('{"b": 2, "a": 1}', "call_2")
    async with shadowed(tmp_path, saying(200, one), saying(200, two)) as site:
        await site.ask({**ASK, "tools": [TOOL]})
        await until(lambda: len(copies(site)) == 1)
        told = paired(site)
        assert (told.pairs, told.flips) == (1, 0)
