"""One call to upstreams: way after way, attempt after attempt, until one has begun to answer well.

Called by complete.py. Decides nothing that is not in choose.py, retry.py and health.py; it does their I/O. Before the
first byte of an answer another attempt costs the caller only time: so of a stream the first event is held until it is
seen that it is no error. After that byte there is no way back. What could not be reached is told in the caller's terms.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import msgspec

from headrace.compute.line import Headers
from headrace.compute.upstream import Unreached
from headrace.gateway.attempts import GIVEN_UP, OK, WORDS, over
from headrace.gateway.board import Lane, Version
from headrace.gateway.choose import Ready, opens_in, order
from headrace.gateway.course import Course
from headrace.gateway.crossing import Crossing, counted_here, crossing
from headrace.gateway.dialects.base import Asked, Dialect, Told
from headrace.gateway.native import Native, Reply, Speech, failure_of
from headrace.gateway.providers.base import Target
from headrace.gateway.retry import pause
from headrace.types.errors import HeadraceError, Overloaded, TimedOut, UpstreamError
from headrace.types.gateway import Attempt, Failure

ANSWER_BYTES = 64 << 20
ERROR_BYTES = 1 << 20
STREAM = b"text/event-stream"
JSON = (b"content-type", b"application/json")
_SECONDS = re.compile(r"\d{1,6}(\.\d+)?")


class Passage(msgspec.Struct, kw_only=True, eq=False):
    """One call under way, as the parts of the gateway hand it on. `ends`: by the steady clock."""

    dialect: Dialect
    asked: Asked
    tail: str
    forwarded: Headers
    lane: Lane
    version: Version
    key: str  # of affinity
    began: float
    ends: float
    steady: Callable[[], float]
    beside: bool = False  # for a shadow: a model of our own spares its callers
    attempts: int = 0
    waited: float = 0.0  # seconds for upstreams, before the first byte
    tried: list[Missed] = []
    attempted: list[Attempt] = []  # empty: one attempt, which answered, or none yet
    speech: Speech | None = None  # of a model of our own: what it tells of itself

    def note(self, ready: Ready, began: float, got: Got | Missed | None) -> None:
        """An attempt that is not the only one, or that came to nothing."""
        missed = got if isinstance(got, Missed) else None
        ms, streamed = round((self.steady() - began) * 1000, 3), isinstance(got, Streamed)
        attempt = Attempt(
            provider=ready.way.provider,
            model=ready.way.model,
            at_ms=round((began - self.began) * 1000, 3),
            ms=ms,
            outcome=GIVEN_UP if got is None else missed.failure.value if missed else OK,
            status=0 if got is None else got.status,
            first_ms=ms if streamed else 0.0,
            error=missed.message[:WORDS] if missed else "",
        )
        self.attempted.append(attempt)


class Missed(msgspec.Struct, kw_only=True, eq=False):
    """An attempt that did not get an answer. With a `status`, what the upstream said instead."""

    ready: Ready
    failure: Failure
    message: str
    status: int = 0
    headers: Headers = []
    body: bytes = b""
    crossed: bool = False  # it was said in another form than the caller speaks
    error: HeadraceError | None = None

    @property
    def locked_out(self) -> bool:
        """The upstream does not take our key, or our account there is empty. It is no answer to a caller, whose own key
        it says nothing about. A 404 is: clients ask for what is not there."""
        return self.failure is Failure.AUTH and self.status not in (0, 404)


class Whole(msgspec.Struct, kw_only=True, eq=False):
    """A whole answer, in the caller's form."""

    ready: Ready
    status: int
    headers: Headers
    body: bytes
    told: Told
    lost: tuple[str, ...] = ()


class Streamed(msgspec.Struct, kw_only=True, eq=False):
    """A stream that has begun well. `begun`: what the caller may see of it so far."""

    ready: Ready
    status: int
    headers: Headers
    answer: Reply
    course: Course
    begun: bytes
    passage: Passage
    lost: tuple[str, ...] = ()

    def cut(self) -> UpstreamError:
        return UpstreamError(f"provider {self.ready.station.name!r} ended its stream in the middle")

    def close(self, failed: HeadraceError | None = None, *, left: bool = True) -> None:
        """However it ended; `left`: by who listened. Unless it was read to its end, the upstream's work ends too. What
        it had made by then was made for this call, whether or not anybody heard it."""
        if left and (rest := self.answer.unread()):
            with suppress(HeadraceError):
                self.course.feed(rest)
        self.answer.close()
        health, told = self.ready.health, self.course.told
        outcome = GIVEN_UP if left else _outcome(told, failed)
        health.end(outcome)
        why = told.message or (failed.message if failed else "")
        if (passage := self.passage).attempted:
            over(passage.attempted, self.ready, outcome, now_ms=(passage.steady() - passage.began) * 1000, why=why)
        if outcome == OK:
            health.succeeded()
        elif outcome != GIVEN_UP:
            health.failed(why, self.passage.version.chat.breaker, self.passage.steady())


