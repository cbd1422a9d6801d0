"""Calls that run together: which, when, and that nobody's answer depends on the company."""

from __future__ import annotations

import asyncio
from asyncio import Future
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.serving.batch import Batcher
from headrace.serving.queue import Answer, Soon
from headrace.serving.runtimes.base import Form, Inputs, Outputs
from headrace.serving.statistics import Statistics
from headrace.serving.turn import Turn
from headrace.types.endpoint import Batching, TimeoutAction
from headrace.types.errors import BadInput, HeadraceError, ModelFailed, Overloaded, Unavailable


def rows(*values: float, width: int = 1) -> Inputs:
    matrix = np.array(values, dtype=np.float64).reshape(-1, 1).repeat(width, axis=1)
    return Inputs(len(values), {"x": matrix})


def doubled(inputs: Inputs) -> Outputs:
    return [inputs.arrays["x"] * 2, inputs.arrays["x"].sum(axis=1)]


@dataclass
class Held:
    """A model whose runs end when the test says so. A row of -1 is refused, one of -2 breaks the model."""

    form: Form = field(default_factory=Form)
    instances: int = 1
    runs: list[tuple[Inputs, Future[Outputs]]] = field(default_factory=list)
    closed: bool = False

    def quick(self, rows: int) -> bool:
        return False

    async def warm(self, inputs: Inputs) -> Outputs:
        return doubled(inputs)

    def run(self, inputs: Inputs) -> Future[Outputs]:
        work: Future[Outputs] = asyncio.get_running_loop().create_future()
        self.runs.append((inputs, work))
        return work

    async def close(self) -> None:
        self.closed = True

    def sizes(self) -> list[int]:
        return [inputs.rows for inputs, _ in self.runs]

    async def end(self, number: int = -1) -> None:
        inputs, work = self.runs[number]
        values = inputs.arrays["x"]
        if (values == -1).any():
            work.set_exception(BadInput("a row is -1", field="inputs"))
        elif (values == -2).any():
            work.set_exception(ModelFailed("it broke"))
        else:
            work.set_result(doubled(inputs))
        await asyncio.sleep(0)


class Bench:
    """A batcher on a clock that only the test moves (what waits for the clock is pumped by hand)."""

    def __init__(self, together: bool = True, instances: int = 1, **words: object) -> None:
        self.now = 0.0
        self.turn = Turn()
        self.model = Held(instances=instances)
        self.statistics = Statistics()
        self.batcher = Batcher(
            self.model, self.statistics, name="toy/1", steady=lambda: self.now, turn=self.turn, together=together
        )
        self.set(**words)

    def set(self, **words: object) -> None:
        self.batcher.configure(Batching(**words))  # type: ignore[arg-type]

    def ask(self, *values: float, priority: int = 0, patience: float = 0.0, width: int = 1) -> Answer:
        work = self.batcher.run(rows(*values, width=width), priority=priority, patience=patience)
        assert isinstance(work, Answer)
        return work

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.batcher._pump()


async def test_a_free_model_gets_a_call_at_once_and_a_busy_one_takes_all_that_waited() -> None:
    bench = Bench()
    first, *others = [bench.ask(float(i)) for i in range(5)]
    assert bench.model.sizes() == [1]
    await bench.model.end()
    assert bench.model.sizes() == [1, 4]
    await bench.model.end()
    for value, answer in enumerate((first, *others)):
        outputs = answer.result()
        assert [outputs[0].tolist(), outputs[1].tolist()] == [[[2.0 * value]], [float(value)]]
    assert (bench.statistics.execution_count, sorted(bench.statistics.batches)) == (2, [1, 4])
    assert bench.statistics.queue.count == bench.statistics.compute_infer.count == 5


async def test_whole_calls_only_up_to_the_size() -> None:
    bench = Bench(max_batch_size=4)
    bench.ask(0.0)
    for size in (2, 1, 2, 6, 1):
        bench.ask(*range(size))
    for _ in range(5):
        await bench.model.end()
    assert bench.model.sizes() == [1, 3, 2, 6, 1]  # six rows are more than a batch: they run alone


