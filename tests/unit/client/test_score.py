"""What an error means for the rows that were sent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.client.infer import Arrays, Inferred
from headrace.client.score import Piece, Scorer, Stopped
from headrace.types.errors import (
    BadInput,
    HeadraceError,
    ModelFailed,
    NotFound,
    Overloaded,
    PlatformError,
    TooLarge,
    Unavailable,
)


class Played:
    def __init__(self, *, bad: set[int] = frozenset(), most: int = 10_000, says: list[HeadraceError] | None = None):  # type: ignore[assignment]
        self.bad, self.most, self.says = bad, most, says or []
        self.sizes: list[int] = []

    def __call__(self, arrays: Arrays) -> Inferred:
        rows = arrays["x"].tolist()
        self.sizes.append(len(rows))
        if self.says:
            raise self.says.pop(0)
        if len(rows) > self.most:
            raise TooLarge("too many")
        if self.bad & set(rows):
            raise BadInput("a bad one")
        return Inferred(outputs={"y": arrays["x"] * 2}, trace_id=f"tr-{len(self.sizes)}", version="1")


def score(played: Callable[[Arrays], Inferred], rows: int, clock: ManualClock | None = None) -> list[Piece]:
    clock = clock or ManualClock()

    def pause(seconds: float) -> bool:
        clock.move(seconds)
        return False

    return Scorer(played, clock=clock, pause=pause, patience=60.0)({"x": np.arange(rows)})


@given(rows=st.integers(1, 60), bad=st.sets(st.integers(0, 59)), most=st.integers(1, 70))
def test_every_row_is_answered_or_named_once_and_in_order(rows: int, bad: set[int], most: int) -> None:
    pieces = score(Played(bad=bad, most=most), rows)
    assert [i for p in pieces for i in range(p.first, p.first + p.count)] == list(range(rows))
    for piece in pieces:
        own = list(range(piece.first, piece.first + piece.count))
        if piece.error:
            assert set(own) <= bad
        else:
            assert piece.outputs["y"].tolist() == [2 * i for i in own]
            assert not set(own) & bad


def test_a_limit_on_rows_is_learned_once() -> None:
    played = Played(most=10)
    scorer = Scorer(played, clock=ManualClock(), pause=lambda _: False)
    scorer({"x": np.arange(40)})
    played.sizes.clear()
    scorer({"x": np.arange(40)})
    assert played.sizes == [10, 10, 10, 10]


def test_an_overloaded_endpoint_is_waited_for_as_it_asks() -> None:
    clock = ManualClock()
    began = clock.steady()
    played = Played(says=[Overloaded("full", retry_after=7.0), Unavailable("starting")])
    pieces = score(played, 5, clock)
    assert [p.count for p in pieces] == [5]
    assert 7.0 <= clock.steady() - began < 12.0


def test_patience_ends_and_says_why() -> None:
    with pytest.raises(Unavailable, match="60 s: full"):
        score(Played(says=[Overloaded("full")] * 1000), 5)


def test_a_model_that_raises_gets_a_second_chance_then_is_narrowed_down() -> None:
    played = Played(says=[ModelFailed("once")])
    assert [p.error for p in score(played, 4)] == [""]
    played = Played(says=[PlatformError("broken")] * 1000)
    assert [p.error for p in score(played, 2)] == ["broken", "broken"]


def test_an_endpoint_that_is_gone_ends_it_at_once() -> None:
    played = Played(says=[NotFound("no such endpoint")])
    with pytest.raises(NotFound):
        score(played, 4)
    assert played.sizes == [4]


def test_a_stop_ends_the_waiting() -> None:
    scorer = Scorer(Played(says=[Overloaded("full")]), clock=ManualClock(), pause=lambda _: True)
    with pytest.raises(Stopped):
        scorer({"x": np.arange(3)})
