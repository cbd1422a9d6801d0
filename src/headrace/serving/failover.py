"""A live version that breaks answers no longer: the one before it, still loaded, takes its calls at once.

Built by app/data.py; fleet.py asks it to guard each lane that it builds, predict.py tells it of failures, a clock ticks
it. traffic/eject.py decides what is broken. Decided here: that the fallback must answer what the live version could
not, or it stays (then it is the inputs, or something that both need); that an ejected version is tried unseen, on the
inputs that it failed on, and comes back when it answers them; that at most half of the endpoints are ejected at once.
Tells the control plane, which makes it lasting. Ignores releases: they have evidence of their own, and a candidate is
never touched here.

A call that goes well costs nothing here: counts are the meter's, and only failures and the clock look at them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from headrace.base.clock import Clock
from headrace.base.log import fields
from headrace.serving.codec import Codec
from headrace.serving.predict import Predictor
from headrace.serving.run import Place, Wait, run
from headrace.serving.runtimes.base import Inputs
from headrace.serving.table import Lane
from headrace.traffic.admit import Gate
from headrace.traffic.eject import WINDOW_SECONDS, Pulse, Slow, broken, stalled
from headrace.traffic.meter import Histogram, Meter, Reading
from headrace.types.call import CallStatus
from headrace.types.endpoint import Endpoint
from headrace.types.errors import HeadraceError
from headrace.types.failover import Failover

KEPT = 3  # inputs that it failed on
KEPT_ROWS = 1024  # of one of them at most
TRIAL_SECONDS = 2.0  # that the fallback has for them
SPARED_SECONDS = 5.0  # until a version whose fallback is no better is doubted again
TICK_SECONDS = 0.25
AGAIN = 2  # failures in a row right after it came back
TRIALS = 8  # at once, of all endpoints

Read = Callable[[Codec], Inputs]  # the same request, once more

log = logging.getLogger("headrace.serving")


class Mode(StrEnum):
    SERVING = "serving"
    DOUBTED = "doubted"  # does the fallback answer what it could not?
    EJECTED = "ejected"  # the fallback answers
    PROBED = "probed"  # the fallback answers, and it is being tried


class Report(Protocol):
    """(event, endpoint, variant, detail): variant.ejected, variant.restored, variant.spared."""

    def __call__(self, name: str, *, endpoint: str, variant: str, detail: str) -> object: ...


@dataclass(slots=True, kw_only=True, eq=False)
class Sentinel:
    """One endpoint's live version, and what is known of its health."""

    key: tuple[object, ...]
    endpoint: str
    variant: str
    fallback: str
    wanted: Failover
    tell: Callable[[Sentinel, str], None]
    ok: Callable[[], int]
    mode: Mode = Mode.SERVING
    pulse: Pulse = field(default_factory=Pulse)
    kept: deque[Read] = field(default_factory=lambda: deque(maxlen=KEPT))
    times: int = 0  # ejected
    since: float = 0.0
    due: float = 0.0  # of the next probe; while it serves: until when it is not doubted
    tender: float = 0.0  # until when it has only just come back
    cause: str = ""

    @property
    def out(self) -> bool:
        return self.mode in (Mode.EJECTED, Mode.PROBED)

    def failed(self, rows: int, read: Read) -> None:
        """A call of the live version failed, by the model's fault."""
        ok = self.ok()
        self.pulse.fail(ok)
        if rows <= KEPT_ROWS:
            self.kept.append(read)
        if self.mode is Mode.SERVING and (cause := broken(self.pulse, self.wanted, ok)):
            self.tell(self, cause)