@pytest.mark.parametrize("words", [{"max_batch_size": 0}, {"together": False}])
async def test_without_batches_each_call_runs_alone(words: dict[str, int]) -> None:
    bench = Bench(**words)  # type: ignore[arg-type]
    for value in range(3):
        bench.ask(float(value))
    await bench.model.end()
    await bench.model.end()
    assert bench.model.sizes() == [1, 1, 1]


async def test_other_shapes_are_another_batch() -> None:
    bench = Bench()
    bench.ask(0.0)
    for width in (1, 1, 2, 1):
        bench.ask(1.0, width=width)
    for _ in range(3):
        await bench.model.end()
    assert bench.model.sizes() == [1, 2, 1, 1]


async def test_instances_run_side_by_side_and_can_be_changed() -> None:
    bench = Bench(instances=2)
    for value in range(4):
        bench.ask(float(value))
    assert bench.model.sizes() == [1, 1]
    bench.set(instances=3)
    assert bench.model.sizes() == [1, 1, 2]


async def test_a_delay_waits_for_more_but_not_longer() -> None:
    bench = Bench(max_batch_size=3, max_queue_delay_microseconds=1000)
    bench.ask(0.0)
    bench.later(0.0005)
    assert bench.model.sizes() == []
    bench.ask(1.0)
    bench.later(0.0005)
    assert bench.model.sizes() == [2]
    await bench.model.end()
    for value in range(3):
        bench.ask(float(value))
    assert bench.model.sizes() == [2, 3]  # full: nothing to wait for


async def test_the_clock_ends_a_delay_by_itself() -> None:
    bench = Bench(max_queue_delay_microseconds=1)
    bench.now = 5.0
    answer = bench.ask(3.0)
    bench.now = 6.0
    async with asyncio.timeout(5):
        while not bench.model.runs:
            await asyncio.sleep(0)
    await bench.model.end()
    assert answer.result()[1].tolist() == [3.0]


async def test_a_preferred_size_does_not_wait() -> None:
    bench = Bench(max_batch_size=8, preferred_batch_size=(2, 4), max_queue_delay_microseconds=1000)
    bench.ask(0.0)
    bench.ask(1.0)
    assert bench.model.sizes() == [2]
    for value in range(5):
        bench.ask(float(value))
    await bench.model.end()
    assert bench.model.sizes() == [2, 4]


async def test_priority_comes_first() -> None:
    bench = Bench(max_batch_size=1, priority_levels=3, default_priority_level=2)
    bench.ask(0.0)
    order = [bench.ask(float(level), priority=level) for level in (3, 0, 1, 9)]
    del order
    for _ in range(4):
        await bench.model.end()
    assert [inputs.arrays["x"][0, 0] for inputs, _ in bench.model.runs] == [0, 1, 0, 9, 3]


async def test_a_full_queue_refuses() -> None:
    bench = Bench(max_queue_size=1)
    bench.ask(0.0)
    bench.ask(1.0)
    with pytest.raises(Overloaded, match="already has 1 calls waiting") as caught:
        bench.ask(2.0)
    assert caught.value.retry_after


async def test_who_waits_too_long_is_refused_or_comes_last() -> None:
    bench = Bench(max_batch_size=1, default_timeout_microseconds=1000)
    bench.ask(0.0)
    late, impatient = bench.ask(1.0), bench.ask(2.0, patience=0.0005)
    bench.later(0.0006)
    assert (impatient.done(), late.done()) == (True, False)
    bench.set(max_batch_size=1, timeout_action=TimeoutAction.DELAY)
    bench.later(0.001)
    bench.ask(3.0)
    assert not late.done()
    await bench.model.end()
    await bench.model.end()
    assert [inputs.arrays["x"][0, 0] for inputs, _ in bench.model.runs] == [0, 3, 1]
    with pytest.raises(Overloaded, match="longer than its time in the queue"):
        impatient.result()


