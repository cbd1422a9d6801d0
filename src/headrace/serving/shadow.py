"""Calls that were answered by the baseline, put to a second variant too. Nobody waits for that: only the journal hears.

Built by fleet.py for an endpoint whose plan has a shadow; predict.py offers each call that it has answered. Decides
which are taken (the baseline's own, in the shadow's share), when they run (idle.py; a model that needs a thread or a
process only while a core and an instance are free), and what is written down: a line of its own with `shadow_of`, in no
figure, no limit and no evidence of live traffic. What finds no room is dropped and counted.

Never for calls with side effects: an endpoint that has them, or a variant that may have, gets no shadow at all.
"""

from __future__ import annotations

import asyncio
import logging
import os
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from headrace.base.log import fields
from headrace.serving.answer import to_json
from headrace.serving.codec import Codec
from headrace.serving.idle import Idle
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.serving.table import Lane, Loaded, Source, adapt
from headrace.serving.turn import Turn
from headrace.traffic.record import NOTHING, Open, Recorder
from headrace.traffic.route import Header
from headrace.traffic.shadow import DROPPED, Outcomes, attributes_of, taken
from headrace.types.call import CallStatus
from headrace.types.endpoint import Capture, Endpoint, Variant
from headrace.types.errors import CallerError, HeadraceError, TimedOut
from headrace.types.model import RuntimeKind
from headrace.types.traffic import Shadow

QUEUE_BYTES = 64 << 20  # of inputs and answers that wait, per endpoint
LATER = 0.005  # seconds until a core or an instance may be free
_ELSEWHERE = (RuntimeKind.REMOTE, RuntimeKind.LEGACY)

log = logging.getLogger("headrace.serving")


@dataclass(frozen=True, slots=True)
class Copy:
    """A call that waits for its shadow."""

    call: Open
    inputs: Inputs
    outputs: Outputs
    source: Source
    attributes: dict[str, str]
    size: int


@dataclass(frozen=True, slots=True)
class _Ended:
    copy: Copy
    seconds: float
    result: Outputs | BaseException