Got = Whole | Streamed


def reach(passage: Passage, draw: Callable[[], float] = random.random) -> Coroutine[Any, Any, Got | Missed]:
    """The first answer that is one; else the last that was none. Raises Overloaded when nobody may be asked now."""
    version = passage.version
    if len(version.ways) == 1 and version.ways[0].health.available(passage.steady()):
        passage.lane.budget.called(version.chat.retries.budget)
        return _persist(passage, version.ways[0], draw)
    return _reach(passage, draw)


async def _reach(passage: Passage, draw: Callable[[], float]) -> Got | Missed:
    lane, version, chat, now = passage.lane, passage.version, passage.version.chat, passage.steady()
    ways = order(version.ways, chat, key=passage.key, now=now, draw=draw)
    if not ways:
        raise Overloaded(
            f"every upstream of {lane.endpoint.name!r} is left alone for now: {_why(version)}",
            hint="GET /health names them",
            retry_after=opens_in(version.ways, now),
        )
    lane.budget.called(chat.retries.budget)
    if chat.hedge_ms and len(ways) > 1:
        got = await _race(passage, ways[:2], draw)
        if not isinstance(got, Missed) or got.failure not in chat.fall_back_on:
            return got
        ways = ways[2:]
    for ready in ways:
        got = await _persist(passage, ready, draw)
        if not isinstance(got, Missed):
            return got
        if got.failure not in chat.fall_back_on or passage.steady() >= passage.ends:
            break
    return passage.tried[-1]


async def _race(passage: Passage, ways: list[Ready], draw: Callable[[], float]) -> Got | Missed:
    """The second way is asked too when the first has not begun to answer in time; who begins first, answers. It costs a
    call more, so it comes out of the budget of retries."""
    first = asyncio.create_task(_persist(passage, ways[0], draw))
    racing = {first}
    try:
        await asyncio.wait(racing, timeout=passage.version.chat.hedge_ms / 1000)
        if first.done() and not isinstance(first.result(), Missed):
            racing.discard(first)
            return first.result()
        if first.done() or passage.lane.budget.take():
            racing.add(asyncio.create_task(_persist(passage, ways[1], draw)))
        waiting = set(racing)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if not isinstance(got := each.result(), Missed):
                    racing.discard(each)
                    return got
    finally:
        await _call_off(racing)
    return passage.tried[-1]


async def _call_off(racing: set[asyncio.Task[Got | Missed]]) -> None:
    """The others are not needed; one that had begun as well is closed."""
    for each in racing:
        each.cancel()
    for got in await asyncio.gather(*racing, return_exceptions=True):
        if isinstance(got, Streamed):
            got.close()


async def _persist(passage: Passage, ready: Ready, draw: Callable[[], float]) -> Got | Missed:
    """On one way, whose health knows how each attempt went. A caller who hangs up says nothing about it."""
    health, steady, made = ready.health, passage.steady, 0
    while True:
        made += 1
        passage.attempts += 1
        began = steady()
        health.begin(began)
        got: Got | Missed | None = None
        try:
            got = await _ask(passage, ready)
        finally:
            now = steady()
            passage.waited += now - began
            if got is None:
                passage.note(ready, began, got)
                health.end(GIVEN_UP)
            elif not isinstance(got, Streamed):  # that one goes on, and says so when it is over
                health.end(got.failure.value if isinstance(got, Missed) else OK)
        if not isinstance(got, Missed):
            if passage.attempts > 1:
                passage.note(ready, began, got)
            health.answered(now - began, now)
            if health.row and isinstance(got, Whole):
                health.succeeded()
            return got
        passage.note(ready, began, got)
        passage.tried.append(got)
        seconds = _again_in(passage, ready, got, made, draw)
        if seconds < 0 or now + seconds >= passage.ends or not passage.lane.budget.take():
            return got
        if seconds:
            await asyncio.sleep(seconds)


def _again_in(passage: Passage, ready: Ready, missed: Missed, made: int, draw: Callable[[], float]) -> float:
    """Seconds; negative: not on this way."""
    chat, wait = passage.version.chat, _retry_after(missed.headers)
    if missed.failure not in (Failure.CALLER, Failure.CONTEXT, Failure.CONTENT):
        why = f"the gateway's key was refused (status {missed.status})" if missed.locked_out else missed.message
        ready.health.failed(why, chat.breaker, passage.steady(), retry_after=wait)
        ready.health.key_refused = missed.locked_out
    return pause(chat.retries, missed.failure, made, retry_after=wait, draw=draw)