class Sentinels:
    def __init__(self, predictor: Predictor, meter: Meter, clock: Clock, report: Report) -> None:
        self._predictor, self._meter, self._clock, self._report = predictor, meter, clock, report
        self._all: dict[str, Sentinel] = {}  # by endpoint
        self._unloaded: dict[str, str] = {}  # endpoint → live version that this plane could not load, as it was told
        self._gate = Gate("trials of versions", TRIALS)
        self._work: set[asyncio.Task[None]] = set()
        meter.watch(self._readings)

    async def run(self) -> None:
        """Until it is cancelled."""
        last = self._clock.steady()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._clock.steady()
            if now - last < 4 * TICK_SECONDS:  # else this process was held up itself: nobody's fault
                self.tick(now)
            last = now

    async def close(self) -> None:
        for task in list(self._work):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # with each plan

    def guard(self, lane: Lane) -> Lane:
        """The lane as it is to serve: watched where there is something to fall back to, and as its version's health is
        now. What is known of a version outlasts plans that do not change it."""
        endpoint, policy = lane.endpoint, lane.policy
        if not endpoint.failover.enabled or not policy.fallback or policy.fallback not in lane.loaded:
            self._all.pop(endpoint.name, None)
            return lane
        if policy.baseline not in lane.loaded:
            return self._without(lane)
        self._unloaded.pop(endpoint.name, None)
        key = _key(endpoint)
        known = self._all.get(endpoint.name)
        if known is None or known.key != key:
            known = self._all[endpoint.name] = self._begin(endpoint, key)
        return _switched(replace(lane, sentinel=known))

    def _without(self, lane: Lane) -> Lane:
        """A plane that begins anew and cannot load the live version serves the one before."""
        endpoint, policy = lane.endpoint, lane.policy
        self._all.pop(endpoint.name, None)
        if self._unloaded.get(endpoint.name) != policy.baseline:
            self._unloaded[endpoint.name] = policy.baseline
            detail = f"this data plane cannot load it; {policy.fallback} answers"
            self._report("variant.ejected", endpoint=endpoint.name, variant=policy.baseline, detail=detail)
        return replace(lane, policy=replace(policy, baseline=policy.fallback))

    def _begin(self, endpoint: Endpoint, key: tuple[object, ...]) -> Sentinel:
        name, variant = endpoint.name, endpoint.policy.baseline
        return Sentinel(
            key=key,
            endpoint=name,
            variant=variant,
            fallback=endpoint.policy.fallback,
            wanted=endpoint.failover,
            tell=self._doubt,
            ok=lambda: self._ok(name, variant),
        )

    # with each failure, and each tick

    def _doubt(self, one: Sentinel, cause: str) -> None:
        now = self._clock.steady()
        if now < one.due and now >= one.tender:
            return
        if now < one.tender or not (one.kept and self._repeatable(one, one.fallback)):
            self._eject(one, cause)
            return
        one.mode = Mode.DOUBTED
        self._later(self._compare(one, cause))

    def tick(self, now: float) -> None:
        for one in self._all.values():
            ok = self._ok(one.endpoint, one.variant)
            one.pulse.sample(now, ok)
            if one.mode is Mode.SERVING:
                if now < one.tender and one.pulse.in_row >= AGAIN:
                    self._eject(one, f"{one.pulse.in_row} calls failed right after it came back")
                elif cause := self._stalled(one, now, ok):
                    self._eject(one, cause)
            elif one.mode is Mode.EJECTED and now >= one.due:
                one.mode = Mode.PROBED
                self._later(self._probe(one))

    def _stalled(self, one: Sentinel, now: float, ok: int) -> str:
        lane = self._predictor.table.lanes.get(one.endpoint)
        loaded = lane.loaded.get(one.variant) if lane is not None else None
        figures = self._meter.lanes.get((one.endpoint, one.variant))
        answered = figures.answered() if figures else Histogram()
        slow = Slow(usual=answered.quantile(0.995), ever=answered.quantile(1.0))
        return stalled(one.pulse, one.wanted, now, ok=ok, inside=loaded.refs if loaded else 0, slow=slow)

    async def _compare(self, one: Sentinel, cause: str) -> None:
        """Only if the fallback answers something of what the live version failed on."""
        whys = await asyncio.gather(*(self._answers(one, one.fallback, read) for read in list(one.kept)))
        if one.mode is not Mode.DOUBTED or self._all.get(one.endpoint) is not one:
            return
        if all(whys):
            one.mode, one.due = Mode.SERVING, self._clock.steady() + SPARED_SECONDS
            told = f"{cause}; {one.fallback} does not answer them either: {whys[0]}"
            log.warning("a version fails, and so would the one before", extra=fields(endpoint=one.endpoint, why=told))
            self._report("variant.spared", endpoint=one.endpoint, variant=one.variant, detail=told)
            return
        self._eject(one, cause)

    def _eject(self, one: Sentinel, cause: str) -> None:
        if not self._room(one):
            one.mode, one.due = Mode.SERVING, self._clock.steady() + SPARED_SECONDS
            return
        one.times += 1
        one.mode, one.since, one.cause = Mode.EJECTED, self._clock.steady(), cause
        one.due = one.since + one.wanted.probe_seconds * 2 ** min(one.times - 1, 10)
        self._put(one)
        self._meter.count("headrace_ejections_total", one.endpoint)
        log.error("live version ejected", extra=fields(endpoint=one.endpoint, variant=one.variant, why=cause))
        detail = f"{cause}; {one.fallback} answers"
        self._report("variant.ejected", endpoint=one.endpoint, variant=one.variant, detail=detail)

    def _room(self, one: Sentinel) -> bool:
        """What breaks everywhere at once is not the versions."""
        out = sum(other.out for other in self._all.values())
        return out < max(1, len(self._all) // 2)

    async def _probe(self, one: Sentinel) -> None:
        reads = list(one.kept) if self._repeatable(one, one.variant) else []
        whys = [await self._answers(one, one.variant, read) for read in reads] or [self._stuck(one)]
        why = next(filter(None, whys), "")
        if one.mode is not Mode.PROBED or self._all.get(one.endpoint) is not one:
            return
        now = self._clock.steady()
        if why:
            one.mode = Mode.EJECTED
            one.due = now + one.wanted.probe_seconds * 2 ** min(one.times, 10)
            one.times += 1
            return
        one.mode, one.tender, one.due = Mode.SERVING, now + WINDOW_SECONDS, 0.0
        one.pulse.in_row = 0
        one.kept.clear()
        self._put(one)
        detail = f"after {now - one.since:.1f} s it answers again" + (" what it had failed on" if reads else "")
        log.warning("live version is back", extra=fields(endpoint=one.endpoint, variant=one.variant))
        self._report("variant.restored", endpoint=one.endpoint, variant=one.variant, detail=detail)

    def _stuck(self, one: Sentinel) -> str:
        """With nothing at hand to try it on: nobody was sent there since, so who is inside has waited all this time."""
        lane = self._predictor.table.lanes.get(one.endpoint)
        loaded = lane.loaded.get(one.variant) if lane is not None else None
        return f"{loaded.refs} calls are still inside" if loaded is not None and loaded.refs else ""

    async def _answers(self, one: Sentinel, name: str, read: Read) -> str:
        """Empty when this version answers; else why it does not. Nobody waits for it, and nothing records it."""
        lane = self._predictor.table.lanes.get(one.endpoint)
        if lane is None or name not in lane.loaded:
            return f"{name} is not loaded"
        try:
            with Place(self._gate) as place:
                held = place.hold(lane.loaded[name])
                parts = held if lane.adapted is None else lane.adapted.get(name, held)
                await run(parts, read(parts.codec), place, Wait(TRIAL_SECONDS), None)
        except HeadraceError as error:
            return error.sentence()
        except Exception as error:  # noqa: BLE001  a model that fails in a way of its own does not answer either
            return f"{type(error).__name__}: {error}"
        return ""

    # what serves

    def _put(self, one: Sentinel) -> None:
        """One assignment: the next call goes there."""
        table = self._predictor.table
        lane = table.lanes.get(one.endpoint)
        if lane is not None and lane.sentinel is one:
            self._predictor.table = replace(table, lanes=table.lanes | {one.endpoint: _switched(lane)})

    def _repeatable(self, one: Sentinel, name: str) -> bool:
        lane = self._predictor.table.lanes.get(one.endpoint)
        variant = lane.endpoint.variant(name) if lane is not None else None
        return variant is not None and variant.repeatable

    def _ok(self, endpoint: str, variant: str) -> int:
        figures = self._meter.lanes.get((endpoint, variant))
        return figures.statuses.get(CallStatus.OK, 0) if figures is not None else 0

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _readings(self) -> Iterator[Reading]:
        for one in self._all.values():
            yield "headrace_ejected", {"endpoint": one.endpoint, "variant": one.variant}, int(one.out)


def _switched(lane: Lane) -> Lane:
    """With the policy that the health of its version asks for."""
    policy = lane.endpoint.policy
    baseline = policy.fallback if lane.sentinel is not None and lane.sentinel.out else policy.baseline
    return replace(lane, policy=replace(lane.policy, baseline=baseline))


def _key(endpoint: Endpoint) -> tuple[object, ...]:
    """What makes it another version to watch."""
    packages = {v.name: v.package.id for v in endpoint.variants}
    policy = endpoint.policy
    return policy.baseline, packages[policy.baseline], policy.fallback, packages[policy.fallback], endpoint.failover