class Shadowing:
    """One endpoint's shadow. `room` says whether a core is free. It is its plane's alone, and on its event loop."""

    def __init__(
        self,
        settings: Shadow,
        endpoint: Endpoint,
        loaded: dict[str, Loaded],
        *,
        recorder: Recorder,
        idle: Idle,
        outcomes: Outcomes,
        room: Callable[[], bool],
    ) -> None:
        self.settings, self.endpoint = settings, endpoint
        self.running = 0
        self._baseline = endpoint.policy.baseline
        self._shadow = loaded[settings.variant]
        live, own = (adapt(v, loaded[v.name]) for v in self._both(endpoint))
        self._codec, self._adapter = own.codec, own.adapter
        self._names = [spec.name for spec in live.codec.signature.outputs]
        self._same = _reads_alike(live.codec, own.codec)
        self._elsewhere = self._shadow.package.runtime in _ELSEWHERE
        self._recorder, self._idle, self._outcomes, self._room = recorder, idle, outcomes, room
        self._queue: deque[Copy] = deque()
        self._size = 0
        self._ended: deque[_Ended] = deque()
        self._closed = False

    @property
    def queued(self) -> int:
        return len(self._queue)

    def same_as(self, settings: Shadow, endpoint: Endpoint, loaded: dict[str, Loaded]) -> bool:
        """A new plan need not begin it anew."""
        return (
            (self.settings, self._baseline) == (settings, endpoint.policy.baseline)
            and self._shadow is loaded[settings.variant]
            and (self.endpoint.capture, self.endpoint.limits) == (endpoint.capture, endpoint.limits)
            and [v.adapter for v in self._both(self.endpoint)] == [v.adapter for v in self._both(endpoint)]
        )

    def _both(self, endpoint: Endpoint) -> tuple[Variant, Variant]:
        names = {variant.name: variant for variant in endpoint.variants}
        return names[self._baseline], names[self.settings.variant]

    def offer(self, call: Open, inputs: Inputs, outputs: Outputs, *, source: Source, header: Header) -> None:
        """A call that has just been answered; from here on nobody waits for it."""
        due = taken(
            self.settings, baseline=self._baseline, variant=call.variant, reason=call.reason, trace_id=call.trace_id
        )
        if self._closed or not due:
            return
        size = _size(call, inputs, outputs)
        if len(self._queue) >= self.settings.max_queue or self._size + size > QUEUE_BYTES:
            self._count(DROPPED)
            return
        self._queue.append(Copy(call, inputs, outputs, source, attributes_of(self.settings, header), size))
        self._size += size
        self._idle.calls += 1
        self._idle.wants(self)

    def close(self) -> None:
        """The plan has no shadow any more, or another one. What runs ends in its own time."""
        self._closed = True
        self._count(DROPPED, len(self._queue))
        self._queue.clear()
        self._size = 0

    def step(self) -> float | None:
        """One slice: write down what has ended, or begin what waits."""
        if self._ended:
            self._write(self._ended.popleft())
        elif self._queue and self.running < self.settings.max_concurrency:
            if not self._free(self._queue[0].inputs):
                return LATER
            self._begin(self._queue.popleft())
        if self._ended or (self._queue and self.running < self.settings.max_concurrency):
            return 0.0
        return None

    # --- running

    def _free(self, inputs: Inputs) -> bool:
        batcher = self._shadow.parts.batcher
        return batcher.model.quick(inputs.rows) or (batcher.idle and (self._elsewhere or self._room()))

    def _begin(self, copy: Copy) -> None:
        self._size -= copy.size
        began, loop = self._recorder.clock.steady(), asyncio.get_running_loop()
        parts = self._shadow.parts
        try:
            inputs = copy.inputs if self._same else copy.source.read(self._codec)
            if self._adapter is not None:
                inputs = self._adapter.inward(inputs)
            deadline = loop.time() + self.endpoint.limits.timeout_ms / 1000
            work = parts.batcher.beside(replace(inputs, deadline=deadline))
        except Exception as error:  # noqa: BLE001  the model's own, or a bug of ours: it is written down
            self._end(copy, began, error)
            return
        if isinstance(work, list):
            self._end(copy, began, work)
            return
        self.running += 1
        self._shadow.refs += 1
        work.add_done_callback(partial(self._done, copy, began))

    def _done(self, copy: Copy, began: float, work: Future[Outputs]) -> None:
        self.running -= 1
        self._shadow.refs -= 1
        if work.cancelled():
            self._end(copy, began, asyncio.CancelledError())
        else:
            self._end(copy, began, work.exception() or work.result())
        self._idle.wants(self)

    def _end(self, copy: Copy, began: float, result: Outputs | BaseException) -> None:
        self._ended.append(_Ended(copy, self._recorder.clock.steady() - began, result))

    # --- writing down

    def _write(self, ended: _Ended) -> None:
        copy, result = ended.copy, ended.result
        line = self._recorder.shadow(copy.call, variant=self.settings.variant, version=self._shadow.package.version)
        line.latency_ms = line.run_ms = round(ended.seconds * 1000, 3)
        try:
            if isinstance(result, BaseException):
                raise result
            outputs = self._shadow.parts.check(result, copy.inputs.rows)
            if self._adapter is not None:
                outputs = self._adapter.outward(outputs, copy.inputs.rows)
            if self.endpoint.capture is Capture.FULL:
                self._keep(line, copy, outputs)
            late = ended.seconds * 1000 > self.endpoint.limits.timeout_ms
            line.status = CallStatus.TIMEOUT if late else CallStatus.OK
        except HeadraceError as error:
            line.status, line.error = _ending(error), error.sentence()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  whatever it was, the next one runs
            line.status, line.error = CallStatus.FAILED, f"interrupted: {type(error).__name__}: {error}"
            log.warning("a shadow was interrupted", extra=fields(endpoint=self.endpoint.name, error=repr(error)))
        self._recorder.write(line)
        self._count(line.status)

    def _keep(self, line: Open, copy: Copy, outputs: Outputs) -> None:
        """The answer as live calls have it, and beside it the other outputs of both."""
        specs = self._codec.signature.outputs
        lives = dict(zip(self._names, copy.outputs, strict=True))
        if self._recorder.keeps(outputs[0].size):
            line.output = self._recorder.kept(to_json(outputs[0], specs[0]))
        both = {}
        for spec, own in zip(specs[1:], outputs[1:], strict=True):
            live = lives.get(spec.name)
            if live is not None and self._recorder.keeps(2 * (live.size + own.size)):
                both[spec.name] = [msgspec.Raw(to_json(live, spec)), msgspec.Raw(to_json(own, spec))]
        told = {name: value for name, value in (("outputs", both), ("attributes", copy.attributes)) if value}
        line.beside = self._recorder.kept(msgspec.json.encode(told)) if told else NOTHING

    def _count(self, outcome: str, by: int = 1) -> None:
        self._outcomes.count(self.endpoint.name, self.settings.variant, outcome, by)


