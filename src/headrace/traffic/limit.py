"""How much a caller may use: reserve before a call, settle after it, release what never ran.

Called by the gateway's spine, three lines a call. Decides which counters a call is counted by, what it is told of what
is left, and whether it may run when the counters cannot be reached. Ignores how counting is made exact: that is
store/counters.

    grant = await limiter.reserve(caller, endpoint, tokens=…, cost=…)    # an estimate; raises OverLimit
    limiter.settle(grant, tokens=…, cost=…)                              # the truth; or
    limiter.release(grant)                                               # nobody was asked

`settle` and `release` never wait, so that they can be called where a call is being cancelled. A call that is settled
with more than was reserved pushes the counter beyond its limit: the next one is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from headrace.base.clock import Clock
from headrace.store.counters.base import NEVER, UNLIMITED, Counters, Gauge, Taken
from headrace.traffic.keys import Caller
from headrace.traffic.meter import Meter
from headrace.types.errors import OverLimit, Unavailable
from headrace.types.gateway import Counted, Level, Limit, Window

NANO = 1_000_000_000  # counters hold whole numbers: billionths of a dollar
ORDER = (Counted.CONCURRENCY, Counted.REQUESTS, Counted.TOKENS, Counted.COST)
_KNOWN = 10_000  # callers times endpoints whose gauges are kept

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """One gauge of a caller, and the limits that it is held to."""

    gauge: Gauge
    counted: Counted
    level: Level
    soft: int  # of limits that are only tried out
    open: bool
    whom: str  # in words


@dataclass(frozen=True, slots=True)
class Plan:
    """What the calls of one caller at one endpoint are counted by."""

    measures: tuple[Measure, ...]
    gauges: tuple[Gauge, ...]
    closed: bool  # some limit does not let calls in unseen
    places: tuple[int, ...] = ()  # in ORDER, of what each gauge counts


NOTHING = Plan((), (), False)


@dataclass(slots=True, eq=False)
class Grant:
    """A call that may run. `beyond`: limits that are only tried out, and would have refused it."""

    plan: Plan = NOTHING
    taken: Taken | None = None  # None: nothing to count, or the counters were away
    now: float = 0.0
    beyond: tuple[str, ...] = ()
    done: bool = False

    @property
    def headers(self) -> Headers:
        return () if self.taken is None else told(self.plan, self.taken, self.now)


class Limiter:
    def __init__(self, counters: Counters, *, hashed: Callable[[str], str], meter: Meter, clock: Clock) -> None:
        """`hashed`: what stands for a user, in counters as in the journal."""
        self.counters = counters
        self._hashed, self._meter, self._clock = hashed, meter, clock
        self._limits: tuple[Limit, ...] = ()
        self._plans: dict[tuple[str, str, str, str, str], Plan] = {}

    @property
    def limits(self) -> tuple[Limit, ...]:
        return self._limits

    def apply(self, limits: Sequence[Limit]) -> None:
        """Of a new plan. What is under way is settled as it was reserved."""
        if tuple(limits) != self._limits:
            self._limits = tuple(limits)
            self._plans.clear()

    async def reserve(self, caller: Caller, endpoint: str, *, tokens: int = 0, cost: float = 0.0) -> Grant:
        """Raises OverLimit, saying which and until when; and Unavailable when a closed limit cannot be checked."""
        plan = self._plan(caller, endpoint)
        if not plan.gauges:
            return Grant()
        amounts = _amounts(plan, 1, tokens, cost)
        try:
            taken = await self.counters.take(plan.gauges, amounts)
        except Unavailable as error:
            self._meter.count("headrace_limit_blind_total")
            if plan.closed:
                raise error
            return Grant(plan)
        now = self._clock.now()
        if taken.refused >= 0:
            raise self._over(plan, taken, now)
        return Grant(plan, taken, now, self._beyond(plan, taken))

    def settle(self, grant: Grant, *, tokens: int = 0, cost: float = 0.0) -> None:
        if grant.taken is not None and not grant.done:
            grant.done = True
            self.counters.give(grant.taken.lease, _amounts(grant.plan, 1, tokens, cost, under_way=0))

    def release(self, grant: Grant) -> None:
        if grant.taken is not None and not grant.done:
            grant.done = True
            self.counters.give(grant.taken.lease, (0,) * len(grant.plan.gauges))

    def _plan(self, caller: Caller, endpoint: str) -> Plan:
        if not self._limits:
            return NOTHING
        key = (caller.key, caller.user, caller.team, caller.workspace, endpoint)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _KNOWN:  # callers choose them, so there is a bound
                self._plans.clear()
            plan = self._plans[key] = plan_of(self._limits, caller, endpoint, self._hashed)
        return plan

    def _beyond(self, plan: Plan, taken: Taken) -> tuple[str, ...]:
        found = tuple(
            f"{measure.counted.value}:{measure.level.value}"
            for measure, used in zip(plan.measures, taken.used, strict=True)
            if used > measure.soft
        )
        for name in found:
            self._meter.count("headrace_limit_would_refuse_total", name)
        return found

    def _over(self, plan: Plan, taken: Taken, now: float) -> OverLimit:
        measure, used, end = plan.measures[taken.refused], taken.used[taken.refused], taken.ends[taken.refused]
        self._meter.count("headrace_limit_refused_total", f"{measure.counted.value}:{measure.level.value}")
        seconds = 1.0 if end == NEVER else max(1.0, end - now)
        when = "at once" if measure.gauge.window is None else f"this {measure.gauge.window.value}"
        error = OverLimit(
            f"{measure.whom} has used {_shown(measure.counted, used)} of "
            f"{_shown(measure.counted, measure.gauge.hard)} {when}, and this call needs more than is left",
            field="limit",
            hint=f"try again in {math.ceil(seconds)} s",
            retry_after=seconds,
        )
        error.headers = told(plan, taken, now)
        return error


def plan_of(limits: Iterable[Limit], caller: Caller, endpoint: str, hashed: Callable[[str], str]) -> Plan:
    """Limits of one name and window are one gauge: the least that is enforced holds, the least that is not is told."""
    found: dict[str, Measure] = {}
    for limit in limits:
        who = _who(limit.level, caller, endpoint)
        if who is None or (limit.who and limit.who.lower() != who.lower()):
            continue
        name = name_of(limit.counted, limit.level, hashed(who) if limit.level is Level.USER else who)
        window = None if limit.counted is Counted.CONCURRENCY else limit.window or Window.MINUTE
        at = f"{name}:{window}"
        whom = "everyone together" if limit.level is Level.ALL else f"{limit.level.value} {who!r}"
        known = found.get(at) or Measure(
            Gauge(name, window), limit.counted, limit.level, UNLIMITED, open=True, whom=whom
        )
        found[at] = _held_to(known, limit)
    measures = tuple(sorted(found.values(), key=lambda m: ORDER.index(m.counted)))
    closed = any(not m.open for m in measures)
    places = tuple(ORDER.index(m.counted) for m in measures)
    return Plan(measures, tuple(m.gauge for m in measures), closed, places)


def _held_to(measure: Measure, limit: Limit) -> Measure:
    amount = whole(limit.counted, limit.amount)
    if limit.dry_run:
        return replace(measure, soft=min(measure.soft, amount))
    gauge = replace(measure.gauge, hard=min(measure.gauge.hard, amount))
    return replace(measure, gauge=gauge, open=measure.open and limit.open)


def _who(level: Level, caller: Caller, endpoint: str) -> str | None:
    """None: this level has nobody, so its limits do not count this call."""
    if level is Level.ALL:
        return "*"
    if level is Level.ENDPOINT:
        return endpoint
    return getattr(caller, level.value) or None


def name_of(counted: Counted, level: Level, who: str) -> str:
    return f"{counted.value}:{level.value}:{who}"


def whole(counted: Counted, amount: float) -> int:
    return round(amount * NANO) if counted is Counted.COST else math.floor(amount)


def _amounts(plan: Plan, requests: int, tokens: int, cost: float, *, under_way: int = 1) -> tuple[int, ...]:
    worth = (under_way, requests, tokens, round(cost * NANO))  # in ORDER
    return tuple([worth[place] for place in plan.places])


def told(plan: Plan, taken: Taken, now: float) -> Headers:
    """Of requests, tokens and cost: the limit with the least left, as OpenAI names it."""
    tightest: dict[Counted, tuple[float, int, int, float]] = {}
    for measure, used, end in zip(plan.measures, taken.used, taken.ends, strict=True):
        hard = measure.gauge.hard
        if hard >= UNLIMITED or measure.gauge.window is None:
            continue
        left = max(0, hard - used)
        share = left / hard if hard else 0.0
        if measure.counted not in tightest or share < tightest[measure.counted][0]:
            tightest[measure.counted] = (share, hard, left, end)
    headers: list[tuple[bytes, bytes]] = []
    for counted, (_, hard, left, end) in tightest.items():
        name = counted.value.encode()
        headers += (
            (b"x-ratelimit-limit-" + name, _number(counted, hard)),
            (b"x-ratelimit-remaining-" + name, _number(counted, left)),
            (b"x-ratelimit-reset-" + name, b"%ds" % math.ceil(max(0.0, end - now))),
        )
    return tuple(headers)


def _number(counted: Counted, value: int) -> bytes:
    return f"{value / NANO:.6f}".encode() if counted is Counted.COST else b"%d" % value


def _shown(counted: Counted, value: int) -> str:
    if counted is Counted.COST:
        return f"{value / NANO:.2f} USD"
    return f"{value:,} {'calls' if counted is Counted.CONCURRENCY else counted.value}"
