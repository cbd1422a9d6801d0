"""A stream that has begun well, to its end: as the upstream sends it, in the caller's pace.

Called by complete.py. Decides what happens when it does not end well: the caller gets an error event in its own form,
and the answer ends as HTTP ends, so that no client waits. Who hangs up ends the upstream's work with it.
"""

from __future__ import annotations

from typing import Protocol

from headrace.compute.line import Headers
from headrace.gateway.dialects.base import Dialect
from headrace.gateway.reach import Streamed
from headrace.types.errors import HeadraceError, TimedOut, UpstreamError


class Sink(Protocol):
    """The caller's side: an exchange of the edge."""

    def begin(self, status: int, headers: Headers) -> None: ...

    async def write(self, chunk: bytes) -> None: ...

    def end(self) -> None: ...


async def relay(streamed: Streamed, sink: Sink, dialect: Dialect) -> HeadraceError | None:
    """The head is written. What went wrong on the way, after the caller was told."""
    answer, course = streamed.answer, streamed.course
    failed: HeadraceError | None = None
    try:
        await sink.write(streamed.begun)
        while piece := await answer.piece():
            await sink.write(course.feed(piece))
        await sink.write(course.rest())
        if not course.told.ended:
            failed = UpstreamError(f"provider {streamed.ready.station.name!r} ended its stream in the middle")
            await sink.write(dialect.error_event(failed))
    except (UpstreamError, TimedOut) as error:
        failed = error
        await sink.write(dialect.error_event(error))
    finally:
        answer.close()
    sink.end()
    if failed is None and course.told.failure is not None:  # told by the upstream itself, and passed on
        failed = UpstreamError(course.told.message or "an error inside the stream")
    return failed