class Shadows:
    """All shadows of a plane. `lanes`: of the table in force."""

    def __init__(self, recorder: Recorder, turn: Turn, lanes: Callable[[], Iterable[Lane]]) -> None:
        self.outcomes = Outcomes(recorder.meter)
        self.idle = Idle(turn)
        self._recorder, self._lanes = recorder, lanes
        self._here: dict[str, Shadowing] = {}
        self._cores = os.cpu_count() or 1
        self.outcomes.queues.append(lambda: ((name, shadow.queued) for name, shadow in self._here.items()))

    def build(self, endpoint: Endpoint, loaded: dict[str, Loaded]) -> Shadowing | None:
        """Kept over plans, while they ask for the same."""
        settings = endpoint.policy.shadow
        if settings is None or not _allowed(endpoint, settings, loaded):
            self.drop(endpoint.name)
            return None
        known = self._here.get(endpoint.name)
        if known is not None and known.same_as(settings, endpoint, loaded):
            return known
        self.drop(endpoint.name)
        made = self._here[endpoint.name] = Shadowing(
            settings,
            endpoint,
            loaded,
            recorder=self._recorder,
            idle=self.idle,
            outcomes=self.outcomes,
            room=self._room,
        )
        return made

    def drop(self, endpoint: str) -> None:
        if (known := self._here.pop(endpoint, None)) is not None:
            known.close()

    def keep(self, endpoints: Iterable[str]) -> None:
        """Of these endpoints; the others are gone."""
        for name in self._here.keys() - set(endpoints):
            self.drop(name)

    def _room(self) -> bool:
        """Whether a core is free of live calls and of other shadows."""
        live = sum(lane.gate.inside for lane in self._lanes() if not _elsewhere(lane))
        return live + sum(shadow.running for shadow in self._here.values()) < self._cores


def _allowed(endpoint: Endpoint, settings: Shadow, loaded: dict[str, Loaded]) -> bool:
    """The control plane refuses the same; a plan may come from an older one."""
    variant = endpoint.variant(settings.variant)
    there = settings.variant in loaded and endpoint.policy.baseline in loaded
    if variant is None or not there or settings.variant == endpoint.policy.baseline:
        return False
    if endpoint.effects or not variant.repeatable:
        log.warning("no shadow where calls have effects", extra=fields(endpoint=endpoint.name, variant=variant.name))
        return False
    return True


def _elsewhere(lane: Lane) -> bool:
    baseline = lane.loaded.get(lane.policy.baseline)
    return baseline is not None and baseline.package.runtime in _ELSEWHERE


def _reads_alike(a: Codec, b: Codec) -> bool:
    """Inputs decoded for one are just what the other would have made of the same request."""
    return (a.signature.inputs, a.signature.layout, a.form) == (b.signature.inputs, b.signature.layout, b.form)


def _size(call: Open, inputs: Inputs, outputs: Outputs) -> int:
    arrays = (*inputs.arrays.values(), *outputs)
    own = 0 if inputs.matrix is None else inputs.matrix.nbytes
    return own + sum(array.nbytes for array in arrays) + len(call.input) + len(call.output)


def _ending(error: HeadraceError) -> CallStatus:
    if isinstance(error, CallerError):
        return CallStatus.REJECTED
    return CallStatus.TIMEOUT if isinstance(error, TimedOut) else CallStatus.FAILED
