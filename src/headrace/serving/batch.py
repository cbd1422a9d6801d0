"""Calls that run together: a model that is busy lets calls queue, and takes as many as fit when it is free.

Called by run.py for every call, built by fleet.py around a loaded model. Decides when the model runs and on what; which
calls go together is queue.py's. At idle nothing is added: a free model gets a call at once, and one that answers faster
than a hand-over costs is run where it is called. What one call gets never depends on its company: when a batch fails,
each of its calls runs again alone.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future, TimerHandle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np

from headrace.base.log import fields
from headrace.serving.queue import RETRY_AFTER, Answer, Queue, Soon, Waiting, kind_of
from headrace.serving.runtimes.base import Array, Inputs, Model, Outputs
from headrace.serving.statistics import Statistics
from headrace.serving.turn import Turn
from headrace.types.endpoint import Batching
from headrace.types.errors import HeadraceError, ModelFailed, Overloaded, Unavailable

log = logging.getLogger("headrace.serving")


class Batcher:
    """`together`: false for a model whose answers to several rows are not those to each row alone."""

    def __init__(
        self,
        model: Model,
        statistics: Statistics,
        *,
        name: str,
        steady: Callable[[], float],
        turn: Turn,
        together: bool = True,
    ) -> None:
        self.model = model
        self.statistics = statistics
        self.together = together
        self._steady = steady
        self._turn = turn
        self._small: list[tuple[Inputs, Soon]] = []  # of this turn of the loop
        self._most = Batching().max_batch_size
        self._queue = Queue(Batching(), name=name)
        self._busy = 0
        self._timer: TimerHandle | None = None
        self._scaled = 0  # instances that were asked for; 0: as the runtime sees fit
        self._scaling: Future[None] | None = None
        self._closed = False

    @property
    def queued(self) -> int:
        return len(self._queue)

    def configure(self, batching: Batching) -> None:
        """At any time; calls that wait are treated by the new words from now on."""
        self._queue.batching = batching if self.together else replace(batching, max_batch_size=0)
        self._most = self._queue.batching.max_batch_size
        if batching.instances != self._scaled:
            self._scaled = batching.instances
            self._scaling = asyncio.ensure_future(self._scale(batching.instances))
        self._pump()

    async def _scale(self, instances: int) -> None:
        """Beside live traffic; a model in this process has nothing to do."""
        try:
            await self.model.scale(instances)
        except HeadraceError as error:
            log.error("instances could not be started", extra=fields(instances=instances, error=error.sentence()))
        self._pump()

    def run(self, inputs: Inputs, *, priority: int = 0, patience: float = 0.0) -> Outputs | Answer:
        """Outputs at once, or what to wait for. Raises Overloaded when the queue is full."""
        if self.model.quick(inputs.rows):
            if self._turn.open and self._most:
                return self._together(inputs)
            began = self._steady()
            outputs = self._at_once(inputs)
            self.statistics.waited(1, 0.0)
            self.statistics.executed(inputs.rows, calls=1, seconds=self._steady() - began)
            return outputs
        if self._closed:
            raise Unavailable("the model was unloaded", retry_after=RETRY_AFTER)
        waiting = Waiting(inputs, Answer(loop=asyncio.get_running_loop()), self._steady())
        self._queue.push(waiting, priority=priority, patience=patience)
        self._pump()
        return waiting.answer

    @property
    def idle(self) -> bool:
        """Nobody waits, and an instance is free."""
        return self._free() and not self._queue

    def beside(self, inputs: Inputs) -> Outputs | Future[Outputs]:
        """Run a call for which nobody waits, by itself: it joins no batch, no queue and no statistics. Only a model
        that is `idle`, or quick, may be asked."""
        if self._closed:
            raise Unavailable("the model was unloaded", retry_after=RETRY_AFTER)
        work = self.model.run(inputs)
        if not isinstance(work, list):
            self._busy += 1
            work.add_done_callback(self._passed)
        return work

    def _passed(self, work: Future[Outputs]) -> None:
        self._busy -= 1
        self._pump()

    def _together(self, inputs: Inputs) -> Soon:
        """With the other small calls of this turn."""
        if not self._small:
            self._turn.later(self._run_small)
        answer = Soon(loop=asyncio.get_running_loop())
        self._small.append((inputs, answer))
        return answer

    def _run_small(self) -> None:
        small, self._small = self._small, []
        start = 0
        while start < len(small):
            end = self._fitting(small, start)
            self._run_few(small[start:end])
            start = end

    def _fitting(self, small: list[tuple[Inputs, Soon]], start: int) -> int:
        """Up to where they are of one kind, within the batch size, and still quick."""
        rows, kind = small[start][0].rows, kind_of(small[start][0])
        for end in range(start + 1, len(small)):
            inputs = small[end][0]
            rows += inputs.rows
            if rows > self._most or kind_of(inputs) != kind or not self.model.quick(rows):
                return end
        return len(small)

    def _run_few(self, few: list[tuple[Inputs, Soon]]) -> None:
        sizes = [inputs.rows for inputs, _ in few]
        began = self._steady()
        try:
            parts = _split(self._at_once(_merged([inputs for inputs, _ in few])), sizes)
        except Exception as error:  # noqa: BLE001  whoever waits is told
            if len(few) == 1:
                few[0][1].fail(error)
                return
            for one in few:
                self._run_few([one])
            return
        self.statistics.waited(len(few), 0.0)
        self.statistics.executed(sum(sizes), calls=len(few), seconds=self._steady() - began)
        for (_, answer), part in zip(few, parts, strict=True):
            answer.finish(part)

    def _at_once(self, inputs: Inputs) -> Outputs:
        outputs = self.model.run(inputs)
        if not isinstance(outputs, list):
            raise TypeError(f"{type(self.model).__name__} said that it is quick, and is not")
        return outputs

    async def close(self) -> None:
        self._closed = True
        if self._scaling is not None:
            await self._scaling
        if self._timer is not None:
            self._timer.cancel()
        for waiting in self._queue.empty():
            waiting.answer.fail(Unavailable("the model was unloaded", retry_after=RETRY_AFTER))
        await self.model.close()

    def _pump(self) -> None:
        """Give every free instance something to do; then see when to look again."""
        now = self._steady()
        for waiting in self._queue.expired(now):
            late = Overloaded("the call waited longer than its time in the queue allows", retry_after=RETRY_AFTER)
            waiting.answer.fail(late)
        while self._free() and (batch := self._queue.take(now)):
            self._start(batch, now)
        self._look_again(now)

    def _free(self) -> bool:
        return self._busy < (self._queue.batching.instances or self.model.instances) and not self._closed

    def _look_again(self, now: float) -> None:
        """The end of a run pumps anyway; this is for what only the clock brings."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pause = self._queue.pause(now, busy=not self._free())
        if pause is not None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(pause, self._pump)

    def _start(self, batch: list[Waiting], now: float) -> None:
        self._busy += 1
        for waiting in batch:
            waiting.answer.started = True
        self.statistics.waited(len(batch), sum(now - w.since for w in batch))
        try:
            work = self.model.run(_merged([w.inputs for w in batch]))
        except Exception as error:  # noqa: BLE001  whoever waits is told, as by a run that failed later
            self._failed(batch, error)
            return
        if isinstance(work, list):
            self._done(batch, work, now)
        else:
            work.add_done_callback(partial(self._ended, batch, now))

    def _ended(self, batch: list[Waiting], began: float, work: Future[Outputs]) -> None:
        if work.cancelled():
            self._failed(batch, ModelFailed("the run was cancelled"))
        elif (error := work.exception()) is not None:
            self._failed(batch, error)
        else:
            self._done(batch, work.result(), began)
        self._pump()

    def _done(self, batch: list[Waiting], outputs: Outputs, began: float) -> None:
        sizes = [w.inputs.rows for w in batch]
        try:
            parts = _split(outputs, sizes)
        except ModelFailed as error:
            self._failed(batch, error)
            return
        self._busy -= 1
        self.statistics.executed(sum(sizes), calls=len(batch), seconds=self._steady() - began)
        for waiting, part in zip(batch, parts, strict=True):
            waiting.answer.finish(part)

    def _failed(self, batch: list[Waiting], error: BaseException) -> None:
        self._busy -= 1
        if len(batch) > 1 and not self._closed:
            self._queue.again(batch)
            return
        for waiting in batch:
            waiting.answer.fail(error)


def _merged(several: list[Inputs]) -> Inputs:
    """Rows of all of them, in order."""
    if len(several) == 1:
        return several[0]
    rows, deadline = sum(inputs.rows for inputs in several), max(inputs.deadline for inputs in several)
    if several[0].matrix is not None:
        matrix = np.concatenate([inputs.matrix for inputs in several if inputs.matrix is not None])
        return Inputs(rows, {}, matrix, deadline)
    names = several[0].arrays
    arrays = {name: np.concatenate([inputs.arrays[name] for inputs in several]) for name in names}
    return Inputs(rows, arrays, deadline=deadline)


def _split(outputs: Outputs, sizes: list[int]) -> list[Outputs]:
    """Each call's rows, in order. Raises ModelFailed when an output has another number of rows than went in."""
    if len(sizes) == 1:
        return [outputs]
    rows = sum(sizes)
    for output in outputs:
        if not output.shape or output.shape[0] != rows:
            raise ModelFailed(f"the model gave an output of shape {list(output.shape)} for {rows} rows")
    edges = np.cumsum([0, *sizes]).tolist()
    return [[_rows(output, start, end) for output in outputs] for start, end in pairwise(edges)]


def _rows(output: Array, start: int, end: int) -> Array:
    return output[start:end]