async def _ask(passage: Passage, ready: Ready) -> Got | Missed:
    asked, dialect, station = passage.asked, passage.dialect, ready.station
    wire = dialect.wire
    cross: Crossing | None = None
    if wire not in station.speaks:
        if (counted := counted_here(wire, station.speaks, asked)) is not None:
            return Whole(ready=ready, status=200, headers=[JSON], body=counted, told=dialect.answered(counted))
        cross = crossing(wire, station.speaks, asked, version=station.provider.api_version)
        wire = cross.theirs.wire
    target = Target(wire, ready.way.model, passage.tail, asked.stream)
    body = cross.request(ready.way.model) if cross else dialect.body(asked, ready.way.model, usage=True)
    answer: Reply | None = None
    got: Got | Missed | None = None
    try:
        seconds = passage.ends - passage.steady()
        if isinstance(station, Native):
            answer = await _spoken(passage, station, target, body, seconds)
        else:
            answer = await station.ask(target, passage.forwarded, body, seconds=seconds)
        if not 200 <= answer.status < 300:
            got = await _refused(passage, ready, answer, cross)
        elif asked.stream and _media(answer.headers) == STREAM:
            got = await _first(passage, ready, answer, cross)
        else:
            got = await _whole(passage, ready, answer, cross)
    except Unreached as error:
        got = Missed(ready=ready, failure=Failure.CONNECT, message=error.message, error=error)
    except TimedOut as error:
        got = Missed(ready=ready, failure=Failure.TIMEOUT, message=error.message, error=error)
    except HeadraceError as error:
        got = Missed(ready=ready, failure=failure_of(error), message=error.message, error=error)
    finally:
        if answer is not None and not isinstance(got, Streamed):  # that one is closed by who relays it
            answer.close()
    return got


async def _spoken(passage: Passage, station: Native, target: Target, body: bytes, seconds: float) -> Reply:
    """By a model of our own."""
    speech = passage.speech = station.begin(target.model, body, seconds=seconds, beside=passage.beside)
    try:
        return await station.answer(speech, passage.asked, target.model)
    except BaseException:  # also a caller that went away: the answer that has begun is still to be closed
        speech.close()
        raise


async def _refused(passage: Passage, ready: Ready, answer: Reply, cross: Crossing | None) -> Missed:
    body = await answer.whole(ERROR_BYTES)
    theirs = cross.theirs if cross else passage.dialect
    failure, message = theirs.failure(answer.status, body)
    return Missed(
        ready=ready,
        failure=failure,
        message=message,
        status=answer.status,
        headers=answer.headers,
        body=body,
        crossed=cross is not None,
    )


async def _whole(passage: Passage, ready: Ready, answer: Reply, cross: Crossing | None) -> Whole | Missed:
    body = await answer.whole(ANSWER_BYTES)
    told = (cross.theirs if cross else passage.dialect).answered(body)
    if told.failure is not None:
        return Missed(ready=ready, failure=told.failure, message=told.message or "its answer cannot be read")
    return Whole(
        ready=ready,
        status=answer.status,
        headers=answer.headers,
        body=cross.answer(body) if cross else body,
        told=told,
        lost=_lost(passage, cross) if cross or passage.speech else (),
    )


async def _first(passage: Passage, ready: Ready, answer: Reply, cross: Crossing | None) -> Streamed | Missed:
    """Hold it until its first event says that it is no error."""
    course = Course(cross.theirs if cross else passage.dialect, passage.asked, cross)
    begun = b""
    while not course.seen:
        piece = await answer.piece()
        begun += course.feed(piece) if piece else course.rest()
        if not piece:
            break
    if (told := course.told).failure is not None:
        return Missed(ready=ready, failure=told.failure, message=told.message)
    if not course.seen:
        return Missed(
            ready=ready, failure=Failure.BROKEN, message=f"provider {ready.station.name!r} sent an empty stream"
        )
    return Streamed(
        ready=ready,
        status=answer.status,
        headers=answer.headers,
        answer=answer,
        course=course,
        begun=begun,
        passage=passage,
        lost=_lost(passage, cross),
    )


def _lost(passage: Passage, cross: Crossing | None) -> tuple[str, ...]:
    """What of the request nobody obeyed."""
    lost = cross.lost if cross else ()
    return lost if passage.speech is None else lost + passage.speech.ignored


def _outcome(told: Told, failed: HeadraceError | None) -> str:
    """Of a stream. What a guard stops is no failure of the upstream."""
    if told.failure is not None:
        return told.failure.value
    if isinstance(failed, TimedOut):
        return Failure.TIMEOUT.value
    return Failure.BROKEN.value if isinstance(failed, UpstreamError) else OK


def _media(headers: Headers) -> bytes:
    return next((value.partition(b";")[0].strip().lower() for name, value in headers if name == b"content-type"), b"")


def _retry_after(headers: Headers) -> float:
    """Seconds; 0 when nothing is said. A date is not believed: clocks differ."""
    for name, value in headers:
        text = value.decode("latin-1").strip()
        if name == b"retry-after-ms" and _SECONDS.fullmatch(text):
            return float(text) / 1000
        if name == b"retry-after" and _SECONDS.fullmatch(text):
            return float(text)
    return 0.0


def _why(version: Version) -> str:
    return "; ".join(
        f"{ready.way.provider}/{ready.way.model}: {ready.health.failed_last or 'on trial'}" for ready in version.ways
    )
