"""Answers given again: the same inputs of the same version, for a while, within a size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.cache import Cache, key_of
from headrace.serving.runtimes.base import Inputs
from headrace.types.endpoint import Cache as Settings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def inputs(values: object, dtype: object = np.float64) -> Inputs:
    array = np.array(values, dtype=dtype)  # type: ignore[arg-type]
    return Inputs(len(array), {"x": array})


def test_an_answer_lives_as_long_as_it_may() -> None:
    clock = Clock()
    cache = Cache(Settings(size_mb=1, ttl_seconds=10), clock)
    assert cache.get(b"k") is None
    cache.put(b"k", [np.arange(3)])
    clock.now = 9.9
    found = cache.get(b"k")
    assert found is not None
    assert found[0].tolist() == [0, 1, 2]
    clock.now = 10.0
    assert cache.get(b"k") is None
    assert (cache.size, len(cache)) == (0, 0)


def test_the_one_not_asked_for_longest_goes_first() -> None:
    cache = Cache(Settings(size_mb=1), Clock())
    quarter = np.zeros(256 * 1024 // 8 - 100)
    for key in (b"a", b"b", b"c", b"d"):
        cache.put(key, [quarter])
    assert cache.get(b"a") is not None
    cache.put(b"e", [quarter])
    assert [cache.get(key) is not None for key in (b"a", b"b", b"c", b"d", b"e")] == [True, False, True, True, True]
    cache.put(b"a", [quarter])
    assert len(cache) == 4
    cache.configure(Settings(size_mb=0))
    assert (cache.size, len(cache)) == (0, 0)


def test_what_is_larger_than_the_cache_empties_nothing() -> None:
    cache = Cache(Settings(size_mb=1), Clock())
    cache.put(b"a", [np.zeros(3)])
    cache.put(b"b", [np.zeros(1 << 18)])
    assert (cache.get(b"a") is not None, cache.get(b"b")) == (True, None)


def test_a_part_of_a_batch_does_not_keep_the_batch() -> None:
    cache = Cache(Settings(size_mb=1), Clock())
    cache.put(b"a", [np.zeros((1000, 100))[3:4]])
    found = cache.get(b"a")
    assert found is not None
    assert found[0].base is None


@pytest.mark.parametrize(
    "other",
    [
        inputs([[1.0, 2.0], [3.0, 5.0]]),
        inputs([[1.0, 2.0, 3.0, 4.0]]),
        inputs([[1.0, 2.0], [3.0, 4.0]], np.float32),
        Inputs(2, {"y": np.array([[1.0, 2.0], [3.0, 4.0]])}),
        Inputs(2, {}, np.array([[1.0, 2.0], [3.0, 4.0]])),
    ],
)
def test_what_is_not_the_same(other: Inputs) -> None:
    one = inputs([[1.0, 2.0], [3.0, 4.0]])
    assert key_of("p", one) != key_of("p", other)
    assert key_of("p", one) != key_of("q", one)
    assert key_of("p", one) == key_of("p", inputs(np.array([[1.0, 3.0], [2.0, 4.0]]).T))


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_texts_are_the_same_only_if_they_are(one: list[str], other: list[str]) -> None:
    assert (key_of("p", inputs(one, object)) == key_of("p", inputs(other, object))) == (one == other)
