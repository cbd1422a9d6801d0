"""Run a call on a loaded version, within its time, and keep its place until the work has really ended.

Called by predict.py. Decides when to give up waiting. A call that timed out still occupies a thread or a model host:
its place in the gate and its reference on the version are given back when that ends, so no queue grows in secret and no
model is unloaded under a running call.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType

from headrace.serving.batch import Batcher
from headrace.serving.cache import Cache, key_of
from headrace.serving.queue import Answer, Soon
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.serving.table import Loaded, Parts
from headrace.traffic.admit import Gate
from headrace.types.errors import TimedOut


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a call may take in all and in the queue (0: as the endpoint says), and how urgent it is."""

    seconds: float
    queue_seconds: float = 0.0
    priority: int = 0


class Place:
    """A place inside the gate, for as long as the `with` block or the work begun in it lasts, whichever is longer."""

    __slots__ = ("_gate", "_loaded", "_work")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loaded: Loaded | None = None
        self._work: Answer | None = None

    def __enter__(self) -> Place:
        self._gate.enter()
        return self

    def hold(self, loaded: Loaded) -> Parts:
        """Nothing unloads it until this place is left."""
        parts = loaded.parts
        loaded.refs += 1
        self._loaded = loaded
        return parts

    def working(self, work: Answer) -> None:
        self._work = work

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        work = self._work
        if work is None or work.ended or (work.done() and not work.started):
            self._release()
        else:
            work.on_end = self._release

    def _release(self) -> None:
        self._gate.leave()
        if self._loaded is not None:
            self._loaded.refs -= 1


async def run(parts: Parts, inputs: Inputs, place: Place, wait: Wait, cache: Cache | None) -> Outputs:
    """The model's answer, checked; or the one it gave before. Raises TimedOut, ModelFailed, Overloaded, or BadInput for
    what only the runtime can see."""
    adapter = parts.adapter
    if adapter is None:
        return await _answer(parts, inputs, place, wait, cache)
    own = adapter.inward(inputs)
    try:
        outputs = await _answer(parts, own, place, wait, cache)
    finally:
        inputs.spent, inputs.steps = own.spent, own.steps
    return adapter.outward(outputs, inputs.rows)


async def _answer(parts: Parts, inputs: Inputs, place: Place, wait: Wait, cache: Cache | None) -> Outputs:
    if cache is None:
        return parts.check(await _run(parts.batcher, inputs, place, wait), inputs.rows)
    return await _cached(parts, inputs, place, wait, cache)


async def _cached(parts: Parts, inputs: Inputs, place: Place, wait: Wait, cache: Cache) -> Outputs:
    """Of the version's own inputs, so that endpoints with and without an adapter share what it said."""
    statistics = parts.batcher.statistics
    began = time.perf_counter()
    key = key_of(parts.package_id, inputs)
    if (outputs := cache.get(key)) is not None:
        statistics.cache_hit.add(time.perf_counter() - began)
        return outputs
    statistics.cache_miss.add(time.perf_counter() - began)
    outputs = parts.check(await _run(parts.batcher, inputs, place, wait), inputs.rows)
    cache.put(key, outputs)
    return outputs


async def _run(batcher: Batcher, inputs: Inputs, place: Place, wait: Wait) -> Outputs:
    inputs.deadline = asyncio.get_running_loop().time() + wait.seconds
    work = batcher.run(inputs, priority=wait.priority, patience=wait.queue_seconds)
    if isinstance(work, list):
        return work
    if isinstance(work, Soon):
        return await work  # it runs in this turn of the loop: no time to run out of
    place.working(work)
    timer = asyncio.get_running_loop().call_later(wait.seconds, _too_late, work, wait.seconds)
    try:
        return await work
    except asyncio.CancelledError:  # nobody waits: what can be ended, is
        if inputs.stop is not None:
            inputs.stop()
        raise
    finally:
        timer.cancel()
        work.leave()  # whoever hung up does not keep its place in the queue


def _too_late(work: Answer, seconds: float) -> None:
    work.give_up(
        TimedOut(
            f"the model did not answer within {seconds * 1000:g} ms",
            hint="limits.timeout_ms of the endpoint, or the caller's own deadline",
        )
    )
