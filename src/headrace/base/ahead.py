"""Items made in a thread while the one before is used. Called where both take time: a large export.

Decides that few are made ahead, so that memory stays bounded when the one who takes them is slow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 2


def ahead(items: Iterator[Item], depth: int = DEPTH) -> Iterator[Item]:
    """None is no item. What making one raises is raised when its turn comes; left early, nothing more is made."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as maker:
        coming = deque(maker.submit(next, items, None) for _ in range(depth))
        try:
            while (item := coming.popleft().result()) is not None:
                coming.append(maker.submit(next, items, None))
                yield item
        finally:
            for one in coming:
                one.cancel()
