"""Pairs by what was asked: buckets, rates, and what somebody sees who asks for them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.release.segments import NOT_GIVEN, OTHERS, VALUES, columns, segments, wilson, within
from headrace.types.pair import Difference, Pair


def pair(number: int, *, flips: float = 0.0, error: str = "", **segment: Any) -> Pair:
    return Pair(
        trace_id=f"tr-{number}",
        shadow_id=f"tr-{number}s",
        time=float(number),
        unit=f"u{number}",
        rows=1,
        severity=4 * flips,
        draw=number,
        difference=Difference(flips=flips),
        error=error,
        segment=segment,
    )


TOWNS = [pair(n, flips=float(n % 10 == 0), town="Ulm" if n % 10 == 0 else "Rom") for n in range(100)]


def test_the_worst_segment_comes_first() -> None:
    worst, rest = segments(TOWNS, "town")
    assert (worst.value, worst.pairs, worst.rate) == ("Ulm", 10, 1)
    assert (rest.value, rest.pairs, rest.rate) == ("Rom", 90, 0)
    assert worst.low > 0.6
    assert rest.high < 0.05
    assert columns(TOWNS) == ("town",)
    assert len(within(TOWNS, TOWNS, "town", "Ulm")) == 10


def test_a_failure_is_another_answer() -> None:
    (only,) = segments([pair(1, error="it broke", a=True), pair(2, a=True)], "a")
    assert (only.value, only.rate) == ("true", 0.5)


def test_many_numbers_are_quarters_and_few_are_themselves() -> None:
    ages = [pair(n, age=n) for n in range(100)] + [pair(100)]
    assert {s.value for s in segments(ages, "age")} == {"< 25", "25 – 50", "50 – 75", "≥ 75", NOT_GIVEN}
    assert {s.pairs for s in segments(ages, "age")} == {25, 1}
    few = [pair(n, age=float(n % 3)) for n in range(9)]
    assert {s.value for s in segments(few, "age")} == {"0", "1", "2"}
    odd = [*ages, pair(101, age="?")]
    assert OTHERS in {s.value for s in segments(odd, "age")}, "with a text among them they are labels"


def test_many_texts_are_the_frequent_ones_and_the_others() -> None:
    found = segments([pair(n, id=f"id-{n}" if n % 2 else "same") for n in range(60)], "id")
    assert len(found) == VALUES + 1
    assert sum(s.pairs for s in found) == 60
    assert {s.value for s in found} > {"same", OTHERS}


@pytest.mark.parametrize(("events", "units"), [(0, 10), (10, 10), (3, 10)])
def test_wilson(events: int, units: int) -> None:
    low, high = wilson(events, units)
    assert 0 <= low <= events / units <= high <= 1


Values = st.one_of(st.none(), st.integers(-5, 40), st.floats(-10, 10), st.sampled_from("abc"), st.booleans())


@given(st.lists(Values, min_size=1, max_size=60))
def test_every_pair_is_in_one_segment(values: list[Any]) -> None:
    made = [pair(n, **({} if value is None else {"a": value})) for n, value in enumerate(values)]
    found = segments(made, "a")
    assert sum(s.pairs for s in found) == len(made)
    assert sum(len(within(made, made, "a", s.value)) for s in found) == len(made)
