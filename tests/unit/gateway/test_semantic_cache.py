"""The semantic cache, with the real model: what counts as the same, for whom, for how long, and how wrong it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gateway_samples import ANSWER, DONE, FIRST, Seen, Site, assistant, chunk, gateway, saying, streaming, ways
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Script

from headrace.base.proportion import wilson
from headrace.control.cached import used
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.semantic import MOST, MOST_ALIKE, Near, Prompt, Shelves, alike, check_cache, prompt_of
from headrace.release.services import read_service
from headrace.serving import embedding
from headrace.serving.embedding import LONGEST_TOKENS, MOST_WAITING, SIZE, Embedder
from headrace.traffic.keys import Caller
from headrace.traffic.meter import snapshot
from headrace.types.errors import BadInput, Blocked
from headrace.types.gateway import ALIKE, Chat, ChatCache, Counted, Guard, Level, Limit, Window, Wire

CACHE = ChatCache(ttl_seconds=60, semantic=0.9, check=0)
RESET, SAME, OTHER = "How do I reset my password?", "How can I reset my password?", "How do I bake bread?"


def asking(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "assistant", "messages": [{"role": "user", "content": text}], **more}


def saying_text(text: str) -> Script:
    message = {"role": "assistant", "content": text}
    return saying(200, {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any]:
    """Weights and tokenizer: half a second."""
    return embedding._load()


@pytest.fixture
async def embeds(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Embedder]:
    monkeypatch.setattr(embedding, "_load", lambda: loaded)
    made = Embedder()
    await made.load()
    yield made
    made.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def serve(site: Site, cache: ChatCache = CACHE, **more: Any) -> Site:
    chat = Chat(ways=ways("one"), cache=cache)
    assert not await site.apply(assistant(site.folders.add(chat)), **more)
    return site


def kind(seen: Seen) -> str:
    return seen.headers.get("x-headrace-cache", "")


# the model


async def test_what_means_the_same_is_near_and_the_loop_is_not_in_it(embeds: Embedder) -> None:
    vectors = {}
    for text in (RESET, SAME, OTHER):
        vectors[text] = await embeds.embed(text)
        assert vectors[text] is not None
        assert vectors[text].shape == (SIZE,)
        assert np.linalg.norm(vectors[text]) == pytest.approx(1, abs=1e-5)
    assert vectors[RESET] @ vectors[SAME] > 0.95
    assert vectors[RESET] @ vectors[OTHER] < 0.4
    assert embeds._thread is not None
    names = {thread.name for thread in embeds._thread._threads}
    assert names == {"embed_0"}


async def test_a_text_that_is_not_seen_whole_means_nothing(embeds: Embedder) -> None:
    assert await embeds.embed("word " * (LONGEST_TOKENS - 2)) is not None
    assert await embeds.embed("word " * (LONGEST_TOKENS - 1)) is None


async def test_nobody_queues_for_long(embeds: Embedder) -> None:
    found = await asyncio.gather(*(embeds.embed(RESET) for _ in range(MOST_WAITING + 5)))
    assert sum(vector is None for vector in found) == 5


# a call


async def test_a_prompt_that_means_the_same_is_answered_from_the_cache(tmp_path: Path, embeds: Embedder) -> None:
    limits = (Limit(level=Level.ALL, counted=Counted.REQUESTS, window=Window.MINUTE, amount=10),)
    async with gateway(tmp_path, embeds=embeds, one=saying(200, ANSWER)) as site:
        await serve(site, limits=limits)
        assert kind(await site.ask(asking(RESET))) == ""
        seen = await site.ask(asking(SAME))
        assert (kind(seen), seen.json()) == ("semantic", ANSWER)
        assert 0.95 < float(seen.headers["x-headrace-similarity"]) < 1
        assert seen.headers["x-ratelimit-remaining-requests"] == "8", "it counts as a request"
        assert kind(await site.ask(asking(RESET))) == "hit"
        assert kind(await site.ask(asking(OTHER))) == ""
        assert len(site.came["one"]) == 2
        call = site.calls()[1]
        assert call.spent is not None
        assert (call.spent.cached, call.spent.cost, call.spent.usage.total) == ("semantic", 0, 0)
        assert call.spent.similarity == pytest.approx(float(seen.headers["x-headrace-similarity"]))


async def test_a_stream_is_answered_as_a_stream(tmp_path: Path, embeds: Embedder) -> None:
    pieces = [chunk("Click it."), chunk(finish="stop"), DONE]
    async with gateway(tmp_path, embeds=embeds, one=streaming(*pieces)) as site:
        await serve(site)
        await site.ask(asking(RESET, stream=True))
        seen = await site.ask(asking(SAME, stream=True))
        assert (kind(seen), seen.body) == ("semantic", b"".join(pieces))
        assert len(site.came["one"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 1},
        {"max_tokens": 5},
        {"tools": [{"type": "function", "function": {"name": "look"}}]},
        {"n": 2},
        {"store": True},
        {"messages": [{"role": "system", "content": "Be rude."}, {"role": "user", "content": SAME}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
        {"messages": [{"role": "user", "content": RESET}, {"role": "assistant", "content": SAME}]},
    ],
)
async def test_all_but_the_words_must_be_the_same(tmp_path: Path, embeds: Embedder, change: dict[str, Any]) -> None:
    async with gateway(tmp_path, embeds=embeds, one=saying(200, ANSWER)) as site:
        await serve(site)
        await site.ask(asking(RESET))
        assert kind(await site.ask(asking(SAME) | change)) == ""


async def test_no_tenant_is_told_what_another_one_asked(tmp_path: Path, embeds: Embedder) -> None:
    asked = DIALECTS[Wire.CHAT].ask(json.dumps(asking(RESET)).encode())
    scopes = {
        prompt.scope
        for team in ("red", "blue")
        if (prompt := prompt_of("p", Wire.CHAT, asked, Caller(key="k", team=team), shared=False)) is not None
    }
    assert len(scopes) == 2
    async with gateway(tmp_path, embeds=embeds, one=saying(200, ANSWER)) as site:
        await serve(site)
        await site.ask(asking(RESET))
        board = site.boards.now
        site.boards.now = replace(board, callers=_Teams("blue"))  # type: ignore[arg-type]
        assert kind(await site.ask(asking(SAME))) == ""
        assert kind(await site.ask(asking(RESET))) == "semantic", "of its own"


class _Teams:
    def __init__(self, team: str) -> None:
        self.team = team

    def of(self, header: Any) -> Caller:
        del header
        return Caller(key="k", team=self.team)


async def test_the_callers_words_and_the_time_hold(tmp_path: Path, embeds: Embedder) -> None:
    async with gateway(tmp_path, embeds=embeds, one=saying(200, ANSWER)) as site:
        await serve(site)
        await site.ask(asking(RESET))
        for control in ("no-cache", "no-store"):
            assert kind(await site.ask(asking(SAME), headers={"cache-control": control})) == ""
        clock = site.completer.recorder.clock
        clock.move(61)  # type: ignore[attr-defined]
        assert kind(await site.ask(asking(SAME))) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it safe to take ibuprofen with alcohol?", "Is it not safe to take ibuprofen with alcohol?"),
        ("What was the revenue in 2023?", "What was the revenue in 2024?"),
        ("Can I return it after 30 days?", "Can't I return it after 30 days?"),
        ("Flights without a stop to Rome", "Flights with a stop to Rome"),
        ("Write a short mail to ada@example.org", "Write a short mail to bob@example.org"),
        ("Summarise https://example.org/a", "Summarise https://example.org/b"),
        ('Translate "the cat" to French', 'Translate "the dog" to French'),
    ],
)
async def test_numbers_and_denials_are_no_nuance(tmp_path: Path, embeds: Embedder, one: str, other: str) -> None:
    a, b = await embeds.embed(one), await embeds.embed(other)
    assert a is not None
    assert b is not None
    assert a @ b > 0.5, "close enough for the lowest threshold that there is"
    async with gateway(tmp_path, embeds=embeds, one=saying(200, ANSWER)) as site:
        await serve(site, replace(CACHE, semantic=0.5))
        await site.ask(asking(one))
        assert kind(await site.ask(asking(other))) == ""


# how wrong it is


def _turns(*scripts: Script) -> Script:
    left = list(scripts)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(reader, writer)

    return script


def checks(site: Site) -> dict[str, int]:
    return {outcome: count for (_, outcome), count in site.completer.checks.counts.items()}


@pytest.mark.parametrize(
    ("fresh", "outcome"),
    [
        (saying_text("Click on 'forgot' and follow the mail!"), "same"),
        (saying_text("Bread needs an hour in the oven."), "different"),
        (saying(400, {"error": {"message": "no"}}), "failed"),
    ],
)
async def test_a_hit_is_asked_all_the_same_and_compared(
    tmp_path: Path, embeds: Embedder, fresh: Script, outcome: str
) -> None:
    first = saying_text("Click on 'forgot' and follow the mail.")
    async with gateway(tmp_path, embeds=embeds, one=_turns(first, fresh)) as site:
        await serve(site, replace(CACHE, check=1.0))
        await site.ask(asking(RESET))
        hit = await site.ask(asking(SAME), user="ann")
        assert kind(hit) == "semantic"
        await until(lambda: bool(checks(site)))
        assert checks(site) == {outcome: 1}
        own = [call for call in site.calls() if call.spent and call.spent.key == "check"]
        assert [(c.spent.of, c.counted, c.from_user) for c in own if c.spent] == [
            (hit.headers["x-headrace-trace"], False, False)
        ]
        (use,) = used(snapshot(site.completer.recorder.meter.figures())["metrics"])  # type: ignore[arg-type]
        assert (use.semantic, use.checked, use.false) == (1, int(outcome != "failed"), int(outcome == "different"))
        if outcome == "different":
            assert (use.rate, use.high) == (1.0, 1.0)
            assert 0.2 < use.low < 0.21


@pytest.mark.parametrize(("says", "outcome"), [(True, "same"), (False, "different")])
async def test_a_judge_says_whether_it_was_false(tmp_path: Path, embeds: Embedder, says: bool, outcome: str) -> None:
    verdict = saying_text(json.dumps({"reason": "So.", "pass": says}))
    answers = _turns(saying_text("Click on 'forgot'."), saying_text("Use the link that we mail you."))
    async with gateway(tmp_path, embeds=embeds, one=answers, judge=verdict) as site:
        chat = Chat(ways=ways("one"), cache=replace(CACHE, check=1.0, judge="critic"))
        critic = replace(assistant(site.folders.add(Chat(ways=ways("judge")), number=FIRST + 9)), name="critic")
        assert not await site.apply(assistant(site.folders.add(chat)), critic)
        await site.ask(asking(RESET))
        await site.ask(asking(SAME))
        await until(lambda: bool(checks(site)))
        assert checks(site) == {outcome: 1}
        shown = json.loads(json.loads(site.came["judge"][0][1])["messages"][1]["content"])
        assert shown["answer"] == {"kept": "Click on 'forgot'.", "fresh": "Use the link that we mail you."}


async def test_no_check_waits_in_line(tmp_path: Path, embeds: Embedder) -> None:
    hanging = streaming(chunk("x"), then="hang")
    async with gateway(tmp_path, embeds=embeds, one=_turns(saying(200, ANSWER), hanging)) as site:
        await serve(site, replace(CACHE, check=1.0))
        await site.ask(asking(RESET))
        for _ in range(4):
            assert kind(await site.ask(asking(SAME))) == "semantic"
        assert checks(site) == {"dropped": 2}


# what cannot be


@pytest.mark.parametrize(
    ("cache", "field"),
    [
        (ChatCache(ttl_seconds=60, semantic=0.3), "cache.semantic"),
        (ChatCache(semantic=0.9), "cache.ttl_seconds"),
        (ChatCache(check=1.5), "cache.check"),
        (ChatCache(distance=-1), "cache.distance"),
    ],
)
def test_settings_have_bounds(cache: ChatCache, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_cache(cache, ())
    assert caught.value.field == field


async def test_what_must_not_be_asked_is_not_answered_from_the_cache(tmp_path: Path, embeds: Embedder) -> None:
    words = Guard(kind="words", settings={"words": ["can"]})
    async with gateway(tmp_path, embeds=embeds, one=saying(200, ANSWER)) as site:
        chat = Chat(ways=ways("one"), cache=CACHE, guards=(words,))
        assert not await site.apply(assistant(site.folders.add(chat)))
        await site.ask(asking(RESET))
        with pytest.raises(Blocked):
            await site.ask(asking(SAME))
        judge = Guard(kind="judge", settings={"model": "critic", "rubric": "r"})
        with pytest.raises(BadInput, match="a judge of what callers say"):
            check_cache(CACHE, (judge,))
        check_cache(CACHE, (replace(judge, before=False),))


async def test_without_a_model_the_version_is_refused(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        refused = await site.apply(assistant(site.folders.add(Chat(ways=ways("one"), cache=CACHE))))
        assert "no model for a semantic cache" in refused["assistant", f"v{FIRST}"]
        chat = Chat(ways=ways("one"), cache=replace(CACHE, semantic=0, judge="assistant"))
        refused = await site.apply(assistant(site.folders.add(chat, number=FIRST + 1)), revision=2)
        assert "cannot judge itself" in refused["assistant", f"v{FIRST + 1}"]


# shelves


def near(number: int, *, scope: bytes = b"s", text: str = "a") -> Near:
    vector = np.zeros(SIZE, dtype=np.float32)
    vector[number % SIZE] = 1
    return Near(Prompt(scope, text), vector)


def test_shelves_are_bounded() -> None:
    shelves = Shelves()
    for number in range(MOST_ALIKE + 50):
        shelves.add(near(number), b"%d" % number)
    assert len(shelves) == MOST_ALIKE
    found = [key for _, key in shelves.close(near(7), 0.99)]
    assert b"7" not in found, "the oldest went first"
    assert b"%d" % (7 + SIZE) in found
    for scope in range(MOST + 10 - MOST_ALIKE):
        shelves.add(near(scope, scope=b"%d" % scope), b"k")
    assert len(shelves) <= MOST
    assert [*shelves.close(near(7 + SIZE), 0.99)] == [], "the scope that nobody asked for longest went"


async def test_answers_that_are_gone_do_not_stand_before_others(tmp_path: Path, embeds: Embedder) -> None:
    async with gateway(tmp_path, embeds=embeds, one=saying(200, ANSWER)) as site:
        await serve(site)
        for number in range(12):
            await site.ask(asking(RESET + " " * number), headers={"cache-control": "no-cache"})
        site.completer.recorder.clock.move(61)  # type: ignore[attr-defined]
        assert kind(await site.ask(asking(SAME))) == "", "eight of them were looked at, and are gone"
        assert kind(await site.ask(asking(RESET.upper()))) == "semantic", "the four others did not hide the new one"


def test_the_same_key_has_one_place() -> None:
    shelves = Shelves()
    for _ in range(5):
        shelves.add(near(3), b"k")
    assert len(shelves) == 1
    assert [key for _, key in shelves.close(near(3), 0.9)] == [b"k"]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(0, 40))
def test_the_nearest_is_found_and_nothing_that_is_far(numbers: list[int], wanted: int) -> None:
    shelves = Shelves()
    for number in numbers:
        shelves.add(near(number), b"%d" % number)
    assert [key for _, key in shelves.close(near(wanted), 0.9)] == ([b"%d" % wanted] if wanted in numbers else [])
    assert [*shelves.close(near(wanted, scope=b"other"), 0.9)] == []


@given(st.text(max_size=30), st.text(max_size=30))
def test_being_alike_is_mutual(one: str, other: str) -> None:
    assert alike(one, other) == alike(other, one)
    assert alike(one, one)


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_interval_holds_the_share(events: int, more: int) -> None:
    trials = events + more
    share, low, high = wilson(events, trials)
    assert 0 <= low <= share <= high <= 1
    assert high > 0


def test_of_no_checks_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 0.0, 1.0)
    metric = {"name": "headrace_cache_hits_total", "labels": {"endpoint": "a", "kind": "exact"}, "value": 3}
    (use,) = used([metric, {"name": "headrace_ready", "labels": {}, "value": 1}])
    assert (use.exact, use.rate, use.low, use.high) == (3, None, 0.0, 1.0)


def test_a_threshold_is_a_number_or_the_usual_one() -> None:
    described = {"kind": "chat", "name": "a", "model": "one/m"}
    for said, meant in ((True, ALIKE), (False, 0.0), (0.8, 0.8)):
        what = read_service(described | {"cache": {"ttl_seconds": 60, "semantic": said}}).what
        assert isinstance(what, Chat)
        assert what.cache.semantic == meant
