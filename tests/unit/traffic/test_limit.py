"""Whose calls a limit counts, what a refused caller is told, and what holds when the counters are away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.store.counters.base import UNLIMITED, Counters, Gauge, Seed, Taken
from headrace.store.counters.local import LocalCounters
from headrace.traffic.keys import Caller
from headrace.traffic.limit import Limiter, plan_of
from headrace.traffic.meter import Meter
from headrace.types.errors import OverLimit, Unavailable
from headrace.types.gateway import Counted, Level, Limit, Window

START = 1_700_000_040.0  # a minute begins
ANN = Caller(key="k1", team="search", user="ann", workspace="lab")
BOB = Caller(key="k2", team="search", user="bob", workspace="lab")


def limit(
    level: Level, counted: Counted, amount: float, window: Window | None = Window.MINUTE, **more: object
) -> Limit:
    return Limit(level=level, counted=counted, amount=amount, window=window, **more)  # type: ignore[arg-type]


class Rig:
    def __init__(self, *limits: Limit, counters: Counters | None = None) -> None:
        self.clock, self.meter = ManualClock(START), Meter()
        self.limiter = Limiter(
            counters or LocalCounters(self.clock), hashed=lambda u: f"#{u}", meter=self.meter, clock=self.clock
        )
        self.limiter.apply(limits)

    async def passes(self, caller: Caller, endpoint: str = "chat", *, tokens: int = 0, cost: float = 0.0) -> bool:
        try:
            await self.limiter.reserve(caller, endpoint, tokens=tokens, cost=cost)
        except OverLimit:
            return False
        return True


async def test_without_limits_nothing_is_counted() -> None:
    grant = await Rig().limiter.reserve(ANN, "chat", tokens=10)
    assert (grant.taken, grant.told()[0]) == (None, b"")


@pytest.mark.parametrize(
    ("level", "second"),
    [
        (Level.ALL, False),
        (Level.WORKSPACE, False),
        (Level.TEAM, False),
        (Level.ENDPOINT, False),
        (Level.USER, True),
        (Level.KEY, True),
    ],
)
async def test_a_limit_counts_whose_calls_it_says(level: Level, second: bool) -> None:
    rig = Rig(limit(level, Counted.REQUESTS, 1))
    assert await rig.passes(ANN)
    assert not await rig.passes(ANN)
    assert await rig.passes(BOB) is second
    assert await rig.passes(Caller(key="k3", team="other", user="eve", workspace="other"), "embed") is (
        level is not Level.ALL
    )


async def test_a_limit_of_one_holds_beside_that_of_each() -> None:
    rig = Rig(
        limit(Level.KEY, Counted.TOKENS, 100),
        limit(Level.KEY, Counted.TOKENS, 10, who="K1"),
        limit(Level.USER, Counted.TOKENS, 1, who="eve"),
    )
    assert not await rig.passes(ANN, tokens=11)
    assert await rig.passes(BOB, tokens=100)


async def test_who_has_no_team_is_in_no_team() -> None:
    assert plan_of([limit(Level.TEAM, Counted.REQUESTS, 1)], Caller(key="k"), "chat", str).gauges == ()


async def test_users_are_counted_by_their_hash() -> None:
    found = plan_of([limit(Level.USER, Counted.REQUESTS, 1)], ANN, "chat", lambda user: f"#{user}")
    assert [gauge.name for gauge in found.gauges] == ["requests:user:#ann"]


async def test_reserved_settled_released() -> None:
    rig = Rig(limit(Level.TEAM, Counted.COST, 1.0, Window.MONTH), limit(Level.KEY, Counted.CONCURRENCY, 1, None))
    first = await rig.limiter.reserve(ANN, "chat", cost=0.9)
    assert not await rig.passes(BOB, cost=0.2)
    rig.limiter.settle(first, cost=0.1)
    rig.limiter.settle(first, cost=5.0)  # once a call
    second = await rig.limiter.reserve(ANN, "chat", cost=0.9)  # and the place is free again
    rig.limiter.release(second)
    assert await rig.passes(BOB, cost=0.9)


async def test_what_a_refused_caller_is_told() -> None:
    rig = Rig(limit(Level.TEAM, Counted.COST, 2.5, Window.DAY), limit(Level.KEY, Counted.REQUESTS, 9))
    rig.limiter.settle(await rig.limiter.reserve(ANN, "chat", cost=2.0), cost=2.0)
    with pytest.raises(OverLimit, match=r"team 'search' has used 2.00 USD of 2.50 USD this day") as caught:
        await rig.limiter.reserve(ANN, "chat", cost=1.0)
    end = 86_400 - START % 86_400
    assert caught.value.retry_after == end
    headers = dict(caught.value.headers)
    assert headers[b"x-ratelimit-remaining-cost"] == b"0.500000"
    assert headers[b"x-ratelimit-reset-cost"] == b"%ds" % end
    assert headers[b"x-ratelimit-remaining-requests"] == b"8"
    assert rig.meter.counters["headrace_limit_refused_total", "cost:team"] == 1


async def test_what_is_left_is_told_of_the_tightest() -> None:
    rig = Rig(
        limit(Level.ALL, Counted.TOKENS, 1000),
        limit(Level.KEY, Counted.TOKENS, 100, Window.DAY),
        limit(Level.KEY, Counted.CONCURRENCY, 5, None),
    )
    grant = await rig.limiter.reserve(ANN, "chat", tokens=40)
    lines = grant.told()[0].split(b"\r\n")
    assert {b"x-ratelimit-limit-tokens: 100", b"x-ratelimit-remaining-tokens: 60"} < set(lines)
    assert b"requests" not in grant.told()[0]


async def test_a_dry_run_tells_and_lets_in() -> None:
    rig = Rig(limit(Level.KEY, Counted.REQUESTS, 1, dry_run=True), limit(Level.KEY, Counted.REQUESTS, 3))
    grants = [await rig.limiter.reserve(ANN, "chat") for _ in range(3)]
    assert [grant.beyond for grant in grants] == [(), ("requests:key",), ("requests:key",)]
    assert not await rig.passes(ANN)
    assert rig.meter.counters["headrace_limit_would_refuse_total", "requests:key"] == 2


class Away:
    async def take(self, gauges: Sequence[Gauge], amounts: Sequence[int]) -> Taken:
        raise Unavailable("away")

    def give(self, lease: object, used: Sequence[int]) -> None:
        raise AssertionError("nothing was taken")

    async def seed(self, seeds: Sequence[Seed]) -> None: ...

    async def close(self) -> None: ...


async def test_open_and_closed_limits_when_the_counters_are_away() -> None:
    rig = Rig(limit(Level.KEY, Counted.REQUESTS, 1), counters=Away())
    grant = await rig.limiter.reserve(ANN, "chat")
    rig.limiter.settle(grant, tokens=3)
    rig.limiter.release(grant)
    closed = Rig(limit(Level.KEY, Counted.REQUESTS, 1), limit(Level.TEAM, Counted.COST, 1, open=False), counters=Away())
    with pytest.raises(Unavailable):
        await closed.limiter.reserve(ANN, "chat")
    await closed.limiter.reserve(Caller(key="k9"), "chat")  # in no team
    tried = Rig(limit(Level.KEY, Counted.REQUESTS, 1, open=False, dry_run=True), counters=Away())
    await tried.limiter.reserve(ANN, "chat")


async def test_a_new_plan_counts_on() -> None:
    rig = Rig(limit(Level.KEY, Counted.REQUESTS, 2))
    before = await rig.limiter.reserve(ANN, "chat")
    rig.limiter.apply([limit(Level.KEY, Counted.REQUESTS, 1), limit(Level.KEY, Counted.TOKENS, 5)])
    assert not await rig.passes(ANN)
    rig.limiter.release(before)
    assert await rig.passes(ANN)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 90), st.booleans()), max_size=30))
async def test_whatever_is_reserved_and_settled_what_stands_is_what_was_used(
    calls: list[tuple[int, int, bool]],
) -> None:
    """Only a call that used more than it had reserved pushes a counter beyond its limit, and only by that much."""
    rig = Rig(limit(Level.KEY, Counted.TOKENS, 100))
    used, beyond = 0, 0
    for reserved, true, ran in calls:
        try:
            grant = await rig.limiter.reserve(ANN, "chat", tokens=reserved)
        except OverLimit:
            assert used + reserved > 100
            continue
        assert used + reserved <= 100
        rig.limiter.settle(grant, tokens=true) if ran else rig.limiter.release(grant)
        used += true if ran else 0
        beyond = max(beyond, true - reserved)
    taken = await rig.limiter.counters.take((Gauge("tokens:key:k1", Window.MINUTE, UNLIMITED),), (0,))
    assert taken.used == (used,)
    assert used <= 100 + beyond


async def test_how_full_it_is_and_looking_takes_nothing() -> None:
    rig = Rig(
        limit(Level.TEAM, counted=Counted.COST, amount=5.0, window=Window.DAY),
        limit(Level.USER, counted=Counted.TOKENS, amount=9, dry_run=True),
        limit(Level.ALL, counted=Counted.CONCURRENCY, amount=2, window=None),
    )
    assert await rig.limiter.fills() == []
    under_way = await rig.limiter.reserve(ANN, "chat", tokens=4, cost=1.5)
    for _ in range(2):
        found = {(fill.level, fill.counted): fill for fill in await rig.limiter.fills()}
        assert (found["team", "cost"].used, found["team", "cost"].hard) == (1.5, 5.0)
        tokens = found["user", "tokens"]
        assert (tokens.used, tokens.hard, tokens.soft, tokens.window) == (4.0, None, 9.0, "minute")
        assert tokens.who == "#ann"
        assert (found["all", "concurrency"].used, found["all", "concurrency"].ends) == (1.0, None)
    rig.limiter.settle(under_way, tokens=20, cost=9.0)  # beyond what is allowed, and still told
    found = {fill.counted: fill.used for fill in await rig.limiter.fills()}
    assert found == {"cost": 9.0, "tokens": 20.0, "concurrency": 0.0}
