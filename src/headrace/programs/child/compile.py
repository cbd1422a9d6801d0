"""The compiling process: `python -m headrace.programs.child.compile --fd N`.

Started by programs/compile.py for one compilation. Measures the program, lets the optimizer work, measures what it
found: on rows that the optimizer never sees. When the optimizer's part of the budget is used up it is left where it is,
and the best program that it has fully evaluated counts. Nothing here knows a key or an address.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import msgspec
import numpy as np
from dspy.utils.callback import BaseCallback

from headrace.compute.frames import Message
from headrace.programs.child.build import ask, build, import_code, open_program, state_of
from headrace.programs.child.engine import AsyncEngine, Purse, language_model, settings_of
from headrace.programs.child.line import Line, open_line, told
from headrace.programs.child.writing import adapter_of
from headrace.programs.metrics import METRICS, THRESHOLD, THRESHOLDS, bounded
from headrace.programs.optimizers.base import Task
from headrace.programs.optimizers.registry import optimizers
from headrace.programs.order import Order, Outcome, Row
from headrace.programs.package import Packed
from headrace.types.errors import BadInput
from headrace.types.program import Program

RETRIES = 1
TELL_SECONDS = 0.3  # between two words of progress
FEEDBACK = "feedback"


class Watch(BaseCallback):  # type: ignore[misc]
    """What an optimizer has fully evaluated so far."""

    def __init__(self, rows: int, say: Callable[[str], None]) -> None:
        self.best: tuple[float, Any] | None = None
        self._rows = rows
        self._say = say
        self._running: dict[str, Any] = {}
        self._done = 0

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        rows = inputs.get("devset") or instance.devset
        if len(rows) >= self._rows:
            self._running[call_id] = inputs["program"]

    def on_evaluate_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        program = self._running.pop(call_id, None)
        if program is None or outputs is None:
            return
        self._done += 1
        if self.best is None or outputs.score > self.best[0]:
            self.best = (outputs.score, program.deepcopy())
        self._say(f"{self._done} candidates evaluated, the best scores {self.best[0] / 100:.3f}")


@dataclass(slots=True)
class Bench:
    """The parts of one compilation."""

    order: Order
    packed: Packed
    metric: Callable[[Any, Any], float]
    line: Line
    call: int
    say: Callable[[str], None]

    def model(self, purse: Purse | None = None, alias: str = "") -> dspy.LM:
        engine = AsyncEngine(self.line, alias=alias, purse=purse, call=self.call)
        return language_model(self.packed.program, engine, asyncio.get_running_loop(), retries=RETRIES)


class Compiler:
    line: Line

    async def take(self, message: Message) -> None:
        header, blobs = message
        order = msgspec.json.decode(blobs[0], type=Order)
        last = 0.0

        def say(text: str) -> None:
            nonlocal last
            if (now := time.monotonic()) - last >= TELL_SECONDS:
                last = now
                loop.call_soon_threadsafe(self.line.send, {"id": header["id"], "more": True, "text": text})

        loop = asyncio.get_running_loop()
        try:
            outcome = await _compile(order, self.line, header["for"], say)
        except Exception as error:
            logging.exception("the compilation failed")
            outcome = Outcome(refused=told(error))
        self.line.send({"id": header["id"]}, [msgspec.json.encode(outcome)])


async def _compile(order: Order, line: Line, call: int, say: Callable[[str], None]) -> Outcome:
    random.seed(order.how.seed)
    np.random.seed(order.how.seed)
    folder = Path(order.folder)
    packed, live = open_program(folder)
    bench = Bench(order, packed, _metric(packed.program, order.how.metric, folder), line, call, say)
    settings = settings_of(bench.model(), adapter_of(packed.program.writing)) | {"max_trace_size": 10_000}
    with dspy.context(**settings):
        before, said, errors = await _measure(bench, live, "before")
        if errors and len(errors) == len(order.test):
            return Outcome(refused=f"the program answers none of the {len(errors)} test rows: {errors[0]}")
        found, stopped = await _optimize(bench, build(packed.program, folder), settings)
        if found is None:
            return Outcome(before=tuple(before), stopped=stopped, errors=len(errors), error=(errors or [""])[0])
        after, says, more = await _measure(bench, found, "after")
    return Outcome(
        found=True,
        state=state_of(found),
        before=tuple(before),
        after=tuple(after),
        answers_before=tuple(said),
        answers_after=tuple(says),
        errors=len(more),
        error=(more or [""])[0],
        demos=sum(len(predictor.demos) for predictor in found.predictors()),
        stopped=stopped,
    )


async def _optimize(bench: Bench, student: dspy.Module, settings: dict[str, Any]) -> tuple[dspy.Module | None, str]:
    """The compiled module, and why it was stopped early, if it was."""
    order, program = bench.order, bench.packed.program
    how, optimizer = order.how, optimizers()[order.how.optimizer]
    purse = Purse(calls=order.calls, money=order.money)
    watch = Watch(len(order.valid), bench.say)
    lm = bench.model(purse)
    reflection = bench.model(purse, how.reflection_lm)
    task = Task(
        student=student,
        train=_examples(program, order.train),
        valid=_examples(program, order.valid),
        metric=_judge(bench),
        feedback=_teacher(bench),
        threshold=THRESHOLDS.get(how.metric, THRESHOLD),
        settings=optimizer.with_defaults(how.settings),
        seed=how.seed,
        threads=how.threads,
        calls=order.calls,
        per_row=max(1, len(student.predictors())),
        lm=lm,
        reflection=reflection.copy(temperature=1.0, max_tokens=max(program.max_tokens, 4096)),
    )

    def work() -> Any:
        with dspy.context(**settings | {"lm": lm, "callbacks": [watch]}):
            return optimizer.make(task)

    bench.say(f"{how.optimizer.value} works on {len(order.train)} rows")
    working = asyncio.create_task(asyncio.to_thread(work))
    emptied = asyncio.create_task(purse.ended.wait())
    await asyncio.wait((working, emptied), return_when=asyncio.FIRST_COMPLETED)
    emptied.cancel()
    if working.done() and working.exception() is None and not purse.why:
        return working.result(), ""
    if purse.why:  # its threads end by themselves: each of their questions fails from now on
        working.add_done_callback(lambda done: done.exception())
        return (watch.best[1] if watch.best else None), purse.why
    return working.result(), ""  # which raises


async def _measure(bench: Bench, module: dspy.Module, name: str) -> tuple[list[float], list[Any], list[str]]:
    """A score and the answer for each row of the test, and what went wrong with those that got no answer."""
    program, order = bench.packed.program, bench.order
    target = order.how.target or program.outputs[0].name
    places, errors, done = asyncio.Semaphore(order.how.threads), list[str](), 0

    async def one(row: Row) -> tuple[float, Any]:
        nonlocal done
        shown: Any = None
        async with places:
            try:
                answer = await ask(module, {item.name: row[item.name] for item in program.inputs})
                shown = _shown(answer, target)
                score = bench.metric(row if _own(order.how.metric) else row[target], _given(bench, answer, target))
            except Exception as error:  # noqa: BLE001 -- the program's own code ran; no answer is a wrong answer
                errors.append(told(error))
                score = 0.0
        done += 1
        bench.say(f"{name}: {done} of {len(order.test)} test rows")
        return score, shown

    found = await asyncio.gather(*(one(row) for row in order.test))
    return [score for score, _ in found], [answer for _, answer in found], errors


def _metric(program: Program, name: str, folder: Path) -> Callable[[Any, Any], float]:
    """Of the target's values; a function of the program's own gets the whole row and the whole answer."""
    if name in METRICS:
        return METRICS[name]
    if program.code is None:
        raise BadInput(f"metric is {name!r}, and the program has no code that could define it", field="metric")
    function = getattr(import_code(program.code, folder), name)
    return lambda expected, given: bounded(function(expected, given))


def _own(name: str) -> bool:
    return name not in METRICS


def _given(bench: Bench, answer: Any, target: str) -> Any:
    if _own(bench.order.how.metric):
        return dict(answer.items()) if hasattr(answer, "items") else answer
    return answer[target] if hasattr(answer, "keys") else getattr(answer, target)


def _shown(answer: Any, target: str) -> Any:
    """For people; a program with a metric of its own need not have the target."""
    value = answer.get(target) if hasattr(answer, "get") else getattr(answer, target, None)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _judge(bench: Bench) -> Callable[..., float]:
    """As DSPy's optimizers call a metric."""
    target = bench.order.how.target or bench.packed.program.outputs[0].name

    def judge(example: Any, prediction: Any, trace: Any = None) -> float:
        expected = dict(example.items()) if _own(bench.order.how.metric) else example[target]
        return bench.metric(expected, _given(bench, prediction, target))

    return judge


def _teacher(bench: Bench) -> Callable[..., Any]:
    """As GEPA calls one: with what was wrong, in words; what a user said of such an answer first of all."""
    judge = _judge(bench)
    target = bench.order.how.target or bench.packed.program.outputs[0].name

    def teach(example: Any, prediction: Any, trace: Any = None, name: Any = None, part: Any = None) -> Any:
        score = judge(example, prediction)
        words = "That is right." if score >= 1.0 else f"It should have been {example[target]!r}."
        if said := example.get(FEEDBACK):
            words = f"{words} A user said: {said}"
        return dspy.Prediction(score=score, feedback=words)

    return teach


def _examples(program: Program, rows: Sequence[Row]) -> list[dspy.Example]:
    names = [item.name for item in program.inputs]
    return [dspy.Example(**row).with_inputs(*names) for row in rows]


async def serve(fd: int) -> None:
    compiler = Compiler()
    line = compiler.line = await open_line(fd, compiler.take)
    line.send({"ready": True})
    await line.ended.wait()


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m headrace.programs.child.compile")
    parser.add_argument("--fd", type=int, required=True)
    asyncio.run(serve(parser.parse_args().fd))


if __name__ == "__main__":
    main()
