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
from operator import itemgetter

import msgspec

from headrace.base.clock import Clock
from headrace.store.counters.base import NEVER, UNLIMITED, Counters, Gauge, Taken
from headrace.traffic.keys import Caller
from headrace.traffic.meter import Meter
from headrace.types.errors import OverLimit, Unavailable
from headrace.types.gateway import Counted, Level, Limit, Window

NANO = 1_000_000_000  # counters hold whole numbers: billionths of a dollar
ORDER = (Counted.CONCURRENCY, Counted.REQUESTS, Counted.TOKENS, Counted.COST)
LOOKED = 2_000  # gauges that one look tells of
_KNOWN = 10_000  # callers times endpoints whose gauges are kept

_TOLD = (b"limit", b"remaining", b"reset")
_NONE: frozenset[bytes] = frozenset()


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
class Shown:
    """What callers are told of one limit: header lines that want what is left, and the seconds until it begins anew."""

    at: int  # among the gauges
    hard: int
    unit: int
    lines: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What the calls of one caller at one endpoint are counted by, and all of it that is the same for each call."""

    measures: tuple[Measure, ...]
    gauges: tuple[Gauge, ...]
    closed: bool  # some limit does not let calls in unseen
    tried: bool  # some limit is only tried out
    pick: Callable[[tuple[int, ...]], tuple[int, ...]]  # of amounts in ORDER, one a gauge
    shown: tuple[tuple[Shown, ...], ...]  # of requests, of tokens, of cost: the tightest is told
    named: frozenset[bytes]  # headers that are told


class Grant(msgspec.Struct, eq=False):
    """A call that may run. `beyond`: limits that are only tried out, and would have refused it."""

    plan: Plan | None = None
    taken: Taken | None = None  # None: nothing to count, or the counters were away
    now: float = 0.0
    beyond: tuple[str, ...] = ()
    done: bool = False

    def told(self) -> tuple[bytes, frozenset[bytes]]:
        """Header lines, whole, and their names."""
        if self.plan is None or self.taken is None:
            return b"", _NONE
        return lines(self.plan, self.taken, self.now), self.plan.named


@dataclass(frozen=True, slots=True)
class Fill:
    """How full one gauge is now, in what it counts (USD, not its billionths). `hard` and `soft`: None is no limit."""

    counted: str
    level: str
    who: str  # as counters know it: of a user the keyed hash
    window: str  # empty: what is under way now
    used: float
    hard: float | None
    soft: float | None  # of limits that are only tried out
    ends: float | None


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
        plan = self._plans.get((caller.key, caller.user, caller.team, caller.workspace, endpoint))
        if plan is None and self._limits:
            plan = self._plan(caller, endpoint)
        if plan is None or not plan.gauges:
            return Grant()
        try:
            taken = await self.counters.take(plan.gauges, plan.pick((1, 1, tokens, round(cost * NANO))))
        except Unavailable as error:
            self._meter.count("headrace_limit_blind_total")
            if plan.closed:
                raise error
            return Grant(plan)
        now = self._clock.now()
        if taken.refused >= 0:
            raise self._over(plan, taken, now)
        return Grant(plan, taken, now, self._beyond(plan, taken) if plan.tried else ())

    def settle(self, grant: Grant, *, tokens: int = 0, cost: float = 0.0) -> None:
        plan, taken = grant.plan, grant.taken
        if plan is not None and taken is not None and not grant.done:
            grant.done = True
            self.counters.give(taken.lease, plan.pick((0, 1, tokens, round(cost * NANO))))

    def release(self, grant: Grant) -> None:
        plan, taken = grant.plan, grant.taken
        if plan is not None and taken is not None and not grant.done:
            grant.done = True
            self.counters.give(taken.lease, (0,) * len(plan.gauges))

    async def fills(self) -> list[Fill]:
        """Of callers that came since the limits changed, as many as LOOKED. Raises Unavailable."""
        measures = {(m.gauge.name, m.gauge.window): m for plan in self._plans.values() for m in plan.measures}
        some = list(measures.values())[-LOOKED:]
        nothing, gauges = (0,) * len(some), tuple(measure.gauge for measure in some)
        if not some:
            return []
        taken = await self.counters.take(gauges, nothing)  # to take nothing is to look
        if taken.lease is not None:
            self.counters.give(taken.lease, nothing)
        return [_fill(*each) for each in zip(some, taken.used, taken.ends, strict=True)]

    def _plan(self, caller: Caller, endpoint: str) -> Plan:
        if len(self._plans) >= _KNOWN:  # callers choose them, so there is a bound
            self._plans.clear()
        key = (caller.key, caller.user, caller.team, caller.workspace, endpoint)
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
        told = [line.partition(b": ") for line in lines(plan, taken, now).splitlines()]
        error.headers = tuple((name, value) for name, _, value in told)
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
    shown = _shown_of(measures)
    return Plan(
        measures,
        gauges=tuple(m.gauge for m in measures),
        closed=any(not m.open for m in measures),
        tried=any(m.soft < UNLIMITED for m in measures),
        pick=_picker([ORDER.index(m.counted) for m in measures]),
        shown=tuple(tuple(rows) for rows in shown.values()),
        named=frozenset(b"x-ratelimit-%b-%b" % (what, c.value.encode()) for c in shown for what in _TOLD),
    )


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


def _fill(measure: Measure, used: int, end: float) -> Fill:
    counted, gauge = measure.counted, measure.gauge
    return Fill(
        counted=counted.value,
        level=measure.level.value,
        who=gauge.name.split(":", 2)[2],
        window=gauge.window.value if gauge.window else "",
        used=_plain(counted, used) or 0.0,
        hard=_plain(counted, gauge.hard),
        soft=_plain(counted, measure.soft),
        ends=None if end == NEVER else end,
    )


def _plain(counted: Counted, value: int) -> float | None:
    if value >= UNLIMITED:
        return None
    return value / NANO if counted is Counted.COST else float(value)


def name_of(counted: Counted, level: Level, who: str) -> str:
    return f"{counted.value}:{level.value}:{who}"


def whole(counted: Counted, amount: float) -> int:
    return round(amount * NANO) if counted is Counted.COST else math.floor(amount)


def _picker(places: Sequence[int]) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    return itemgetter(*places) if len(places) > 1 else lambda worth: tuple([worth[place] for place in places])


def _shown_of(measures: Iterable[Measure]) -> dict[Counted, list[Shown]]:
    found: dict[Counted, list[Shown]] = {}
    for at, measure in enumerate(measures):
        hard, counted = measure.gauge.hard, measure.counted
        if hard >= UNLIMITED or measure.gauge.window is None:
            continue
        unit, form = (NANO, b"%.6f") if counted is Counted.COST else (1, b"%d")
        names = [b"x-ratelimit-%b-%b: " % (what, counted.value.encode()) for what in _TOLD]
        most = form % (hard / unit if unit > 1 else hard)
        told = (names[0], most, b"\r\n", names[1], form, b"\r\n", names[2], b"%ds\r\n")
        found.setdefault(counted, []).append(Shown(at, hard, unit, b"".join(told)))
    return found


def lines(plan: Plan, taken: Taken, now: float) -> bytes:
    """Of requests, tokens and cost: the limit with the least left, as OpenAI names it."""
    told, used, ends = b"", taken.used, taken.ends
    for rows in plan.shown:
        row = rows[0] if len(rows) == 1 else min(rows, key=lambda row: (row.hard - used[row.at]) / max(1, row.hard))
        left, seconds = row.hard - used[row.at], math.ceil(ends[row.at] - now)
        shown = left / row.unit if row.unit > 1 else left
        told += row.lines % (shown if left > 0 else 0, seconds if seconds > 0 else 0)
    return told


def _shown(counted: Counted, value: int) -> str:
    if counted is Counted.COST:
        return f"{value / NANO:.2f} USD"
    return f"{value:,} {'calls' if counted is Counted.CONCURRENCY else counted.value}"
