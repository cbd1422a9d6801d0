"""A stream that has begun well, to its end: as the upstream sends it, in the caller's pace.

Called by complete.py. Decides what happens when it does not end well: the caller gets an error event in its own form,
and the answer ends as HTTP ends, so that no client waits. Who hangs up ends the upstream's work with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from headrace.compute.line import Flow, Headers
from headrace.gateway.course import Course
from headrace.gateway.dialects.base import Dialect
from headrace.gateway.guard import GuardedStream
from headrace.gateway.reach import Streamed
from headrace.types.errors import Blocked, HeadraceError, ModelFailed, UpstreamError

HELD_BYTES = 16 << 20  # of a stream that is judged before it is shown


class Sink(Protocol):
    """The caller's side: an exchange of the edge."""

    def begin(self, status: int, headers: Headers, lines: bytes = b"") -> None:
        """`lines`: more headers, as they are written."""
        ...

    def put(self, chunk: bytes) -> bool:
        """False: the caller has enough for now, until `drained`."""
        ...

    async def drained(self) -> None: ...

    async def write(self, chunk: bytes) -> None:
        """Both."""
        ...

    def end(self) -> None: ...


@dataclass(slots=True)
class Ears:
    """Between the upstream's stream and the caller: guards, and a copy for the cache. With `judged`, which raises when
    it must not pass, nothing is let go before the end."""

    guarded: GuardedStream | None = None
    heard: bytearray | None = None
    judged: Callable[[], Awaitable[None]] | None = None
    held: bytearray = field(default_factory=bytearray)

    @property
    def deaf(self) -> bool:
        """All passes as it comes."""
        return self.guarded is None and self.heard is None and self.judged is None

    def pass_on(self, shown: bytes) -> bytes:
        seen = shown if self.guarded is None else self.guarded.feed(shown)
        return self._kept(seen) if self.judged is None else self._held(seen)

    async def rest(self) -> bytes:
        """At its end. Raises Blocked, ModelFailed, Unavailable."""
        last = b"" if self.guarded is None else self.guarded.close()
        if self.judged is not None:
            await self.judged()
        return self._kept(bytes(self.held) + last)

    def _held(self, seen: bytes) -> bytes:
        self.held += seen
        if len(self.held) > HELD_BYTES:
            raise Blocked("it is too long to be judged", field="answer")
        return b""

    def _kept(self, shown: bytes) -> bytes:
        if self.heard is not None:
            self.heard += shown
        return shown


async def relay(streamed: Streamed, sink: Sink, dialect: Dialect, ears: Ears) -> HeadraceError | None:
    """The head is written. What went wrong on the way, after the caller was told."""
    answer, course, told = streamed.answer, streamed.course, streamed.course.told
    failed: HeadraceError | None = None
    left = True
    try:
        await sink.write(ears.pass_on(streamed.begun))
        passing = _passing(course, ears, sink)
        while await answer.flow(passing):
            await sink.drained()
        await sink.write(ears.pass_on(course.rest()))
        if told.ended:
            await sink.write(await ears.rest())
        else:
            failed = streamed.cut()
        left = False
    except Blocked as error:
        failed, left = ModelFailed(f"the answer was stopped by a guard: {error.message}"), False
    except HeadraceError as error:
        failed, left = error, False
    finally:
        streamed.close(failed, left=left)
    heard = told.failure is not None and ears.judged is None  # said by the upstream itself, and passed on
    if failed is not None and not heard:
        await sink.write(dialect.error_event(failed))
    sink.end()
    if told.failure is not None:
        failed = UpstreamError(told.message or "an error inside the stream")
    return failed


def _passing(course: Course, ears: Ears, sink: Sink) -> Flow:
    """From an upstream's bytes to the caller's, in one go."""
    feed, put, pass_on = course.feed, sink.put, ears.pass_on

    def plainly(piece: bytes) -> bool:
        return put(shown) if (shown := feed(piece)) else True

    def heard(piece: bytes) -> bool:
        return put(shown) if (shown := pass_on(feed(piece))) else True

    return plainly if ears.deaf else heard