async def test_the_clock_refuses_also_while_the_model_is_stuck() -> None:
    bench = Bench()
    bench.ask(0.0)
    late = bench.ask(1.0, patience=0.001)
    bench.now = 1.0
    with pytest.raises(Overloaded):
        async with asyncio.timeout(5):
            await late


async def test_an_override_needs_permission() -> None:
    bench = Bench(allow_timeout_override=False)
    bench.ask(0.0)
    waiting = bench.ask(1.0, patience=0.001)
    bench.later(1.0)
    assert not waiting.done()


async def test_who_gave_up_leaves_the_queue_but_not_a_batch_that_runs() -> None:
    bench = Bench()
    running = bench.ask(0.0)
    gone, stays = bench.ask(1.0), bench.ask(2.0)
    running.leave()
    gone.leave()
    assert (running.cancelled(), gone.cancelled(), bench.batcher.queued) == (False, True, 1)
    await bench.model.end()
    assert bench.model.runs[1][0].arrays["x"].tolist() == [[2.0]]
    await bench.model.end()
    assert stays.result()[1].tolist() == [2.0]


async def test_one_bad_call_does_not_spoil_its_batch() -> None:
    bench = Bench()
    bench.ask(0.0)
    answers = [bench.ask(value) for value in (1.0, -1.0, 2.0, -2.0)]
    for _ in range(6):
        await bench.model.end()
    assert bench.model.sizes() == [1, 4, 1, 1, 1, 1]
    assert [a.result()[1].tolist() for a in (answers[0], answers[2])] == [[1.0], [2.0]]
    for answer, kind in ((answers[1], BadInput), (answers[3], ModelFailed)):
        with pytest.raises(kind):
            answer.result()
    assert bench.batcher._busy == 0


async def test_an_output_that_cannot_be_split_is_the_models_failure_for_those_it_happens_to() -> None:
    bench = Bench()
    bench.ask(0.0)
    answers = [bench.ask(1.0), bench.ask(2.0)]
    await bench.model.end()
    bench.model.runs[-1][1].set_result([np.zeros(1)])
    await asyncio.sleep(0)
    await bench.model.end()
    await bench.model.end()
    assert [a.result()[1].tolist() for a in answers] == [[1.0], [2.0]]


async def test_a_runtime_that_raises_instead_of_failing_is_told_to_who_waits() -> None:
    bench = Bench()

    def bug(inputs: Inputs) -> Future[Outputs]:
        raise ZeroDivisionError

    bench.model.run = bug  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        await bench.ask(0.0)
    assert bench.batcher._busy == 0


async def test_closing_refuses_what_waits_and_what_comes() -> None:
    bench = Bench()
    running, waiting = bench.ask(0.0), bench.ask(1.0)
    await bench.batcher.close()
    with pytest.raises(Unavailable):
        waiting.result()
    with pytest.raises(Unavailable):
        bench.ask(2.0)
    await bench.model.end()
    assert running.result()[1].tolist() == [0.0]
    assert bench.model.closed


class Small(Held):
    """Answers at once, as long as there are not too many rows."""

    most: int = 8

    def quick(self, rows: int) -> bool:
        return rows <= self.most

    def run(self, inputs: Inputs) -> Outputs:  # type: ignore[override]
        self.runs.append((inputs, None))  # type: ignore[arg-type]
        values = inputs.arrays["x"]
        if (values == -1).any():
            raise BadInput("a row is -1", field="inputs")
        return doubled(inputs)


def small() -> Bench:
    bench = Bench()
    bench.model = bench.batcher.model = Small()
    return bench


