"""Items made in a thread while the one before is used. Called where both take time: a large export.

Decides that few are made ahead, so that memory stays bounded when the one who takes them is slow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 2


def ahead(items: Iterator[Item], depth: int = DEPTH) -> Generator[Item]:
    """None is no item. What making one raises is raised when its turn comes. Closed early, no more is begun; nobody
    waits for the one that is being made: it may be the collector of garbage, in this very thread, that closes us."""
    maker = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        coming = deque(maker.submit(next, items, None) for _ in range(depth))
        while (item := coming.popleft().result()) is not None:
            coming.append(maker.submit(next, items, None))
            yield item
    finally:
        maker.shutdown(wait=False, cancel_futures=True)
