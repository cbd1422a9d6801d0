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


async def relay(
    streamed: Streamed, sink: Sink, dialect: Dialect, heard: bytearray | None = None
) -> HeadraceError | None:
    """The head is written. What went wrong on the way, after the caller was told. `heard` takes what they get."""
    answer, course = streamed.answer, streamed.course
    failed: HeadraceError | None = None
    try:
        shown = streamed.begun
        while True:
            if heard is not None:
                heard += shown
            await sink.write(shown)
            piece = await answer.piece()
            if not piece:
                break
            shown = course.feed(piece)
        rest = course.rest()
        if heard is not None:
            heard += rest
        await sink.write(rest)
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
