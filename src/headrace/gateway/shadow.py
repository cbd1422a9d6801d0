"""Calls to a chat model that were answered by the baseline, put to a second version too. Nobody waits for that.

settle.py asks which calls are copied (`copy`) before it writes their line, and hands them over after it (`offer`).
Decides that only texts and calls of tools can be compared, that a call with effects is never asked twice (effects.py),
and when copies run: begun by the plane's idle worker, so many at once, the others wait in a bounded queue. What finds
no room is dropped and counted. Which answers are pairs and what they prove is decided where it is for all endpoints
(release/pairs.py): it reads the lines.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import msgspec

from headrace.gateway.board import Boards
from headrace.gateway.effects import without_effects
from headrace.gateway.own import Asker, Question
from headrace.gateway.visit import Visit
from headrace.traffic.record import Open
from headrace.traffic.shadow import DROPPED, Outcomes, attributes_of, taken
from headrace.types.errors import BadInput, HeadraceError
from headrace.types.gateway import Own
from headrace.types.traffic import Shadow

QUEUE_BYTES = 64 << 20  # of requests that wait, per endpoint


class Worker(Protocol):
    def step(self) -> float | None: ...


class Idle(Protocol):
    """serving.idle: slices while no call is in the event loop."""

    calls: int

    def wants(self, worker: Worker) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A call that waits for its shadow."""

    call: Open
    question: Question
    attributes: dict[str, str]
    size: int


class Shadowing:
    """Of one endpoint. Its settings are those of the plan in force."""

    def __init__(self, name: str, shadows: Shadows) -> None:
        self.running = 0
        self._name, self._shadows = name, shadows
        self._queue: deque[Copy] = deque()
        self._size = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def queued(self) -> int:
        return len(self._queue)

    def offer(self, copy: Copy, settings: Shadow) -> None:
        if len(self._queue) >= settings.max_queue or self._size + copy.size > QUEUE_BYTES:
            self._shadows.outcomes.count(self._name, settings.variant, DROPPED)
            return
        self._queue.append(copy)
        self._size += copy.size
        self._shadows.idle.calls += 1
        self._shadows.idle.wants(self)

    def step(self) -> float | None:
        """Begin what waits, one a slice; none that a newer plan does not want."""
        settings = self._shadows.settings(self._name)
        while self._queue and (settings is None or settings.variant != self._queue[0].question.version.name):
            self._drop(self._queue.popleft())
        if settings is None or not self._queue or self.running >= settings.max_concurrency:
            return None
        copy = self._queue.popleft()
        self._size -= copy.size
        self.running += 1
        task = asyncio.create_task(self._shadows.run(copy), name="shadow")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return 0.0 if self._queue and self.running < settings.max_concurrency else None

    async def close(self) -> None:
        while self._queue:
            self._drop(self._queue.popleft())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop(self, copy: Copy) -> None:
        self._size -= copy.size
        self._shadows.outcomes.count(self._name, copy.question.version.name, DROPPED)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.running -= 1
        self._tasks.discard(task)
        if self._queue:
            self._shadows.idle.wants(self)


class Shadows:
    """All of a data plane."""

    def __init__(self, boards: Boards, asker: Asker, *, idle: Idle, outcomes: Outcomes) -> None:
        self.idle, self.outcomes = idle, outcomes
        self._boards, self._asker = boards, asker
        self._here: dict[str, Shadowing] = {}
        outcomes.queues.append(lambda: ((name, here.queued) for name, here in self._here.items()))

    def copy(self, visit: Visit) -> Copy | None:
        """What is to be asked again of a call that was answered well; None: it is not."""
        lane, call, request = visit.lane, visit.call, visit.request
        settings = lane.policy.shadow
        if settings is None or not (visit.told.text or visit.told.tools):
            return None
        due = taken(
            settings,
            baseline=lane.policy.baseline,
            variant=call.variant,
            reason=call.reason,
            trace_id=call.trace_id,
        )
        version, variant = lane.versions.get(settings.variant), lane.endpoint.variant(settings.variant)
        if not due or version is None or variant is None or lane.endpoint.effects or not variant.repeatable:
            return None
        if visit.cached or request.task or visit.told.finish == "aborted":
            return None
        try:
            asked = without_effects(visit.dialect.wire, visit.dialect.dressed(visit.asked, version.chat))
        except BadInput:  # as the candidate would ask it, it cannot be read
            asked = None
        if asked is None:
            return None
        return Copy(
            call=call,
            question=Question(
                own=Own.SHADOW,
                lane=lane,
                version=version,
                dialect=visit.dialect,
                asked=asked,
                of=call.trace_id,
                tail=request.tail,
                headers=request.headers,
            ),
            attributes=attributes_of(settings, request.header),
            size=len(request.body),
        )

    def offer(self, copy: Copy) -> None:
        """After its call was answered and written down."""
        lane = copy.question.lane
        if (settings := lane.policy.shadow) is not None:
            name = lane.endpoint.name
            here = self._here.get(name) or self._here.setdefault(name, Shadowing(name, self))
            here.offer(copy, settings)

    def settings(self, endpoint: str) -> Shadow | None:
        """Of the plan in force."""
        lane = self._boards.now.lanes.get(endpoint)
        return None if lane is None else lane.policy.shadow

    async def run(self, copy: Copy) -> None:
        question, recorder = copy.question, self._asker.recorder
        line = recorder.shadow(copy.call, variant=question.version.name, version=question.version.number)
        if copy.attributes:
            line.beside = recorder.kept(msgspec.json.encode({"attributes": copy.attributes}))
        seconds = question.lane.endpoint.limits.timeout_ms / 1000
        try:
            await self._asker.put(question, line, seconds=seconds)
        except HeadraceError:
            pass  # its line says so
        finally:
            self.outcomes.count(line.endpoint, line.variant, line.status)

    async def close(self) -> None:
        for shadowing in self._here.values():
            await shadowing.close()