async def test_small_calls_of_one_turn_run_together() -> None:
    bench = small()
    resumed: list[int] = []
    with bench.turn.opened():
        answers = [bench.ask(float(value)) for value in range(3)]
        for number, answer in enumerate(answers):
            assert isinstance(answer, Soon)
            answer.then = lambda number=number: resumed.append(number)
        assert bench.model.sizes() == []
    assert bench.model.sizes() == [3]
    assert [a.result()[1].tolist() for a in answers] == [[0.0], [1.0], [2.0]]
    assert resumed == [0, 1, 2]
    assert (bench.statistics.execution_count, bench.statistics.compute_infer.count) == (1, 3)


async def test_outside_of_a_turn_a_small_call_runs_at_once() -> None:
    bench = small()
    assert isinstance(bench.batcher.run(rows(1.0)), list)
    bench.set(max_batch_size=0)
    with bench.turn.opened():
        assert isinstance(bench.batcher.run(rows(1.0)), list), "nor where calls are to run alone"


async def test_a_turn_has_batches_of_one_kind_and_as_large_as_may_be() -> None:
    bench = small()
    bench.set(max_batch_size=6)
    with bench.turn.opened():
        for size, width in ((2, 1), (3, 1), (2, 1), (1, 2), (1, 2), (4, 1)):
            bench.ask(*range(size), width=width)
    assert bench.model.sizes() == [5, 2, 2, 4]
    assert isinstance(bench.model, Small)
    bench.model.most = 3
    with bench.turn.opened():
        for _ in range(4):
            bench.ask(1.0, 2.0)
    assert bench.model.sizes()[4:] == [2, 2, 2, 2], "three rows are quick, four would not be"


async def test_one_bad_call_does_not_spoil_its_turn() -> None:
    bench = small()
    with bench.turn.opened():
        answers = [bench.ask(value) for value in (1.0, -1.0, 2.0)]
    assert [a.result()[1].tolist() for a in (answers[0], answers[2])] == [[1.0], [2.0]]
    with pytest.raises(BadInput):
        answers[1].result()


async def test_work_that_asks_for_more_is_done_in_the_same_turn() -> None:
    bench = small()
    again: list[Answer] = []
    with bench.turn.opened():
        first = bench.ask(1.0)
        assert isinstance(first, Soon)
        first.then = lambda: again.append(bench.ask(2.0))
    assert again[0].result()[1].tolist() == [2.0]
    assert not bench.turn.open


CALLS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, -2.0]), min_size=1, max_size=4),
        st.integers(0, 3),  # priority
        st.sampled_from(["stay", "stay", "stay", "leave"]),
        st.booleans(),  # a run ends before the next call comes
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(calls=CALLS, size=st.integers(0, 8), instances=st.integers(1, 3), preferred=st.sets(st.integers(1, 8)))
def test_everyone_gets_what_they_would_get_alone(
    calls: list[tuple[list[float], int, str, bool]], size: int, instances: int, preferred: set[int]
) -> None:
    async def play() -> None:
        words = {"max_batch_size": size, "preferred_batch_size": tuple(preferred), "priority_levels": 3}
        bench = Bench(instances=instances, **words)
        asked: list[tuple[list[float], Answer]] = []
        for values, priority, then, ends in calls:
            answer = bench.ask(*values, priority=priority)
            asked.append((values, answer))
            if then == "leave":
                answer.leave()
            if ends:
                await _end_one(bench)
        while await _end_one(bench):
            assert all(inputs.rows <= max(size, 4) for inputs, _ in bench.model.runs)
        for values, answer in asked:
            assert answer.done()
            if not answer.cancelled():
                _same_as_alone(values, answer)
        assert (bench.batcher._busy, bench.batcher.queued) == (0, 0)

    asyncio.run(play())


async def _end_one(bench: Bench) -> bool:
    for number, (_, work) in enumerate(bench.model.runs):
        if not work.done():
            await bench.model.end(number)
            return True
    return False


def _same_as_alone(values: list[float], answer: Answer) -> None:
    if -1.0 in values or -2.0 in values:
        with pytest.raises(HeadraceError):
            answer.result()
        return
    alone = doubled(rows(*values))
    for one, other in zip(answer.result(), alone, strict=True):
        assert np.array_equal(one, other)
