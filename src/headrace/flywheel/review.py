"""The review queue: which answers a person is asked to look at, what reviewers said, and what follows for all answers.

Called by the console's review page, the admin API, and datasets.py (disputes). Decides how calls are drawn: uniformly
from all that were answered in a time, each with the same chance, which is kept with it; and when an item is done: after
one reviewer, or after two where a second opinion is wanted (a fifth of what is drawn, by a hash, and every dispute).

A reviewer's word is feedback like any other, in the channel `review`: curation lets it decide, MLflow shows it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from headrace.base.clock import Clock
from headrace.base.ids import feedback_id, new_id
from headrace.data.agreement import Agreement, consensus, pairwise
from headrace.data.estimate import Estimate, weighted
from headrace.data.rows import REVIEW, draw, same
from headrace.flywheel.examples import answers_of, rows_of
from headrace.store import feedbacks, reviews
from headrace.store.db import Connection, Database
from headrace.store.journal.flow import Passed
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.errors import BadInput, NotFound
from headrace.types.review import Draw, ReviewItem, ReviewState, Why
from headrace.types.traffic import Reason

SECOND: Final = 0.2  # of what is drawn, two reviewers look at
MOST: Final = 5_000  # in one draw
RECENT: Final = 300  # calls that choices are taken from
CHOICES: Final = 9  # keys 1 to 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One item with its call. `choices`: what a key each may say; the first is the model's answer."""

    item: ReviewItem
    call: Call
    output: Any  # of the one row
    choices: tuple[Any, ...]
    words: tuple[Feedback, ...]  # what users said
    labels: dict[str, Any]  # reviewer → label


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`right`: the share of all answers of the drawn times that reviewers hold right, weighted; None: nobody looked.
    `pairs`: every two reviewers with common cases."""

    waiting: int
    done: int
    skipped: int
    right: Estimate | None
    pairs: dict[tuple[str, str], Agreement]


class Reviews:
    def __init__(self, *, database: Database, query: JournalQuery, clock: Clock) -> None:
        self._database, self._query, self._clock = database, query, clock

    def draw(self, endpoint: str, count: int, *, since: float | None = None, until: float | None = None) -> Draw:
        """At random among the calls of one row that were answered for users. What waits already keeps its place."""
        if not 1 <= count <= MOST:
            raise BadInput(f"count is {count!r}; allowed: 1 to {MOST}", field="count")
        now = self._clock.now()
        begin, end = since or 0.0, until or now
        if begin >= end:
            raise BadInput(f"since {begin!r} is not before until {end!r}", field="since")
        salt = new_id("draw")
        total, chosen = self._choose(endpoint, count, salt, begin, end)
        if not total:
            raise NotFound(f"no call of {endpoint!r} was answered in this time", field="endpoint")
        chance = len(chosen) / total
        items = [
            ReviewItem(trace_id=t, endpoint=endpoint, why=Why.SAMPLED, added=now, propensity=chance, draw=salt)
            for _, t in chosen
        ]
        with self._database.write() as conn:
            reviews.add(conn, [(item, 1.0 + draw(salt, item.trace_id)) for item in items])
        return Draw(id=salt, endpoint=endpoint, since=begin, until=end, calls=total, drawn=len(chosen))

    def cases(self, actor: str, *, endpoint: str | None = None, limit: int = 20) -> list[Case]:
        """What waits and this reviewer has not labelled, disputes first."""
        with self._database.read() as conn:
            items = reviews.listed(conn, state=ReviewState.OPEN, endpoint=endpoint, limit=limit * 5)
            given = feedbacks.for_traces(conn, [item.trace_id for item in items])
        rater = rater_of(actor)
        mine = [item for item in items if rater not in labels_of(given.get(item.trace_id, ()))][:limit]
        calls = self._calls([item.trace_id for item in mine])
        known = self._known({item.endpoint for item in mine})
        return [
            _case(item, calls[item.trace_id], given.get(item.trace_id, ()), known.get(item.endpoint, ()))
            for item in mine
            if item.trace_id in calls
        ]

    def label(self, trace_id: str, value: Any, actor: str) -> ReviewItem:
        """What the answer should have been; the answer itself where it is right."""
        now = self._clock.now()
        rater = rater_of(actor)
        word = Feedback(
            id=feedback_id(trace_id, rater, FeedbackName.CORRECTION),
            trace_id=trace_id,
            name=FeedbackName.CORRECTION,
            value=value if isinstance(value, list) else [value],
            rater=rater,
            time=now,
            channel=REVIEW,
        )
        with self._database.write() as conn:
            item = _item(conn, trace_id)
            feedbacks.put(conn, [word])
            said = labels_of(feedbacks.for_traces(conn, [trace_id]).get(trace_id, ()))
            state = ReviewState.DONE if len(said) >= needed(item) else ReviewState.OPEN
            item = replace(item, state=state)
            reviews.put(conn, item)
        return item

    def skip(self, trace_id: str) -> ReviewItem:
        """Nobody can tell from what is shown."""
        with self._database.write() as conn:
            item = replace(_item(conn, trace_id), state=ReviewState.SKIPPED)
            reviews.put(conn, item)
        return item

    def undo(self, trace_id: str, actor: str) -> ReviewItem:
        """Takes this reviewer's label back; it waits again."""
        rater = rater_of(actor)
        word = Feedback(
            id=feedback_id(trace_id, rater, FeedbackName.CORRECTION),
            trace_id=trace_id,
            name=FeedbackName.CORRECTION,
            value=None,
            rater=rater,
            time=self._clock.now(),
            channel=REVIEW,
            withdrawn=True,
        )
        with self._database.write() as conn:
            item = replace(_item(conn, trace_id), state=ReviewState.OPEN)
            if rater in labels_of(feedbacks.for_traces(conn, [trace_id]).get(trace_id, ())):
                feedbacks.put(conn, [word])
            reviews.put(conn, item)
        return item

    def standing(self, endpoint: str | None = None) -> Standing:
        with self._database.read() as conn:
            counts = reviews.counts(conn, endpoint)
            items = reviews.listed(conn, state=None, endpoint=endpoint, limit=MOST)
            given = feedbacks.for_traces(conn, [item.trace_id for item in items])
        labels = {item.trace_id: found for item in items if (found := labels_of(given.get(item.trace_id, ())))}
        by_rater: dict[str, dict[str, bytes]] = {}
        for trace_id, said in labels.items():
            for rater, value in said.items():
                by_rater.setdefault(rater, {})[trace_id] = same(value)
        return Standing(
            waiting=counts.get(ReviewState.OPEN.value, 0),
            done=counts.get(ReviewState.DONE.value, 0),
            skipped=counts.get(ReviewState.SKIPPED.value, 0),
            right=self._right(items, labels),
            pairs=pairwise(by_rater),
        )

    def _right(self, items: Sequence[ReviewItem], labels: dict[str, dict[str, Any]]) -> Estimate | None:
        drawn = {i.trace_id: i.propensity for i in items if i.propensity is not None and i.trace_id in labels}
        calls = self._calls(list(drawn))
        values, chances = [], []
        for trace_id, chance in drawn.items():
            agreed = consensus([same(value) for value in labels[trace_id].values()])
            if agreed is not None and trace_id in calls:
                values.append(1.0 if agreed == same(output_of(calls[trace_id])) else 0.0)
                chances.append(chance)
        return weighted(values, chances)

    def _choose(
        self, endpoint: str, count: int, salt: str, since: float, until: float
    ) -> tuple[int, list[tuple[float, str]]]:
        """How many there are, and those with the smallest hashes: every call has the same chance."""
        total, heap = 0, list[tuple[float, str]]()
        for batch in self._query.flow(since=since, until=until):
            for row in batch:
                call = Passed(*row)
                if call.endpoint == endpoint and reviewable(call):
                    total += 1
                    entry = (-draw(salt, call.trace_id), call.trace_id)
                    if len(heap) < count:
                        heapq.heappush(heap, entry)
                    else:
                        heapq.heappushpop(heap, entry)
        return total, sorted(heap, reverse=True)

    def _calls(self, trace_ids: Sequence[str]) -> dict[str, Call]:
        return {call.trace_id: call for batch in self._query.among(trace_ids) for call in batch}

    def _known(self, endpoints: set[str]) -> dict[str, tuple[Any, ...]]:
        """The most frequent answers of each endpoint of late: what a key can say without typing."""
        found: dict[str, tuple[Any, ...]] = {}
        for endpoint in endpoints:
            counts: Counter[bytes] = Counter()
            for call in self._query.calls(endpoint=endpoint, status=CallStatus.OK, limit=RECENT):
                counts.update(same(value) for value in answers_of(call.output, call) or () if _short(value))
            usual = sorted(value for value, _ in counts.most_common(CHOICES))
            found[endpoint] = tuple(msgspec.json.decode(value) for value in usual)
        return found


