"""Work that is cancelled ends what it has begun before anyone hears of it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from headrace.programs.until import LOOK_SECONDS, until
from headrace.types.errors import Conflict


def test_cancelled_work_ends_in_its_own_time() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(2.5 * LOOK_SECONDS)  # a process needs its moment
            ended.append(True)

    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Conflict, match="the work was cancelled"):
        until(cancelled, work(), what="the work", field="work")
    assert ended


def test_what_comes_of_it_and_what_it_raises() -> None:
    async def answer(found: int) -> int:
        if found < 0:
            raise ValueError(found)
        return found

    assert until(None, answer(7), what="the work", field="work") == 7
    with pytest.raises(ValueError, match="-1"):
        until(None, answer(-1), what="the work", field="work")
