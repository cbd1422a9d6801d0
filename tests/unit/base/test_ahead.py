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
    found.close()  # type: ignore[attr-defined]
    assert len(made) <= 13
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_an_error_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)
