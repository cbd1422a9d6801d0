"""How many usable words have come for each endpoint since its last turn. Called by turns.py.

A word is usable when it is a correction: what makes a label. Counted as it arrives, from the database; which endpoint
it is about the journal knows. Begun anew after a restart, from the time of the last turn.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping

from headrace.store import feedbacks
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Feedback, FeedbackName

OVERLAP = 30.0  # seconds that are read again: words are collected a little after they were said
KNOWN = 100_000


class Usable:
    def __init__(self, database: Database, query: JournalQuery) -> None:
        self.query = query
        self._database = database
        self._until: float | None = None
        self._words: OrderedDict[str, tuple[str, float]] = OrderedDict()  # id → endpoint and time

    def count(self, since: Mapping[str, float], now: float) -> dict[str, int]:
        """`since`: by endpoint, when its last turn was begun."""
        if not since:
            return {}
        begin = min(since.values()) if self._until is None else self._until - OVERLAP
        with self._database.read() as conn:
            found = [word for word in feedbacks.between(conn, begin, now) if self._new(word)]
        for word in found:
            call = self.query.call(word.trace_id)
            if call is not None:
                self._words[word.id] = (call.endpoint, word.time)
        while len(self._words) > KNOWN:
            self._words.popitem(last=False)
        self._until = now
        counts = Counter(name for name, time in self._words.values() if time >= since.get(name, now))
        return {name: counts[name] for name in since}

    def _new(self, word: Feedback) -> bool:
        return word.name == FeedbackName.CORRECTION and word.id not in self._words
