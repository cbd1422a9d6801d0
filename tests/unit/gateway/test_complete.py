"""Calls to chat models through the gateway, over upstreams that do what a script says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_samples import ANSWER, ASK, DONE, FIRST, Seen, assistant, chunk, gateway, price, saying, streaming, ways

from headrace.traffic.record import HUNG_UP
from headrace.types.call import CallStatus
from headrace.types.endpoint import Plan
from headrace.types.errors import NotFound, Overloaded, TimedOut, UpstreamError
from headrace.types.gateway import Breaker, Chat, Gateway, Retries
from headrace.types.traffic import Reason

PLAIN = Retries(attempts=1)
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


async def test_an_answer_passes_as_the_bytes_it_came_as(tmp_path: Path) -> None:
    body = json.dumps(ANSWER, indent=1).encode()
    async with gateway(tmp_path, one=saying(200, body, x_request_id="req-1", set_cookie="a=b")) as site:
        later, longer = price("one", input=99, since=4e9), price("one", input=9, above=1000)
        prices = (price("one", input=2, output=6), later, longer)
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))), prices=prices)
        seen = await site.ask(ASK, conversation="c1", message="m1", user="ada")
        assert (seen.status, seen.body) == (200, body)
        assert seen.headers["x-request-id"] == "req-1"
        assert seen.headers["x-headrace-upstream"] == "one/one-model"
        assert "set-cookie" not in seen.headers
        head, sent = site.came["one"][0]
        assert head.startswith("POST /v1/chat/completions HTTP/1.1")
        assert json.loads(sent) == ASK | {"model": "one-model"}
        (call,) = site.calls()
    assert (call.status, call.endpoint, call.version, call.protocol) == (
        CallStatus.OK,
        "assistant",
        FIRST,
        "openai.chat",
    )
    assert (call.input, call.output) == (ASK["messages"], "Paris.")
    assert call.trace_id == seen.headers["x-headrace-trace"]
    spent = call.spent
    assert spent is not None
    assert (spent.usage.input, spent.usage.output, spent.finish) == (12, 3, "stop")
    assert spent.cost == pytest.approx((12 * 2 + 3 * 6) / 1e6)
    assert (spent.provider, spent.model, spent.attempts) == ("one", "one-model-2026", 1)
    assert (spent.conversation, spent.message, spent.estimated) == ("c1", "m1", False)


async def test_a_stream_passes_event_by_event_and_the_usage_only_we_asked_for_stays_here(tmp_path: Path) -> None:
    events = [chunk("Par"), b": keep-alive\n\n", chunk("is."), chunk(finish="stop"), chunk(usage=USAGE), DONE]
    whole = b"".join(events)
    pieces = [whole[i : i + 7] for i in range(0, len(whole), 7)]
    async with gateway(tmp_path, one=streaming(*pieces)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = await site.ask(ASK | {"stream": True})
        assert seen.ended
        assert seen.body == b"".join(event for event in events if b'"usage"' not in event)
        assert json.loads(site.came["one"][0][1])["stream_options"] == {"include_usage": True}
        (call,) = site.calls()
    assert call.status is CallStatus.OK
    assert call.output == "Paris."
    assert call.spent is not None
    assert (call.spent.usage.input, call.spent.usage.output) == (9, 2)


async def test_the_usage_that_the_caller_asked_for_goes_on(tmp_path: Path) -> None:
    events = [chunk("Paris."), chunk(finish="stop"), chunk(usage=USAGE), DONE]
    async with gateway(tmp_path, one=streaming(*events)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = await site.ask(ASK | {"stream": True, "stream_options": {"include_usage": True}})
    assert seen.body == b"".join(events)


@pytest.mark.parametrize(
    "broken",
    [
        saying(500, {"error": {"message": "boom"}}),
        saying(503, b"busy"),
        saying(429, {"error": {"message": "slow down", "type": "rate_limit"}}, retry_after="30"),
        saying(401, {"error": {"message": "bad key"}}),
        saying(200, b"<html>"),
        saying(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}),
    ],
)
async def test_another_upstream_answers_when_the_first_one_does_not(tmp_path: Path, broken: object) -> None:
    async with gateway(tmp_path, one=broken, two=saying(200, ANSWER)) as site:  # type: ignore[arg-type]
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "two"), retries=PLAIN))))
        seen = await site.ask(ASK)
        assert (seen.status, seen.json()) == (200, ANSWER)
        assert seen.headers["x-headrace-attempts"] == "2"
        (call,) = site.calls()
    assert call.status is CallStatus.OK
    assert call.spent is not None
    assert (call.spent.provider, call.spent.attempts) == ("two", 2)


@pytest.mark.parametrize(
    "broken",
    [
        streaming(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'),
        streaming(then="cut"),
        streaming(),
        saying(502, b""),
    ],
)
async def test_a_stream_that_does_not_begin_well_is_asked_for_elsewhere(tmp_path: Path, broken: object) -> None:
    good = streaming(chunk("Paris."), chunk(finish="stop"), DONE)
    async with gateway(tmp_path, one=broken, two=good) as site:  # type: ignore[arg-type]
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "two"), retries=PLAIN))))
        seen = await site.ask(ASK | {"stream": True})
        assert seen.body == chunk("Paris.") + chunk(finish="stop") + DONE
        (call,) = site.calls()
    assert (call.status, call.output) == (CallStatus.OK, "Paris.")


@pytest.mark.parametrize("then", ["cut", "end"])
async def test_a_stream_that_breaks_in_the_middle_ends_with_an_error_event(tmp_path: Path, then: str) -> None:
    async with gateway(tmp_path, one=streaming(chunk("Par"), then=then), two=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "two")))))
        seen = await site.ask(ASK | {"stream": True})
        assert seen.ended
        assert seen.body.startswith(chunk("Par"))
        error = json.loads(seen.body.removeprefix(chunk("Par")).partition(b"\n")[0].removeprefix(b"data: "))
        assert "provider 'one'" in error["error"]["message"]
        assert not site.came["two"]
        (call,) = site.calls()
    assert (call.status, call.output) == (CallStatus.FAILED, "Par")


async def test_an_error_inside_a_stream_is_told_once(tmp_path: Path) -> None:
    seen, error = Seen(), b'data: {"error": {"message": "boom"}}\n\n'

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await streaming(chunk("Par"), then="on")(reader, writer)
        await seen.wrote.wait()  # so that it is past the first byte
        writer.write(b"%x\r\n%b\r\n" % (len(error), error))
        writer.close()

    async with gateway(tmp_path, one=script) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        await site.ask(ASK | {"stream": True}, seen=seen)
        assert (seen.body, seen.ended) == (chunk("Par") + error, True)
        (call,) = site.calls()
    assert (call.status, call.error) == (CallStatus.FAILED, "boom")


async def test_streams_that_break_in_the_middle_are_failures_in_a_row(tmp_path: Path) -> None:
    good = streaming(chunk("Paris."), chunk(finish="stop"), DONE)
    async with gateway(tmp_path, one=streaming(chunk("Par"), then="cut"), two=good) as site:
        chat = Chat(ways=ways("one", "two"), retries=PLAIN, breaker=Breaker(failures=2))
        await site.apply(assistant(site.folders.add(chat)))
        for _ in range(3):
            seen = await site.ask(ASK | {"stream": True})
        assert seen.body.endswith(DONE)
        assert (len(site.came["one"]), len(site.came["two"])) == (2, 1)
        first, second = site.completer.tally.health()
    assert (first["inside"], first["failures_in_a_row"], first["calls"]) == (0, 2, {"broken": 2})
    assert "in the middle" in first["last_failure"]
    assert (second["inside"], second["failures_in_a_row"], second["calls"]) == (0, 0, {"ok": 1})


async def test_what_the_caller_did_wrong_is_told_in_the_upstreams_words_and_asked_nowhere_else(tmp_path: Path) -> None:
    told = {"error": {"message": "temperature is too high", "type": "invalid_request_error", "code": None}}
    async with gateway(tmp_path, one=saying(400, told), two=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "two")))))
        seen = await site.ask(ASK)
        assert (seen.status, seen.json()) == (400, told)
        assert not site.came["two"]
        (call,) = site.calls()
    assert call.status is CallStatus.REJECTED


async def test_a_failure_that_may_pass_is_asked_again_within_the_budget(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(500, b"{}")) as site:
        chat = Chat(ways=ways("one"), retries=Retries(attempts=3, base_ms=1), breaker=Breaker(failures=100))
        await site.apply(assistant(site.folders.add(chat)))
        for _ in range(10):
            assert (await site.ask(ASK)).status == 500
        assert len(site.came["one"]) == 10 + 12  # ten calls, and the budget's reserve and share in retries


async def test_an_upstream_that_keeps_failing_is_left_alone(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(500, b"{}")) as site:
        await site.apply(
            assistant(site.folders.add(Chat(ways=ways("one"), retries=PLAIN, breaker=Breaker(failures=2))))
        )
        for _ in range(2):
            await site.ask(ASK)
        with pytest.raises(Overloaded, match="left alone for now: one/one-model") as caught:
            await site.ask(ASK)
        assert len(site.came["one"]) == 2
    assert caught.value.retry_after == pytest.approx(10.0)


async def test_who_hangs_up_ends_the_upstreams_work(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await streaming(chunk("Par"), then="hang")(reader, writer)
        ended.set()

    async with gateway(tmp_path, one=endless) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = Seen()
        task = asyncio.create_task(site.ask(ASK | {"stream": True}, seen=seen))
        await asyncio.wait_for(seen.wrote.wait(), 5)
        task.cancel(HUNG_UP)
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 5)
        (call,) = site.calls()
    assert (call.status, call.output, call.error) == (CallStatus.OK, "Par", HUNG_UP)
    assert call.spent is not None
    assert (call.spent.finish, call.spent.estimated) == ("aborted", True)
    assert call.spent.usage.output == 1


async def test_one_that_hangs_is_a_timeout(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with gateway(tmp_path, one=hang) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one"))), timeout_ms=50))
        with pytest.raises(TimedOut, match="no upstream of 'assistant' answered"):
            await site.ask(ASK)
        (call,) = site.calls()
    assert call.status is CallStatus.TIMEOUT


async def test_one_that_is_away_is_an_upstream_error(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        gone = site.providers[0].__class__(
            name="one", kind=site.providers[0].kind, url="http://127.0.0.1:1", private=True
        )
        chat = Chat(ways=ways("one"), retries=Retries(attempts=2, base_ms=1))
        await site.apply(assistant(site.folders.add(chat)), providers=(gone,))
        with pytest.raises(UpstreamError, match="cannot be reached"):
            await site.ask(ASK)
        (call,) = site.calls()
    assert call.spent is not None
    assert call.spent.attempts == 2


async def test_a_release_splits_chats_as_it_splits_predictions(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER), two=saying(200, ANSWER)) as site:
        old = site.folders.add(Chat(ways=ways("one")))
        new = site.folders.add(Chat(ways=ways("two"), prompt="Be brief."), number=FIRST + 1)
        await site.apply(assistant(old, new, share=5_000))
        for user in range(40):
            await site.ask(ASK, user=f"u{user}")
            await site.ask(ASK, user=f"u{user}")
        calls = site.calls()
        first = json.loads(site.came["two"][0][1])["messages"][0]
    by_user: dict[str, set[str]] = {}
    for call in calls:
        assert call.counted
        assert call.reason is Reason.BUCKET
        by_user.setdefault(call.unit, set()).add(call.variant)
    assert all(len(variants) == 1 for variants in by_user.values())
    assert 10 <= len(site.came["two"]) // 2 <= 30
    assert first == {"role": "system", "content": "Be brief."}


async def test_what_a_chat_application_asks_for_itself_is_no_evidence(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        await site.ask(ASK, user="ada", task="title_generation")
        (call,) = site.calls()
    assert not call.counted
    assert call.spent is not None
    assert call.spent.task == "title_generation"


async def test_a_hedge_asks_the_next_way_when_the_first_is_slow(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()

    async with gateway(tmp_path, one=hang, two=saying(200, ANSWER)) as site:
        chat = Chat(ways=ways("one", "two"), hedge_ms=20)
        await site.apply(assistant(site.folders.add(chat)))
        assert (await site.ask(ASK)).status == 200
        await asyncio.wait_for(ended.wait(), 5)  # who lost is not waited for
        (call,) = site.calls()
    assert call.spent is not None
    assert (call.spent.provider, call.spent.attempts) == ("two", 2)


async def test_a_quick_stream_is_not_closed_by_its_hedge(tmp_path: Path) -> None:
    good = streaming(chunk("Par"), chunk("is."), chunk(finish="stop"), DONE)
    async with gateway(tmp_path, one=good, two=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "two"), hedge_ms=5_000))))
        seen = await site.ask(ASK | {"stream": True})
        assert seen.body == chunk("Par") + chunk("is.") + chunk(finish="stop") + DONE
        assert not site.came["two"]
        (call,) = site.calls()
    assert call.status is CallStatus.OK


async def test_a_hedge_is_not_needed_when_the_first_is_quick(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER), two=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "two"), hedge_ms=5_000))))
        await site.ask(ASK)
        assert (len(site.came["one"]), len(site.came["two"])) == (1, 0)


async def test_when_both_fail_the_next_tier_answers(tmp_path: Path) -> None:
    bad = saying(500, b"{}")
    async with gateway(tmp_path, one=bad, two=bad, three=saying(200, ANSWER)) as site:
        chat = Chat(ways=ways("one", "two", "three"), hedge_ms=5, retries=PLAIN)
        await site.apply(assistant(site.folders.add(chat)))
        assert (await site.ask(ASK)).status == 200
        assert [len(came) for came in site.came.values()] == [1, 1, 1]


async def test_titles_may_be_made_by_a_cheaper_endpoint(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER), two=saying(200, ANSWER)) as site:
        main = assistant(site.folders.add(Chat(ways=ways("one"), background="small")))
        small = replace(assistant(site.folders.add(Chat(ways=ways("two")), number=FIRST + 1)), name="small")
        plan = Plan(revision=1, created=0.0, endpoints=(main, small), gateway=Gateway(providers=site.providers))
        assert not await site.boards.prepare(plan)
        site.boards.flip(plan)
        await site.ask(ASK, task="title_generation")
        await site.ask(ASK)
        assert [call.endpoint for call in site.calls()] == ["small", "assistant"]
        assert (len(site.came["one"]), len(site.came["two"])) == (1, 1)


async def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        with pytest.raises(NotFound, match="there is no chat model 'gpt'; there are: assistant"):
            await site.ask(ASK | {"model": "gpt"})
        assert not site.calls()


async def test_a_plan_with_a_secret_that_nobody_has_is_refused(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        provider = site.providers[0]
        needs = provider.__class__(name="one", kind=provider.kind, url=provider.url, secret="openai", private=True)
        refused = await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))), providers=(needs,))
    assert "there is no secret 'openai'" in refused["", "one"]
    assert "there is no provider 'one'" in refused["assistant", f"v{FIRST}"]


async def test_our_own_variables_are_no_secrets_of_providers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TOKEN", "ours")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs")
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        provider = site.providers[0]
        variant = site.folders.add(Chat(ways=ways("one")))

        def with_secret(name: str) -> object:
            return provider.__class__(name="one", kind=provider.kind, url=provider.url, secret=name, private=True)

        refused = await site.apply(assistant(variant), providers=(with_secret("env:HEADRACE_TOKEN"),))
        assert "allowed: env: and a name that begins with UPSTREAM_" in refused["", "one"]
        assert not await site.apply(assistant(variant), providers=(with_secret("env:OPENAI_API_KEY"),))
        await site.ask(ASK, headers={"authorization": "Bearer of-the-caller"})
        assert "authorization: Bearer sk-theirs" in site.came["one"][0][0]
        assert "of-the-caller" not in site.came["one"][0][0]
