"""Calls that wait for a model, and which of them run together next. Pure: the time comes in.

Called by batch.py. Decides order (priority, then arrival), what fits into a batch, when waiting for more is over, and
whose time in the queue has passed. The words and their meaning are those of Triton's dynamic batcher, with one
difference: a call of more rows than `max_batch_size` runs alone instead of being refused. Ignores how a batch runs.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.types.endpoint import Batching, TimeoutAction
from headrace.types.errors import Overloaded

RETRY_AFTER = 1.0  # seconds
Kind = tuple[object, ...]  # what inputs must have in common to be stacked


class Answer(Future[Outputs]):
    """What a call waits for. Who waits may stop waiting before the work ends; before it `started`, that takes it out of
    the queue unseen. `then` and `on_end` are called at once, where a callback would take another turn of the loop."""

    started = False
    ended = False  # the work is over, whether or not anyone still waits for it
    then: Callable[[], None] | None = None  # when there is an answer, or no more waiting for one
    on_end: Callable[[], None] | None = None

    def finish(self, outputs: Outputs) -> None:
        waited = not self.done()
        if waited:
            self.set_result(outputs)
        self._end(waited)

    def fail(self, error: BaseException) -> None:
        waited = not self.done()
        if waited:
            self.set_exception(error)
        self._end(waited)

    def give_up(self, error: BaseException) -> None:
        """Stop waiting: who waits gets this."""
        if not self.done():
            self.set_exception(error)
            if self.then is not None:
                self.then()

    def leave(self) -> None:
        if not self.started:
            self.cancel()

    def _end(self, waited: bool) -> None:
        self.ended = True
        if self.on_end is not None:
            self.on_end()
        if waited and self.then is not None:
            self.then()


class Soon(Answer):
    """One that comes in this turn of the loop."""

    started = True


@dataclass(slots=True, eq=False)
class Waiting:
    inputs: Inputs
    answer: Answer
    since: float
    until: float = inf

    @property
    def kind(self) -> Kind:
        return kind_of(self.inputs)


def kind_of(inputs: Inputs) -> Kind:
    """Names, element types and trailing shapes."""
    matrix = inputs.matrix
    if matrix is not None:
        return (matrix.dtype, matrix.shape[1:])
    return tuple([(name, array.dtype, array.shape[1:]) for name, array in inputs.arrays.items()])


class Queue:
    def __init__(self, batching: Batching, *, name: str) -> None:
        self._name = name
        self._levels: dict[int, deque[Waiting]] = {}
        self._alone: deque[Waiting] = deque()  # of a batch that failed: each by itself, first of all
        self._late: deque[Waiting] = deque()  # whose time has passed, with DELAY: last of all
        self._timed = False  # whether anyone in it has a time to leave by; mostly nobody has
        self.batching = batching

    def __len__(self) -> int:
        return sum(1 for _ in self._all())

    def push(self, waiting: Waiting, *, priority: int = 0, patience: float = 0.0) -> None:
        """`patience`: seconds that the caller allows in the queue; 0: as the endpoint says. Raises Overloaded."""
        batching = self.batching
        if batching.max_queue_size and len(self) >= batching.max_queue_size:
            raise Overloaded(
                f"{self._name} already has {batching.max_queue_size} calls waiting, its max_queue_size",
                hint="try again shortly",
                retry_after=RETRY_AFTER,
            )
        waiting.until = waiting.since + self._patience(patience)
        self._timed = self._timed or waiting.until < inf
        self._levels.setdefault(self._level(priority), deque()).append(waiting)

    def again(self, batch: list[Waiting]) -> None:
        """These ran together and failed: next, each runs alone, so that only the guilty one fails."""
        self._alone.extend(batch)

    def expired(self, now: float) -> list[Waiting]:
        """Those to be refused because their time has passed; with DELAY they go to the end instead."""
        late: list[Waiting] = []
        if not self._timed:
            return late
        for level, waiting in self._levels.items():
            if passed := [w for w in waiting if w.until <= now]:
                late += [w for w in passed if not w.answer.done()]
                self._levels[level] = deque(w for w in waiting if w.until > now)
        self._timed = any(w.until < inf for level in self._levels.values() for w in level)
        if self.batching.timeout_action is TimeoutAction.DELAY:
            self._late.extend(late)
            return []
        return late

    def take(self, now: float) -> list[Waiting]:
        """What to run next on a model that is free; empty when nobody waits or when more may come in time."""
        while self._alone:
            one = self._alone.popleft()
            if not one.answer.done():
                return [one]
        batch = self._fitting()
        if not batch.calls:
            return []
        count = self._preferred(batch.calls)
        if not count:
            waited = now - min(w.since for w in batch.calls)
            if not batch.full and waited < self.batching.max_queue_delay_microseconds / 1e6:
                return []
            count = len(batch.calls)
        taken = batch.calls[:count]
        self._remove(count)
        return taken

    def pause(self, now: float, *, busy: bool) -> float | None:
        """Seconds until something happens although nobody else comes: a time in the queue passes or, unless every
        instance is busy, a delay ends."""
        times = [w.until for level in self._levels.values() for w in level] if self._timed else []
        if not busy and (batch := self._fitting().calls):
            times.append(min(w.since for w in batch) + self.batching.max_queue_delay_microseconds / 1e6)
        soonest = min(times, default=inf)
        return None if soonest == inf else max(0.0, soonest - now)

    def empty(self) -> list[Waiting]:
        left = list(self._all())
        for waiting in (self._alone, self._late, *self._levels.values()):
            waiting.clear()
        return left

    def _fitting(self) -> _Batch:
        """In order, whole calls of one kind, up to max_batch_size rows."""
        calls: list[Waiting] = []
        rows, most = 0, self.batching.max_batch_size
        kind: Kind = ()
        for waiting in self._in_order():
            if calls and (waiting.kind != kind or rows + waiting.inputs.rows > most):
                return _Batch(calls, full=True)
            kind = kind or waiting.kind
            calls.append(waiting)
            rows += waiting.inputs.rows
        return _Batch(calls, full=rows >= most)

    def _preferred(self, calls: list[Waiting]) -> int:
        """How many of them make the largest preferred size; 0: none does."""
        rows, best = 0, 0
        for count, waiting in enumerate(calls, 1):
            rows += waiting.inputs.rows
            if rows in self.batching.preferred_batch_size:
                best = count
        return best

    def _remove(self, count: int) -> None:
        for waiting in (*(self._levels[level] for level in sorted(self._levels)), self._late):
            while waiting and (count or waiting[0].answer.done()):
                count -= not waiting.popleft().answer.done()

    def _in_order(self) -> Iterator[Waiting]:
        for level in sorted(self._levels):
            yield from (w for w in self._levels[level] if not w.answer.done())
        yield from (w for w in self._late if not w.answer.done())

    def _all(self) -> Iterator[Waiting]:
        yield from (w for w in self._alone if not w.answer.done())
        yield from self._in_order()

    def _level(self, priority: int) -> int:
        levels = self.batching.priority_levels
        return priority if 1 <= priority <= levels else self.batching.default_priority_level

    def _patience(self, asked: float) -> float:
        own = self.batching.default_timeout_microseconds / 1e6 or inf
        return min(own, asked) if asked > 0 and self.batching.allow_timeout_override else own


@dataclass(frozen=True, slots=True)
class _Batch:
    calls: list[Waiting]
    full: bool  # waiting longer would not make it larger
