"""A program in its model host: many calls at once, each with its deadline and its bill; text as it is written."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
import pytest_asyncio
from lm_server import FakeLM, fake_lm
from ticket_program import TICKET

from headrace.programs.definition import read_program, signature_of
from headrace.programs.package import Packed, with_code, write_package
from headrace.serving import spent
from headrace.serving.lm import Aliases
from headrace.serving.runtimes.base import Inputs, Surroundings
from headrace.serving.runtimes.program import ProgramModel, ProgramRuntime
from headrace.types.errors import ModelFailed, ModelRefused, TimedOut, UpstreamError
from headrace.types.gateway import Spent
from headrace.types.model import Package, RuntimeKind
from headrace.types.program import Program, Usage

pytestmark = pytest.mark.process
Load = Callable[[Packed], Any]
CODE = b"""
import os, time, dspy

class Mine(dspy.Module):
    def __init__(self):
        super().__init__()
        self.step = dspy.ChainOfThought("text -> team")

    def forward(self, text):
        if text == "die":
            os._exit(9)
        if text == "raise":
            raise ZeroDivisionError("as it was told")
        return self.step(text=text)

def build():
    return Mine()
"""

TWICE = b"""
import dspy

class Twice(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first, self.then = dspy.Predict("text -> team"), dspy.Predict("text -> team")

    async def aforward(self, text):
        await self.first.acall(text=text)
        return await self.then.acall(text=text)

def build():
    return Twice()
"""


@pytest.fixture
def lm() -> Iterator[FakeLM]:
    with fake_lm(lambda body: json.dumps({"reasoning": "it says so", "team": "billing"})) as found:
        yield found


@pytest_asyncio.fixture
async def load(lm: FakeLM, alias_file: Callable[..., Aliases], tmp_path: Path) -> Any:
    models: list[ProgramModel] = []

    async def loaded(packed: Packed) -> ProgramModel:
        folder = tmp_path / f"package-{len(models)}"
        write_package(packed, folder)
        surroundings = Surroundings(
            run=tmp_path, logs=tmp_path / "logs", report=lambda *_: None, aliases=alias_file(lm.url)
        )
        package = Package(
            id="p" * 64,
            model=packed.program.name,
            version=1,
            source_sha256="",
            runtime=RuntimeKind.PROGRAM,
            signature=signature_of(packed.program),
            files=(),
        )
        models.append(cast(ProgramModel, await ProgramRuntime(surroundings).load(folder, package)))
        return models[-1]

    yield loaded
    for model in models:
        await model.close()


def asked(*texts: str, seconds: float = 20.0) -> Inputs:
    column = np.empty(len(texts), dtype=object)
    column[:] = texts
    return Inputs(len(texts), {"text": column}, deadline=asyncio.get_running_loop().time() + seconds)


async def test_calls_run_at_once_and_each_knows_what_it_spent(load: Load, lm: FakeLM, ticket: Program) -> None:
    model = await load(Packed(program=ticket))
    together = threading.Barrier(3)

    def reply(body: dict[str, Any]) -> str:
        together.wait(20)  # passes only when all three are under way
        return json.dumps({"team": "technical" if "crash" in str(body["messages"][-1]) else "billing"})

    lm.reply = reply
    calls = [asked("a crash"), asked("money", "more money")]
    first, second = await asyncio.gather(*(model.run(inputs) for inputs in calls))
    assert first[0].tolist() == ["technical"]
    assert second[0].tolist() == ["billing", "billing"]
    assert [inputs.spent for inputs in calls] == [
        Usage(calls=1, prompt_tokens=10, completion_tokens=5),
        Usage(calls=2, prompt_tokens=20, completion_tokens=10),
    ]


async def test_a_deadline_ends_one_call_and_no_other(load: Load, lm: FakeLM, ticket: Program) -> None:
    model = await load(Packed(program=ticket))
    held = threading.Event()

    def reply(body: dict[str, Any]) -> str:
        if "slow" in str(body["messages"][-1]):
            held.wait(20)
        return json.dumps({"team": "billing"})

    lm.reply = reply
    slow = model.run(asked("slow", seconds=0.2))
    with pytest.raises(TimedOut):
        await slow
    assert (await model.run(asked("quick")))[0].tolist() == ["billing"]
    assert model.host.restarts == 0
    held.set()


async def test_text_comes_as_it_is_written(load: Load, lm: FakeLM, ticket: Program) -> None:
    free = read_program(TICKET | {"outputs": [{"name": "answer"}], "kind": "ChainOfThought"})
    model = await load(Packed(program=free))
    said = 'It is "here": \\ ça va'
    lm.reply = lambda body: json.dumps({"reasoning": "I know.", "answer": said}, ensure_ascii=False)
    inputs, found = asked("where"), list[str]()
    inputs.hear = found.append
    outputs = await model.run(inputs)
    assert "".join(found) == said
    assert len(found) > 3
    assert [column.tolist() for column in outputs] == [[said], ["I know."]]
    assert lm.asked[-1]["stream"] is True


async def test_between_markers_too(load: Load, lm: FakeLM) -> None:
    model = await load(Packed(program=read_program(TICKET | {"writing": "chat", "outputs": [{"name": "answer"}]})))
    lm.reply = lambda body: "[[ ## answer ## ]]\nby [the] river\n\n[[ ## completed ## ]]"
    inputs, found = asked("where"), list[str]()
    inputs.hear = found.append
    await model.run(inputs)
    assert "".join(found) == "by [the] river"


async def test_a_brief_program_says_only_what_it_must(load: Load, lm: FakeLM) -> None:
    shown = {"text": "my card", "team": "billing"}
    model = await load(Packed(program=read_program(TICKET | {"writing": "brief", "examples": [shown]})))
    lm.reply = lambda body: json.dumps({"team": "technical"})
    assert (await model.run(asked("a crash")))[0].tolist() == ["technical"]
    assert [message["content"] for message in lm.asked[-1]["messages"]] == [
        "Say which team answers this mail.",
        "my card",
        '{"team": "billing"}',
        "a crash",
    ]
    schema = lm.asked[-1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["team"]["enum"] == ["billing", "technical"]


def test_what_it_spent_stands_in_the_line_of_the_call() -> None:
    inputs = Inputs(1, {}, spent=Usage(calls=2, prompt_tokens=30, completion_tokens=7, money=0.5))
    line = msgspec.json.decode(spent.told(inputs, offset_ms=1.0, captured=True), type=Spent)
    assert (line.usage.input, line.usage.output, line.cost, line.attempts) == (30, 7, 0.5, 2)
    assert not line.provider  # the gateway bills on lines of its own


async def test_what_nobody_waits_for_is_stopped_and_asks_no_more(load: Load, lm: FakeLM, ticket: Program) -> None:
    model = await load(Packed(program=read_program(TICKET | {"outputs": [{"name": "answer"}]})))
    begun, inputs = asyncio.Event(), asked("where")
    inputs.hear = lambda text: begun.set()
    lm.reply = lambda body: json.dumps({"answer": "word " * 50})
    work = model.run(inputs)
    await begun.wait()
    assert inputs.stop is not None
    inputs.stop()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not model.desk._accounts
    lm.reply = lambda body: json.dumps({"answer": "still here"})
    assert (await model.run(asked("again")))[0].tolist() == ["still here"]


async def test_its_parts_and_its_questions_are_steps_within_each_other(load: Load, lm: FakeLM, ticket: Program) -> None:
    model = await load(with_code(ticket, CODE, name="mine.py"))
    inputs = asked("fine")
    await model.run(inputs)
    told = [(step.kind.value, step.name, step.within) for step in inputs.steps]
    assert told == [
        ("module", "Mine", -1),
        ("module", "step", 0),
        ("module", "step.predict", 1),
        ("lm", "fast", 2),
    ]
    outer, *_, question = inputs.steps
    assert (question.input_tokens, question.output_tokens, question.model, question.finish) == (10, 5, "m", "stop")
    assert outer.input == {"text": "fine"}
    assert outer.output == {"reasoning": "it says so", "team": "billing"}
    assert json.loads(bytes(question.input))[-1]["role"] == "user"
    assert question.output == json.dumps({"reasoning": "it says so", "team": "billing"})
    assert outer.at_ms <= question.at_ms
    assert question.ms <= outer.ms
    single = await load(Packed(program=ticket))
    plain = asked("fine")
    await single.run(plain)
    assert [(step.kind.value, step.within) for step in plain.steps] == [("lm", -1)]
    with pytest.raises(ModelFailed):
        await model.run(failing := asked("raise"))
    assert [(step.name, step.error) for step in failing.steps] == [("Mine", "ZeroDivisionError: as it was told")]


async def test_an_answer_that_is_written_in_several_questions_is_not_streamed(load: Load, lm: FakeLM) -> None:
    """Nobody knows beforehand which of them is the last."""
    program = read_program(TICKET | {"outputs": [{"name": "team"}]})
    model = await load(with_code(program, TWICE, name="twice.py"))
    inputs, found = asked("where"), list[str]()
    inputs.hear = found.append
    assert (await model.run(inputs))[0].tolist() == ["billing"]
    assert (found, inputs.spent and inputs.spent.calls) == ([], 2)


async def test_who_is_to_blame(load: Load, lm: FakeLM, ticket: Program) -> None:
    model = await load(with_code(ticket, CODE, name="mine.py"))
    assert (await model.run(asked("fine")))[0].tolist() == ["billing"]
    with pytest.raises(ModelFailed, match="ZeroDivisionError: as it was told"):
        await model.run(asked("raise"))
    lm.reply = lambda body: 400
    with pytest.raises(UpstreamError, match="status 400"):
        await model.run(asked("fine"))
    lm.reply = lambda body: "no JSON at all"
    with pytest.raises(ModelFailed, match="AdapterParseError"):
        await model.run(asked("fine"))
    with pytest.raises(ModelFailed, match="died"):
        await model.run(asked("die"))
    lm.reply = lambda body: json.dumps({"reasoning": "so", "team": "billing"})
    assert (await model.run(asked("fine")))[0].tolist() == ["billing"]
    assert model.host.restarts == 1


async def test_a_host_that_is_killed_comes_back(load: Load, ticket: Program) -> None:
    model = await load(Packed(program=ticket))
    os.kill(model.host.pid, signal.SIGKILL)
    while True:  # the first call may still see it die
        try:
            found = await model.run(asked("hello"))
            break
        except ModelFailed:
            continue
    assert found[0].tolist() == ["billing"]


async def test_what_does_not_open_is_refused(load: Load, ticket: Program) -> None:
    with pytest.raises(ModelRefused, match="nonsense_of_nobody"):
        await load(with_code(ticket, b"import nonsense_of_nobody", name="mine.py"))
    with pytest.raises(ModelRefused, match=r"returned int, not a dspy.Module"):
        await load(with_code(ticket, b"def build(): return 3", name="mine.py"))
