"""The journal's way into MLflow: calls as traces, feedback as assessments.

Called by the control plane's mirror loop: `turn`. Decides which calls MLflow gets:

    a sample            the same calls whoever asks, and however often: a hash of the trace id decides
    chats, programs     a sample of their own (usually all): conversations are sampled whole
    less when many      a smaller share of both while more would come in a second than MLflow is to take
    all errors          failed, timed out, shed; a request refused as the caller's fault is sampled like any other
    nothing of nobody   shadows and the questions of gates
    all with feedback   also when the feedback comes long after the call was left out: then the call goes first

Nothing is lost and nothing is kept here: the cursor moves, and feedback counts as sent, after MLflow has it. While
MLflow is away `turn` raises, the journal holds the rest, and the loop tries again. What is sent twice after a crash
MLflow keeps once (see store/traces.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

import msgspec

from headrace.base.clock import Clock
from headrace.base.log import fields
from headrace.monitor.live import ERRORS
from headrace.store import cursors, feedbacks
from headrace.store.db import Database
from headrace.store.journal.reader import Reader
from headrace.store.journal.records import CALLS, CallRow, SpentRow, call_of, text_of
from headrace.types.call import Call, Feedback
from headrace.types.errors import NotFound, UpstreamError
from headrace.types.journal import Position

CONSUMER: Final = "mirror"
FEW, MANY = 100, 500  # calls in one request: cheap per call from FEW on; at MANY reading stops until they are sent
LINGER_SECONDS = 2.0  # how long a call may wait for FEW to come together
READ_LIMIT = 2000
READS = 10  # in one turn
FEEDBACKS = 200  # in one turn
SAVE_SECONDS = 10.0  # a cursor that only passed calls that are not sent is kept this often
FADE = 0.9  # of the rate that shares are made small for, in a second: so that a conversation stays whole
TRIES = 20  # of feedback that MLflow refuses although it answers; then it is given up, counted and logged
_DENOMINATOR: Final = float(1 << 64)

log = logging.getLogger("headrace.monitor.mirror")


class Sink(Protocol):
    """What this needs of store.traces.TraceSink."""

    def send(self, calls: Sequence[Call]) -> tuple[str, ...]: ...
    def assess(self, feedback: Feedback) -> None: ...
    def has(self, trace_id: str) -> bool: ...


class Calls(Protocol):
    """What this needs of store.journal.query.JournalQuery."""

    def call(self, trace_id: str) -> Call | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Shares from 0 to 1, and how many of both go in a second."""

    predictions: float
    chats: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorState:
    """Since this process started. `behind_seconds`: age of the oldest call that MLflow should have and has not."""

    traces: int = 0  # sent
    assessments: int = 0  # sent
    waiting: int = 0  # calls read and not sent, and feedback not sent
    refused: int = 0  # calls and feedback that MLflow will never take, or whose call is not in the journal any more
    failures: int = 0  # turns that MLflow did not let succeed
    behind_seconds: float = 0.0


