"""What the pages of the gateway and of costs decide: shares of ways, states of keys, ranks and colours, figures."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.console.messages import Language
from headrace.console.pages import costs, keys, limits, routes, upstreams
from headrace.console.parts import bars, numbers
from headrace.console.visit import Visit
from headrace.control.gateway import Bill
from headrace.types.gateway import Chat, Counted, Level, Limit, SpendSum, Usage, VirtualKey, Way, Window

VISIT = Visit(services=SimpleNamespace(), language=Language.ENGLISH)  # type: ignore[arg-type]
MONDAY = datetime(2026, 11, 16, tzinfo=UTC).timestamp()
DAY = 86_400.0


@pytest.mark.parametrize(
    ("dollars", "told"),
    [(0, "0"), (0.00004, "< 0.0001"), (0.0042, "0.0042"), (0.1, "0.10"), (12.3, "12.30"), (1234.5, "1,234")],
)
def test_money_has_digits_that_say_something(dollars: float, told: str) -> None:
    assert numbers.money_figure(dollars) == told


def test_a_way_has_its_part_of_the_first_tier() -> None:
    first, second, last = (
        Way(provider="p", model=f"m{n}", weight=w, tier=t) for n, w, t in ((1, 3, 1), (2, 1, 1), (3, 9, 2))
    )
    chat = Chat(ways=(first, second, last))
    assert [routes.planned(chat, way) for way in chat.ways] == [0.75, 0.25, None]


def test_what_a_key_is() -> None:
    def state(**more: Any) -> keys.State:
        return keys.state_of(VirtualKey(id="k", hash="h", **more), MONDAY)

    assert state() is keys.State.GOOD
    assert state(expires=MONDAY + 30 * DAY) is keys.State.GOOD
    assert state(expires=MONDAY + DAY) is keys.State.SOON
    assert state(expires=MONDAY - 1) is keys.State.EXPIRED
    assert state(expires=MONDAY - 1, revoked=MONDAY - 2) is keys.State.REVOKED


def test_keys_are_found_by_what_people_know_of_them() -> None:
    key = VirtualKey(id="ab12", hash="h", name="Helpdesk", team="support")
    for found in ("help", "hr-ab12-…", "SUPPORT", ""):
        assert keys.Asked(find=found).admits(key, MONDAY), found
    assert not keys.Asked(find="sales").admits(key, MONDAY)
    assert keys.Asked(find="a b", page=2).address("ab12") == "/gateway/keys?find=a+b&page=2&key=ab12"


def test_the_dearest_have_colours_and_the_rest_one() -> None:
    names = "abcdefgh"
    sums = tuple(
        SpendSum(group={"day": int(MONDAY + day * DAY), "team": name}, calls=2, failed=0, cached=0,
                 usage=Usage(input=10, output=day), cost=float(len(names) - at))
        for at, name in enumerate(names) for day in range(2)
    )  # fmt: skip
    bill = Bill(since=MONDAY, until=MONDAY + 1.5 * DAY, sums=sums, total=None, forecast=None, unpriced=())
    data = costs.Data(bill=bill, before=0.0, today=0.0, names={}, now=MONDAY)
    days = costs.days_of(bill)
    assert days == ["2026-11-16", "2026-11-17"]
    stacks = costs.stacks_of(VISIT, data, "team", days)
    assert [stack.name for stack in stacks] == [*"abcde", "3 others"]
    assert (stacks[0].values, stacks[-1].values) == ((8.0, 8.0), (6.0, 6.0))
    assert len({stack.token for stack in stacks}) == 6
    assert [stack.name for stack in costs.bucket_stacks(VISIT, bill, days)] == ["input 160", "output 8"]
    assert bars.as_csv(days, stacks[:1]).splitlines() == ["day,a", "2026-11-16,8", "2026-11-17,8"]
    drawn = bars.options(days, stacks, "USD")
    assert next((series["stack"], series["data"]) for series in drawn["series"]) == ("all", [8.0, 8.0])


def test_limits_in_words() -> None:
    said = {
        "each key: 40,000 tokens a day": Limit(
            level=Level.KEY, counted=Counted.TOKENS, amount=40_000, window=Window.DAY
        ),
        "team support: 90.00 USD in all a month": Limit(
            level=Level.TEAM, who="support", counted=Counted.COST, amount=90, window=Window.MONTH
        ),
        "everyone together: 8 calls at once": Limit(level=Level.ALL, counted=Counted.CONCURRENCY, amount=8),
    }
    assert [limits.said(VISIT, limit) for limit in said.values()] == list(said)
    tones = [limits.full_cell(next(iter(said.values())), used)["tone"] for used in (10, 39_000, 40_000)]
    assert tones == ["good", "candidate", "bad"]


def test_how_an_upstream_is() -> None:
    told = {"left_alone": False, "failures_in_a_row": 0, "calls": {}, "key_refused": False}
    assert upstreams.state_of(told) == "unasked"
    assert upstreams.state_of(told | {"calls": {"ok": 1}}) == "good"
    assert upstreams.state_of(told | {"failures_in_a_row": 2}) == "failing"
    assert upstreams.state_of(told | {"failures_in_a_row": 2, "left_alone": True}) == "alone"
    refused = {"failures_in_a_row": 2, "left_alone": True, "key_refused": True}
    assert upstreams.state_of(told | refused) == "refused", "the reason, not what came of it"
