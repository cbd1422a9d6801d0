"""Work of an event loop, for a caller in a thread who may want it ended.

Called by compile.py and examine.py. Decides that it is cancelled once: a second time would cut short how it ends the
processes that it has begun.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from headrace.types.errors import Conflict

LOOK_SECONDS = 0.2

Found = TypeVar("Found")


def until(cancelled: threading.Event | None, work: Coroutine[Any, Any, Found], *, what: str, field: str) -> Found:
    """What comes of `work`. Raises Conflict when it was cancelled, and what it raises."""

    async def watched() -> Found:
        task = asyncio.create_task(work)
        while not task.done():
            await asyncio.wait((task,), timeout=LOOK_SECONDS)
            if cancelled is not None and cancelled.is_set():
                task.cancel()
                break
        return await task

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        raise Conflict(f"{what} was cancelled", field=field) from None