def needed(item: ReviewItem) -> int:
    """How many reviewers."""
    return 2 if item.why is Why.SAMPLED and draw("second", item.trace_id) < SECOND else 1


def rater_of(actor: str) -> str:
    """Reviewers are colleagues: they go by their name."""
    return f"reviewer:{actor}"


def disputes(conn: Connection, disputed: Sequence[tuple[str, str]], now: float) -> int:
    """(trace id, endpoint) of what people contradict each other about; before all that was drawn."""
    items = [ReviewItem(trace_id=t, endpoint=e, why=Why.DISPUTED, added=now) for t, e in disputed]
    return reviews.add(conn, [(item, 0.0) for item in items])


def _item(conn: Connection, trace_id: str) -> ReviewItem:
    item = reviews.get(conn, trace_id)
    if item is None:
        raise NotFound(f"trace {trace_id!r} is not in the review queue", field="trace_id", hint="draw calls first")
    return item


def _case(item: ReviewItem, call: Call, words: Sequence[Feedback], known: Sequence[Any]) -> Case:
    output = output_of(call)
    said = [part[0] for w in words if w.name == FeedbackName.CORRECTION and (part := answers_of(w.value, call))]
    choices: dict[bytes, Any] = {same(value): value for value in (output, *said, *known) if value is not None}
    return Case(
        item=item,
        call=call,
        output=output,
        choices=tuple(choices.values())[:CHOICES],
        words=tuple(word for word in words if word.channel != REVIEW),
        labels=labels_of(words),
    )


def output_of(call: Call) -> Any:
    parts = answers_of(call.output, call)
    return parts[0] if parts else None


def labels_of(words: Sequence[Feedback]) -> dict[str, Any]:
    """Reviewer → what they hold right."""
    return {
        word.rater: (rows_of(word.value, 1) or [None])[0]
        for word in words
        if word.channel == REVIEW and word.name == FeedbackName.CORRECTION
    }


def reviewable(call: Passed) -> bool:
    own = call.shadow_of or call.reason == Reason.GATE.value
    return call.status == CallStatus.OK.value and call.rows == 1 and call.input is not None and not own


def _short(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 40)
