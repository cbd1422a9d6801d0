"""Semantic hits asked all the same, for nobody: how often does the cache answer what was not asked?

complete.py offers each hit after its caller has the answer. Decides which are checked (a share, by the trace id, when
one of the few places is free), what is a false hit (two answers farther apart than the version allows, in edits; or
what its judge says means something else), and counts. A check that fails says nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from headrace.base.edits import edit_distance
from headrace.base.log import fields
from headrace.base.proportion import wilson
from headrace.gateway.board import Version
from headrace.gateway.cache import Kept
from headrace.gateway.effects import without_effects
from headrace.gateway.guards.judge import judge_of
from headrace.gateway.judging import Judging
from headrace.gateway.own import Asker, Question
from headrace.gateway.visit import Visit, said
from headrace.traffic.meter import Reading
from headrace.traffic.route import bucket
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Own
from headrace.types.traffic import BUCKETS

AT_ONCE = 2
SAME, DIFFERENT, FAILED, DROPPED = "same", "different", "failed", "dropped"
_RUBRIC = (
    "`conversation` is a question, `answer` holds two answers to it, `kept` and `fresh`. It passes if `kept` answers "
    "the question as well as `fresh`: the same in substance, whatever the words; it does not if it answers another "
    "question or says something else."
)

log = logging.getLogger("headrace.gateway")


class Checks:
    """Of one data plane."""

    def __init__(self, asker: Asker, judging: Judging) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()  # endpoint, outcome
        self._asker, self._judging = asker, judging
        self._tasks: set[asyncio.Task[None]] = set()
        asker.recorder.meter.watch(self._readings)

    def offer(self, visit: Visit, version: Version, kept: Kept) -> None:
        """A hit that was answered."""
        share, trace_id = version.chat.cache.check, visit.call.trace_id
        if not share or bucket("cache-check", trace_id) >= share * BUCKETS:
            return
        asked = without_effects(visit.dialect.wire, visit.dialect.dressed(visit.asked, version.chat))
        if asked is None or len(self._tasks) >= AT_ONCE:
            self.counts[visit.lane.endpoint.name, DROPPED] += 1
            return
        question = Question(
            own=Own.CHECK,
            lane=visit.lane,
            version=version,
            dialect=visit.dialect,
            asked=asked,
            of=trace_id,
            tail=visit.request.tail,
            headers=visit.request.headers,
        )
        task = asyncio.create_task(self._run(question, kept), name="cache check")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, question: Question, kept: Kept) -> None:
        lane = question.lane
        line = self._asker.line(lane, question.version, protocol=question.dialect.wire)
        try:
            told = await self._asker.put(question, line, seconds=lane.endpoint.limits.timeout_ms / 1000)
            outcome = DIFFERENT if await self._differ(question, kept.told.text, told.text) else SAME
        except HeadraceError as error:
            outcome = FAILED
            log.info("a check of the cache failed", extra=fields(endpoint=lane.endpoint.name, error=error.sentence()))
        self.counts[lane.endpoint.name, outcome] += 1
        if outcome == DIFFERENT:
            log.info("a false hit of the cache", extra=fields(endpoint=lane.endpoint.name, call=question.of))

    async def _differ(self, question: Question, kept: str, fresh: str) -> bool:
        settings = question.version.chat.cache
        if kept == fresh:
            return False
        if not settings.judge:
            return await asyncio.to_thread(edit_distance, kept, fresh) > settings.distance
        judge = judge_of({"model": settings.judge, "rubric": _RUBRIC})
        both = msgspec.Raw(msgspec.json.encode({"kept": kept, "fresh": fresh}))
        return not await self._judging.verdict(judge, said(question.asked), both, of=question.of)

    def _readings(self) -> Iterator[Reading]:
        for (endpoint, outcome), count in sorted(self.counts.items()):
            yield "headrace_cache_checks_total", {"endpoint": endpoint, "outcome": outcome}, count
        for endpoint in sorted({endpoint for endpoint, _ in self.counts}):
            for bound, share in rates(self.counts[endpoint, SAME], self.counts[endpoint, DIFFERENT]).items():
                yield "headrace_cache_false_hit_rate", {"endpoint": endpoint, "bound": bound}, share


def rates(same: int, different: int) -> dict[str, Any]:
    """With the bounds of 95 %."""
    share, low, high = wilson(different, same + different)
    return {"estimate": share, "low": low, "high": high}
