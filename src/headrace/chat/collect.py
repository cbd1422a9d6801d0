"""Ratings of the chat application become feedback: on the right trace, once, also when they change or go.

Called by the control plane's chat loop: `turn`, twice a second; `ring` when the application says that somebody rated.
Reads the ratings that are new or changed since the last time, finds the trace of the answer by the message id that the
gateway put into the journal, and says it to the data plane as any application would (POST /feedback), so that it is
evidence, an MLflow assessment and training data like all other feedback.

The bell is for speed; what it misses the next look finds, a minute later at most. A rating is done when the data plane
has it on disk and its row is kept; killed between the two, it is said again, which changes nothing. One whose answer is
not in the journal (yet) is tried again while it is young, then let go and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from headrace.base.clock import Clock
from headrace.base.log import fields
from headrace.chat.place import Connection
from headrace.chat.ratings import NO_WORDS, Rating, body_of, names_of, read, taken_back, words_of
from headrace.store import chats, cursors
from headrace.store.db import Database
from headrace.store.journal.reader import Reader
from headrace.store.journal.records import SPENT
from headrace.types.call import Call
from headrace.types.chat import Heard
from headrace.types.errors import CallerError, UpstreamError
from headrace.types.journal import Position

CONSUMER: Final = "chat"
EVERY_SECONDS = 60.0  # without a bell
SETTLED_SECONDS = 2.0  # its times are whole seconds: a second change within one would not be seen
YOUNG_SECONDS = 3600.0  # that a rating may be older than the journal knows its answer
READ_LIMIT = 5000
SAVE_SECONDS = 10.0
EVENT = Path(__file__).with_name("event.py")

log = logging.getLogger("headrace.chat.collect")


class Application(Protocol):
    """What this needs of chat.webui.WebUi."""

    def rated(self) -> dict[str, float]: ...
    def rating(self, feedback_id: str) -> dict[str, Any] | None: ...
    def people(self) -> dict[str, str]: ...
    def function(self) -> dict[str, Any] | None: ...
    def put_function(self, source: str, *, old: dict[str, Any] | None) -> None: ...
    def open_sign_up(self) -> None: ...
    def connect(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatState:
    """Since this process started. `connected`: the application answered the last time it was asked."""

    url: str = ""
    connected: bool = False
    passed_on: int = 0  # words new, changed or taken back
    waiting: int = 0  # ratings whose answer is not in the journal yet
    refused: int = 0  # that the data plane does not take, or whose answer is not there
    looked: float = 0.0
    error: str = ""  # why it is not connected


class ChatRatings:
    """`connection`: the chat application as it is now, None without one. `say`: POST /feedback; raises CallerError for
    what will never be taken, UpstreamError while nobody answers."""

    def __init__(
        self,
        *,
        connection: Callable[[], Connection | None],
        reach: Callable[[Connection], Application],
        say: Callable[[dict[str, Any]], None],
        database: Database,
        folder: Path,
        clock: Clock,
        retention_seconds: float,
    ) -> None:
        self._retention = retention_seconds
        self.state = ChatState()
        self._connection, self._reach, self._say = connection, reach, say
        self._database, self._folder, self._clock = database, folder, clock
        self._reader: Reader | None = None
        self._saved, self._saved_at = Position(), 0.0
        self._known: Connection | None = None
        self._app: Application | None = None
        self._ready = False  # the function is there
        self._left = False
        self._people: dict[str, str] = {}
        self._next = 0.0

    def ring(self) -> None:
        """Somebody rated: look at the next turn."""
        self._next = 0.0

    def turn(self) -> bool:
        """True when there is more of the journal to read at once."""
        connection = self._connection()
        if connection is None or not connection.url:
            self._leave()
            return False
        if connection != self._known:
            self._known, self._app, self._ready, self._left = connection, self._reach(connection), False, False
            self.state = replace(self.state, url=connection.url)
        if self._follow_journal():
            return True
        if self._clock.steady() >= self._next and self._app is not None:
            self._look(self._app)
        return False

    def _leave(self) -> None:
        """There is no chat application (any more): the journal keeps nothing for it."""
        if self._left:
            return
        with self._database.write() as conn:
            cursors.remove(conn, CONSUMER)
        self._known, self._reader, self._left = None, None, True
        self.state = replace(self.state, url="", connected=False)

    # the journal: which answer is which trace

    def _follow_journal(self) -> bool:
        reader = self._reader or self._open()
        records = reader.read(limit=READ_LIMIT)
        answers = [answer for record in records if isinstance(record, Call) and (answer := _answer(record))]
        now = self._clock.steady()
        if answers or (reader.position != self._saved and now - self._saved_at >= SAVE_SECONDS):
            self._reader = None  # until the transaction has ended well
            with self._database.write() as conn:
                chats.put_answers(conn, answers)
                cursors.put(conn, CONSUMER, reader.position)
            self._reader, self._saved, self._saved_at = reader, reader.position, now
        return len(records) >= READ_LIMIT

    def _open(self) -> Reader:
        with self._database.read() as conn:
            self._saved = cursors.get(conn, CONSUMER) or Position()
        self._reader = Reader(self._folder, self._saved, holds=SPENT)
        return self._reader

    # the application: what was rated

    def _look(self, app: Application) -> None:
        self._next = self._clock.steady() + EVERY_SECONDS
        try:
            self._prepare(app)
            there = app.rated()
        except UpstreamError as error:  # it is stopped now and then, and that is nobody's fault; shown, and told once
            if error.message != self.state.error:
                log.info("the chat application is away", extra=fields(why=error.message))
            self.state = replace(self.state, connected=False, error=error.message)
            return
        self.state = replace(self.state, connected=True, error="", looked=self._clock.now(), waiting=0)
        with self._database.read() as conn:
            heard = {row.id: row for row in chats.heard(conn)}
        for feedback_id, updated in there.items():
            known = heard.get(feedback_id)
            if known is None or known.updated < updated:
                self._one(app, feedback_id, known)
        for gone in heard.keys() - there.keys():
            self._gone(heard[gone])
        with self._database.write() as conn:
            chats.forget_answers(conn, self._clock.now() - self._retention)

    def _prepare(self, app: Application) -> None:
        """Its function rings the bell. Once per connection: removed on purpose, it comes back with the next start."""
        if self._ready:
            return
        app.connect()
        source = EVENT.read_text()
        old = app.function()
        if old is None:
            app.open_sign_up()
        if old is None or old.get("content") != source or not old.get("is_active"):
            app.put_function(source, old=old)
        self._ready = True

    def _one(self, app: Application, feedback_id: str, known: Heard | None) -> None:
        row = app.rating(feedback_id)
        if row is None:
            return
        if row["user_id"] not in self._people:
            self._people = app.people()
        rating = read(row, self._people)
        with self._database.read() as conn:
            trace_id = chats.trace_of(conn, rating.message) if rating.message else ""
        young = self._clock.now() - rating.updated < YOUNG_SECONDS
        if rating.message and not trace_id and young:
            self._next = min(self._next, self._clock.steady() + SETTLED_SECONDS)
            self.state = replace(self.state, waiting=self.state.waiting + 1)
            return
        now = self._pass_on(rating, trace_id, known) if trace_id else Heard(id=rating.id, updated=rating.updated)
        if rating.message and not trace_id:
            self._refuse(rating, "its answer is not in the journal")
        if self._clock.now() - rating.updated < SETTLED_SECONDS:  # it may be changed again in the same second
            now = replace(now, updated=rating.updated - 1)
            self._next = min(self._next, self._clock.steady() + SETTLED_SECONDS)
        with self._database.write() as conn:
            chats.put_heard(conn, now)

    def _pass_on(self, rating: Rating, trace_id: str, known: Heard | None) -> Heard:
        words = words_of(rating)
        done = Heard(
            id=rating.id,
            updated=rating.updated,
            trace_id=trace_id,
            rater=rating.user,
            names=names_of(rating),
            words=words,
        )
        if words == (known.words if known else NO_WORDS):
            return done
        said = self._try(rating, body_of(rating, trace_id, known))
        return done if said else replace(done, names=known.names if known else ())

    def _gone(self, heard: Heard) -> None:
        if heard.names:
            self._try(heard, taken_back(heard))
        with self._database.write() as conn:
            chats.forget(conn, heard.id)

    def _try(self, what: Rating | Heard, body: dict[str, Any]) -> bool:
        try:
            self._say(body)
        except CallerError as error:
            self._refuse(what, error.sentence())
            return False
        self.state = replace(self.state, passed_on=self.state.passed_on + 1)
        return True

    def _refuse(self, what: Rating | Heard, why: str) -> None:
        log.warning("a rating is let go", extra=fields(rating=what.id, why=why))
        self.state = replace(self.state, refused=self.state.refused + 1)


def _answer(call: Call) -> tuple[str, str, float] | None:
    """Message, trace and time of an answer to a person: neither a title or a tag, nor a copy."""
    if call.spent is None or not call.spent.message or call.spent.task or not call.from_user:
        return None
    return call.spent.message, call.trace_id, call.time
