"""The platform's own models as chat models: through the gateway to a scripted model on the predict path."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio import Future
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gateway_samples import Folders, Seen, assistant
from plane_samples import (
    Behaviour,
    MemoryJournal,
    ScriptedRuntime,
    Trusting,
    endpoint,
    package,
    plan,
    recorder,
    spec,
)

from headrace.base.clock import ManualClock
from headrace.gateway.board import Boards
from headrace.gateway.complete import Answered, Completer
from headrace.gateway.dialects.base import Address
from headrace.gateway.visit import Request
from headrace.serving.fleet import Fleet
from headrace.serving.idle import Idle
from headrace.serving.predict import Predictor
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.serving.talk import Talker, inputs_of, misfit
from headrace.serving.turn import Turn
from headrace.store.counters.local import LocalCounters
from headrace.traffic.limit import Limiter
from headrace.traffic.record import HUNG_UP
from headrace.traffic.shadow import Outcomes
from headrace.types.call import Call, CallStatus
from headrace.types.endpoint import Capture, Endpoint
from headrace.types.errors import BadInput, ModelFailed, NotFound, Overloaded, UpstreamError
from headrace.types.gateway import Chat, Counted, Level, Limit, Way, Window, Wire
from headrace.types.model import Datatype, RuntimeKind, Signature
from headrace.types.program import Usage
from headrace.types.step import Step, StepKind
from headrace.types.traffic import TrafficPolicy

TALKS = Signature(inputs=(spec("text", Datatype.BYTES),), outputs=(spec("answer", Datatype.BYTES),))
ASK: dict[str, Any] = {"model": "toy", "messages": [{"role": "user", "content": "where?"}]}


def saying(text: str, *pieces: str) -> Behaviour:
    """A program: what it says as it writes, and in the end; what it asked for it."""

    def behave(inputs: Inputs) -> Outputs:
        inputs.spent = Usage(calls=1, prompt_tokens=20, completion_tokens=5, money=0.25)
        inputs.steps = [Step(kind=StepKind.LM, name="fast", at_ms=1, ms=2, input=["q"], output=text)]
        for piece in pieces if inputs.hear is not None else ():
            inputs.hear(piece)
        return [np.array([text], dtype=object)]

    return behave


def failing(error: Exception) -> Behaviour:
    def behave(inputs: Inputs) -> Outputs:
        inputs.spent = Usage(calls=1, prompt_tokens=20)
        raise error

    return behave


class Place:
    """Both paths of a data plane, wired as app/data.py does."""

    def __init__(self, root: Path, behaviours: Mapping[int, Behaviour]) -> None:
        self.journal, self.clock = MemoryJournal(), ManualClock()
        record = recorder(self.journal, self.clock)
        self.folders = Folders(root)
        self.predictor = Predictor(record)
        self.runtime = ScriptedRuntime(dict(behaviours))
        self.fleet = Fleet(
            self.predictor,
            artifacts=Trusting(),
            runtimes={RuntimeKind.PROGRAM: self.runtime, RuntimeKind.ONNX: ScriptedRuntime()},
            clock=self.clock,
            retain_seconds=60,
            hashed=record.hashed,
        )
        self.limiter = Limiter(LocalCounters(self.clock), hashed=record.hashed, meter=record.meter, clock=self.clock)
        self.boards = self.fleet.neighbour = Boards(
            artifacts=self.folders, hashed=record.hashed, steady=self.clock.steady, speaker=Talker(self.predictor)
        )
        self.fleet.followers.append(self.boards.flip)
        outcomes = Outcomes(record.meter)
        self.completer = Completer(self.boards, self.limiter, record, idle=Idle(Turn()), outcomes=outcomes)

    async def serve(self, *endpoints: Endpoint, revision: int = 1) -> Place:
        assert await self.fleet.apply(plan(revision, *endpoints)) is None
        return self

    async def ask(self, body: Mapping[str, Any] = ASK, *, wire: Wire = Wire.CHAT, **more: Any) -> Seen:
        seen = more.pop("seen", None) or Seen()
        header = dict(more.pop("headers", {})).get
        request = Request(
            wire=wire, tail="", body=json.dumps(body).encode(), at=Address(), header=header, headers=[], **more
        )
        answered = await self.completer.complete(request, seen)
        if isinstance(answered, Answered):
            seen.begin(answered.status, answered.headers, answered.lines)
            seen.chunks.append(answered.body)
        return seen

    def calls(self) -> list[Call]:
        return self.journal.calls()


def talking(*versions: int, name: str = "toy", **more: Any) -> Endpoint:
    made = (package(version, signature=TALKS, runtime=RuntimeKind.PROGRAM) for version in versions or (1,))
    return endpoint(*made, name=name, **more)


def events(seen: Seen) -> list[dict[str, Any]]:
    data = [line[6:] for line in seen.body.decode().splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(piece) for piece in data[:-1]]


def text_of(seen: Seen) -> str:
    return "".join(choice["delta"].get("content", "") for event in events(seen) for choice in event["choices"])


async def test_a_model_of_text_answers_as_openai_would_and_is_one_call(tmp_path: Path) -> None:
    place = await Place(tmp_path, {1: saying("there")}).serve(talking())
    seen = await place.ask(ASK | {"temperature": 0.5}, user="ada", conversation="c1", message="m1")
    answer = seen.json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "there", "refusal": None}
    assert answer["usage"] == {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    assert (answer["object"], answer["model"]) == ("chat.completion", "toy")
    assert seen.headers["x-headrace-upstream"] == "headrace/toy@v1"
    assert seen.headers["x-headrace-lost"] == "temperature"
    (call,) = place.calls()
    assert (call.endpoint, call.variant, call.protocol, call.status) == ("toy", "v1", "openai.chat", CallStatus.OK)
    assert (call.input, call.output) == ({"text": "where?"}, ["there"]), "as /predict would have written it"
    spent = call.spent
    assert spent is not None
    assert (spent.usage.input, spent.usage.output, spent.cost) == (20, 5, 0.25)
    assert (spent.provider, spent.model, spent.conversation, spent.message) == ("headrace", "toy", "c1", "m1")
    assert [(step.name, step.input, step.output) for step in spent.steps] == [("fast", ["q"], "there")]


async def test_it_streams_what_is_written_as_it_is_written(tmp_path: Path) -> None:
    place = await Place(tmp_path, {1: saying("over there", "over", " the")}).serve(talking())
    seen = await place.ask(ASK | {"stream": True, "stream_options": {"include_usage": True}})
    told = events(seen)
    assert text_of(seen) == "over there"
    assert told[0]["choices"][0]["delta"] == {"role": "assistant", "content": "over the"}
    assert told[-2]["choices"][0]["finish_reason"] == "stop"
    assert (told[-1]["choices"], told[-1]["usage"]["total_tokens"]) == ([], 25)
    assert seen.ended
    plain = await place.ask(ASK | {"stream": True})
    assert all(event["choices"] for event in events(plain)), "nobody asked for the usage"
    assert [call.output for call in place.calls()] == [["over there"]] * 2


async def test_a_program_that_thinks_again_has_the_last_word(tmp_path: Path) -> None:
    place = await Place(tmp_path, {1: saying("final", "first thou", "ght")}).serve(talking())
    assert text_of(await place.ask(ASK | {"stream": True})) == "first thought\n\nfinal"
    assert place.calls()[0].output == ["final"]


async def test_anthropics_form_is_translated(tmp_path: Path) -> None:
    place = await Place(tmp_path, {1: saying("there")}).serve(talking())
    body = {"model": "toy", "max_tokens": 9, "messages": [{"role": "user", "content": "where?"}]}
    answer = (await place.ask(body, wire=Wire.MESSAGES)).json()
    assert answer["content"] == [{"type": "text", "text": "there"}]
    assert (answer["stop_reason"], answer["usage"]["input_tokens"]) == ("end_turn", 20)
    streamed = await place.ask(body | {"stream": True}, wire=Wire.MESSAGES)
    assert b"event: message_stop" in streamed.body
    assert [call.input for call in place.calls()] == [{"text": "where?"}] * 2


async def test_a_release_splits_chats_as_it_splits_predictions(tmp_path: Path) -> None:
    policy = TrafficPolicy(baseline="v1", candidate="v2", share=5000, salt="rel_1")
    place = await Place(tmp_path, {1: saying("one"), 2: saying("two")}).serve(talking(1, 2, policy=policy))
    said = {
        user: (await place.ask(user=user)).json()["choices"][0]["message"]["content"] for user in map(str, range(40))
    }
    assert set(said.values()) == {"one", "two"}
    again = {user: (await place.ask(user=user)).json()["choices"][0]["message"]["content"] for user in said}
    assert again == said, "the same user hears the same version"
    forced = await place.ask(headers={"x-headrace-variant": "v2"})
    assert forced.headers["x-headrace-variant"] == "v2"
    assert all(call.counted for call in place.calls()[:-1])


async def test_another_version_that_answers_for_a_broken_one_answers_chats_too(tmp_path: Path) -> None:
    place = await Place(tmp_path, {1: saying("one"), 2: saying("two")}).serve(talking(1, 2))
    table = place.predictor.table
    lane = table.lanes["toy"]
    switched = replace(lane, policy=replace(lane.policy, baseline="v2"))  # as serving/failover.py does
    place.predictor.table = replace(table, lanes={"toy": switched})
    assert (await place.ask()).headers["x-headrace-variant"] == "v2"


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (UpstreamError("the language model is away"), UpstreamError, CallStatus.FAILED),
        (ModelFailed("it raised"), ModelFailed, CallStatus.FAILED),
        (BadInput("too odd", field="text"), BadInput, CallStatus.REJECTED),
        (Overloaded("full"), Overloaded, CallStatus.SHED),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_is_the_models_own(
    tmp_path: Path, error: Exception, kind: type[Exception], status: CallStatus, stream: bool
) -> None:
    place = await Place(tmp_path, {1: failing(error)}).serve(talking())
    for _ in range(7):  # no breaker leaves it alone: who watches models decides that
        with pytest.raises(kind, match=str(error)):
            await place.ask(ASK | {"stream": stream})
    call = place.calls()[-1]
    assert (call.status, call.input) == (status, {"text": "where?"})
    assert call.spent is not None
    assert call.spent.usage.input == 20, "what it asked in vain was spent"


async def test_an_error_after_the_first_words_is_an_event(tmp_path: Path) -> None:
    half: Future[Outputs] | None = None

    def behave(inputs: Inputs) -> Future[Outputs]:
        nonlocal half
        assert inputs.hear is not None
        inputs.hear("well")
        half = asyncio.get_running_loop().create_future()
        return half

    place = await Place(tmp_path, {1: behave}).serve(talking())
    seen = Seen()
    work = asyncio.create_task(place.ask(ASK | {"stream": True}, seen=seen))
    await seen.wrote.wait()
    assert half is not None
    half.set_exception(ModelFailed("it died"))
    await work
    assert b'"error"' in seen.body
    assert b"it died" in seen.body
    assert place.calls()[0].status is CallStatus.FAILED


async def test_who_hangs_up_stops_it(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    def behave(inputs: Inputs) -> Future[Outputs]:
        assert inputs.hear is not None
        inputs.hear("well")
        inputs.stop = stopped.set
        return asyncio.get_running_loop().create_future()

    place = await Place(tmp_path, {1: behave}).serve(talking())
    seen = Seen()
    work = asyncio.create_task(place.ask(ASK | {"stream": True}, seen=seen))
    await seen.wrote.wait()
    work.cancel(HUNG_UP)
    with pytest.raises(asyncio.CancelledError):
        await work
    await asyncio.wait_for(stopped.wait(), 5)
    assert place.calls()[0].spent is not None


@pytest.mark.parametrize(("capture", "kept"), [(Capture.NONE, None), (Capture.MASKED, {"text": "I am <email>"})])
async def test_what_is_kept_is_what_the_endpoint_says(tmp_path: Path, capture: Capture, kept: Any) -> None:
    place = await Place(tmp_path, {1: saying("write to ada@example.org")}).serve(talking(capture=capture))
    await place.ask({"model": "toy", "messages": [{"role": "user", "content": "I am ada@example.org"}]})
    (line,) = place.journal.lines
    assert b"ada@example.org" not in line
    (call,) = place.calls()
    assert call.input == kept
    assert call.spent is not None
    assert call.spent.steps[0].output == (kept and "write to <email>")


async def test_limits_count_its_tokens(tmp_path: Path) -> None:
    place = await Place(tmp_path, {1: saying("there")}).serve(talking())
    place.limiter.apply([Limit(level=Level.ENDPOINT, counted=Counted.TOKENS, amount=10_000, window=Window.MINUTE)])
    first = await place.ask()
    second = await place.ask()
    left = [int(seen.headers["x-ratelimit-remaining-tokens"]) for seen in (first, second)]
    assert left[0] > left[1]


async def test_a_chat_endpoint_may_fall_back_to_a_model_of_ours(tmp_path: Path) -> None:
    place = Place(tmp_path, {1: saying("ours")})
    chat = Chat(ways=(Way(provider="headrace", model="toy"),))
    await place.serve(talking(), assistant(place.folders.add(chat)))
    seen = await place.ask(ASK | {"model": "assistant"})
    assert seen.json()["choices"][0]["message"]["content"] == "ours"
    (call,) = place.calls()
    assert (call.endpoint, call.input, call.output) == ("assistant", ASK["messages"], "ours")
    assert [step.name for step in call.spent.steps] == ["fast"]  # type: ignore[union-attr]


async def test_what_cannot_be_talked_to_is_no_chat_model(tmp_path: Path) -> None:
    place = await Place(tmp_path, {1: saying("x")}).serve(endpoint(package(2, model="other"), name="other"), talking())
    assert set(place.boards.now.lanes) == {"toy"}
    with pytest.raises(NotFound, match="no chat model 'other'; there are: toy"):
        await place.ask(ASK | {"model": "other"})


def columns(*names: str) -> Signature:
    return Signature(
        inputs=tuple(spec(name, Datatype.BYTES) for name in names), outputs=(spec("answer", Datatype.BYTES),)
    )


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        (columns("text"), ""),
        (columns("messages"), ""),
        (columns("history", "question", "system"), ""),
        (columns("history"), "no input for the user's words"),
        (columns("a", "b"), r"several inputs \(a, b\)"),
        (Signature(inputs=(spec("x"),), outputs=TALKS.outputs), "input 'x' is no text"),
        (Signature(inputs=TALKS.inputs, outputs=(spec("y"),)), "first output is no text"),
        (Signature(inputs=TALKS.inputs, outputs=()), "first output is no text"),
    ],
)
def test_which_models_can_be_talked_to(signature: Signature, why: str) -> None:
    told = misfit(signature)
    assert bool(told) == bool(why)
    assert re.search(why, told)


def test_which_message_is_which_input() -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": [{"type": "text", "text": "where"}, {"type": "text", "text": "is it?"}]},
    ]
    found = inputs_of({"messages": messages}, columns("history", "question", "system", "messages"))
    assert found["question"] == "where\nis it?"
    assert found["system"] == "be brief"
    assert found["history"] == "user: hello\nassistant: \nassistant: hi"
    assert json.loads(found["messages"])[-1] == {"role": "user", "content": "where\nis it?"}
    rank_2 = replace(TALKS, inputs=(spec("text", Datatype.BYTES, (-1, 1)),))
    assert inputs_of({"messages": messages[:2]}, rank_2) == {"text": ["hello"]}


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "x"}]}, r"messages\[0\]"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": IMAGE}, r"messages\[0\]"),
        ({"messages": ASK["messages"], "tools": [{}]}, "tools"),
        ({"messages": ASK["messages"], "n": 2}, "n"),
    ],
)
def test_what_it_cannot_take_is_the_callers_to_change(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        inputs_of(asked, TALKS)
    assert caught.value.field == field.replace("\\", "")
