"""Items made ahead in a thread: in order, few, and no more once nobody takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from headrace.base.ahead import ahead


def test_order_and_end() -> None:
    assert list(ahead(iter(range(1, 50)))) == list(range(1, 50))
    assert list(ahead(iter(()))) == []


def test_no_more_is_made_than_may_wait() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1, 100):
            made.append(number)
            yield number

    found = ahead(items(), depth=3)
    assert made == [], "nothing before the first is wanted"
    for number in range(1, 10):
        assert next(found) == number
        assert len(made) <= number + 3
    found.close()
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]:
        thread.join(10)
        assert not thread.is_alive()
    assert len(made) <= 12


def test_the_thread_that_makes_them_may_be_the_one_that_ends_it() -> None:
    """As the collector of garbage does. A join of the own thread would raise."""
    taken, ended = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        taken.wait(10)
        found.close()
        ended.set()
        yield 2

    found = ahead(items())
    assert next(found) == 1
    taken.set()
    assert ended.wait(10)


def test_an_error_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)