class Mirror:
    def __init__(
        self,
        *,
        sink: Sink,
        database: Database,
        folder: Path,
        calls: Calls,
        clock: Clock,
        sampling: Sampling,
    ) -> None:
        self.state = MirrorState()
        self._sink, self._database, self._folder, self._calls = sink, database, folder, calls
        self._clock, self._sampling = clock, sampling
        self._pace = Pace(sampling.most)
        self._reader: Reader | None = None
        self._saved = Position()
        self._saved_at = 0.0
        self._pending: list[Call] = []
        self._since = 0.0  # when the first of them was read
        self._tries: dict[str, int] = {}

    def turn(self) -> bool:
        """True when there is more to do at once. Raises UpstreamError while MLflow is away."""
        more = self._gather()
        try:
            if self._due():
                self._send(self._pending)
                self._pending = []
            if not self._pending:
                self._save()
            more = self._send_feedback() or more
        except UpstreamError:
            self.state = replace(self.state, failures=self.state.failures + 1)
            raise
        finally:
            self._measure()
        return more

    # calls

    def _gather(self) -> bool:
        reader = self._reader or self._open()
        for _ in range(READS):
            if len(self._pending) >= MANY:
                return True
            rows = reader.rows(limit=READ_LIMIT)
            chosen = list(self._chosen(row.call for row in rows if row.call is not None))
            if chosen and not self._pending:
                self._since = self._clock.steady()
            self._pending += chosen
            if len(rows) < READ_LIMIT:
                return False
        return True

    def _chosen(self, rows: Iterable[CallRow]) -> Iterator[Call]:
        """Only of these are input and output parsed."""
        for row in rows:
            try:
                if self._wants(row):
                    yield call_of(row)
            except msgspec.DecodeError as error:
                log.warning("a call is not of this version", extra=fields(trace_id=row.trace_id, why=str(error)))
                self.state = replace(self.state, refused=self.state.refused + 1)

    def _wants(self, call: CallRow) -> bool:
        if not call.from_user:
            return False
        if call.status in ERRORS:
            return True
        what, share = call.trace_id, self._sampling.predictions
        if (spent := text_of(call.spent)) is not None:
            what, share = msgspec.json.decode(spent, type=SpentRow).conversation or what, self._sampling.chats
        return sampled(what, share) and sampled(what, share * self._pace.factor(call.time))

    def _open(self) -> Reader:
        with self._database.read() as conn:
            self._saved = cursors.get(conn, CONSUMER) or Position()
        self._reader = Reader(self._folder, self._saved, begins=CALLS)
        return self._reader

    def _due(self) -> bool:
        waited = self._clock.steady() - self._since
        return len(self._pending) >= FEW or (bool(self._pending) and waited >= LINGER_SECONDS)

    def _send(self, calls: Sequence[Call]) -> None:
        refused = self._sink.send(calls)
        sent = len(calls) - len(refused)
        self.state = replace(self.state, traces=self.state.traces + sent, refused=self.state.refused + len(refused))
        self._saved_at = 0.0  # what was sent is worth a transaction: it would be sent again

    def _save(self) -> None:
        """Everything up to the reader's position is with MLflow, or is not meant for it."""
        assert self._reader is not None  # opened by _gather
        position, now = self._reader.position, self._clock.steady()
        if position == self._saved or (self._saved_at and now - self._saved_at < SAVE_SECONDS):
            return
        with self._database.write() as conn:
            cursors.put(conn, CONSUMER, position)
        self._saved, self._saved_at = position, now

    # feedback

    def _send_feedback(self) -> bool:
        with self._database.read() as conn:
            found = feedbacks.unsent(conn, limit=FEEDBACKS)
        if not found:
            return False
        done: list[Feedback] = []
        try:
            orphans = self._assess(found, done)
            if orphans:
                self._bring({feedback.trace_id for feedback in orphans})
                for feedback in self._assess(orphans, done):
                    self._give_up(feedback, "its call is not in the journal any more", done)
        finally:
            self._mark(done)
        return len(found) >= FEEDBACKS and bool(done)

    def _assess(self, found: Sequence[Feedback], done: list[Feedback]) -> list[Feedback]:
        """Send; answers with those whose trace MLflow has not."""
        orphans = []
        for feedback in found:
            try:
                self._sink.assess(feedback)
            except NotFound:
                orphans.append(feedback)
            except UpstreamError as error:
                self._refused(feedback, error, done)
            else:
                done.append(feedback)
                self._tries.pop(feedback.id, None)
                self.state = replace(self.state, assessments=self.state.assessments + 1)
        return orphans

    def _bring(self, trace_ids: set[str]) -> None:
        found = [call for trace_id in sorted(trace_ids) if (call := self._calls.call(trace_id)) is not None]
        if found:
            self._send(found)

    def _refused(self, feedback: Feedback, error: UpstreamError, done: list[Feedback]) -> None:
        """Is MLflow away, or does it not like this one? `has` raises if it is away."""
        self._sink.has(feedback.trace_id)
        self._tries[feedback.id] = self._tries.get(feedback.id, 0) + 1
        if self._tries[feedback.id] >= TRIES:
            self._give_up(feedback, error.message, done)

    def _give_up(self, feedback: Feedback, reason: str, done: list[Feedback]) -> None:
        log.error(
            "feedback does not reach MLflow",
            extra=fields(trace_id=feedback.trace_id, feedback=feedback.id, name=feedback.name, reason=reason),
        )
        self._tries.pop(feedback.id, None)
        done.append(feedback)
        self.state = replace(self.state, refused=self.state.refused + 1)

    def _mark(self, done: Sequence[Feedback]) -> None:
        """As sent. What was changed while it was on its way goes again."""
        if done:
            with self._database.write() as conn:
                feedbacks.mark_sent(conn, done, self._clock.now())

    def _measure(self) -> None:
        with self._database.read() as conn:
            feedback = len(feedbacks.unsent(conn, limit=10 * FEEDBACKS))
        behind = max(0.0, self._clock.now() - min(call.time for call in self._pending)) if self._pending else 0.0
        self.state = replace(self.state, waiting=len(self._pending) + feedback, behind_seconds=behind)


class Pace:
    """Keeps what is sampled near `most` a second: MLflow takes some milliseconds of a processor for each."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._second, self._came, self._rate = 0, 0, 0.0

    def factor(self, time: float) -> float:
        """Of the share, for a call of this time (seconds since the epoch) that the sample has taken: 1 while few come.
        By the busiest of this second, the last one and, fading, those before."""
        second = int(time)
        if second > self._second:
            self._rate = max(self._came, self._rate) * FADE ** (second - self._second)
            self._second, self._came = second, 0
        self._came += 1
        return self._most / max(self._rate, self._came, self._most)


def sampled(what: str, share: float) -> bool:
    """The same answer for the same id, in every process and at every time; a larger share keeps all of a smaller."""
    return int.from_bytes(blake2b(what.encode(), digest_size=8).digest()) / _DENOMINATOR < share
