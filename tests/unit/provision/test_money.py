"""What a month will cost, what has no price, and which of several prices holds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.provision.money import Hold, forecast, ledger_csv, price_rows, unpriced
from headrace.types.gateway import Gateway, Price, Provider, ProviderKind, SpendSum, Usage

DAY = 86_400
NOON = datetime(2026, 11, 16, 12, tzinfo=UTC).timestamp()  # half of the month and a half day are left
TODAY = int(NOON // DAY) * DAY


def days(*costs: float) -> dict[int, float]:
    """The last one is today's."""
    return {TODAY - (len(costs) - 1 - at) * DAY: cost for at, cost in enumerate(costs)}


def test_even_days_go_on_as_they_went() -> None:
    told = forecast(days(*[2.0] * 15, 1.0), NOON)
    assert told is not None
    assert (told.so_far, told.days, told.expected) == (31.0, 14, pytest.approx(31 + 14.5 * 2))
    assert told.low == told.high == told.expected


def test_uneven_days_leave_room_and_never_less_than_was_spent() -> None:
    told = forecast(days(0, 9, 1, 8, 0, 7, 0.5), NOON)
    assert told is not None
    assert told.so_far <= told.low < told.expected < told.high


def test_what_began_today_is_taken_for_a_whole_day() -> None:
    told = forecast(days(1.0), NOON)
    assert told is not None
    assert told.expected == pytest.approx(1.0 + 14.5 * 2.0)
    assert forecast({}, NOON) is None
    assert forecast(days(0.0, 0.0), NOON) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_a_forecast_is_in_order(costs: list[float]) -> None:
    told = forecast(days(*costs), NOON)
    if told is not None:
        assert 0 <= told.so_far <= told.low <= told.expected + 1e-6
        assert told.expected <= told.high + 1e-6


def spent(provider: str, model: str, *, cost: float = 0.0, tokens: int = 10) -> SpendSum:
    group: dict[str, str | int] = {"provider": provider, "model": model}
    return SpendSum(group=group, calls=3, failed=0, cached=0, usage=Usage(input=tokens), cost=cost)


def test_models_without_a_price_are_named_and_our_own_are_no_surprise() -> None:
    gateway = Gateway(
        providers=(
            Provider(name="openai", kind=ProviderKind.OPENAI, url="https://h/v1"),
            Provider(name="gpu", kind=ProviderKind.OPENAI, url="http://h/v1", private=True),
        ),
        prices=(Price(provider="openai", model="known", input=1.0),),
    )
    sums = [spent("gpu", "house"), spent("openai", "new"), spent("openai", "known"), spent("openai", "was", cost=1.0)]
    found = unpriced([*sums, spent("openai", "idle", tokens=0)], gateway, NOON)
    assert [(each.model, each.own) for each in found] == [("new", False), ("house", True)]


def test_which_price_holds() -> None:
    def price(**more: object) -> Price:
        return Price(provider="p", model="m", **more)  # type: ignore[arg-type]

    old, new, later = price(input=1.0, source="a list"), price(since=100.0, source="a list"), price(since=NOON + 1)
    long = price(above=200_000, source="a list")
    held = {row.price: row.hold for row in price_rows(Gateway(prices=(old, later, new, long)), NOON)}
    assert held == {old: Hold.PAST, new: Hold.NOW, later: Hold.LATER, long: Hold.NOW}
    said = price(input=3.0)
    assert {row.hold for row in price_rows(Gateway(prices=(new, said)), NOON) if row.price is new} == {Hold.BEATEN}


def test_a_csv_has_all_labels_and_no_formulas() -> None:
    group: dict[str, str | int] = {"day": TODAY, "team": "=1+1"}
    text = ledger_csv([SpendSum(group=group, calls=2, failed=1, cached=0, usage=Usage(output=7), cost=0.25)])
    head, line = text.splitlines()
    assert head == "day,team,calls,failed,cached,input,cache_read,cache_write,output,reasoning,audio,cost_usd"
    assert line == "2026-11-16,'=1+1,2,1,0,0,0,0,7,0,0,0.25"
    assert ledger_csv([]).startswith("calls,")
