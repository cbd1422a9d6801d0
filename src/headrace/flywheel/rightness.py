"""Which share of the live version's answers is right: from the few that reviewers drew and labelled, and all the rest.

Called by steps/export.py, so that every turn says where it began. Reviewers' labels of drawn calls are the truth; what
users said unasked is a cheap judge of every call: nobody complained, so it counts as right, until reviewers say how
often that is wrong (data/estimate.py: prediction-powered). None while nobody has labelled two drawn calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.data.agreement import consensus
from headrace.data.estimate import Estimate, powered, weighted
from headrace.data.rows import REVIEW, same
from headrace.flywheel.review import labels_of, output_of, reviewable
from headrace.store import feedbacks, reviews
from headrace.store.db import Database
from headrace.store.journal.flow import Passed
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Feedback, FeedbackName
from headrace.types.program import Score
from headrace.types.turn import Right

MOST = 5_000  # drawn calls


def rightness(database: Database, query: JournalQuery, endpoint: str, since: float, until: float) -> Right | None:
    with database.read() as conn:
        items = reviews.listed(conn, state=None, endpoint=endpoint, limit=MOST)
        said = feedbacks.for_traces(conn, [item.trace_id for item in items])
    chances = {item.trace_id: item.propensity for item in items if item.propensity is not None}
    labelled = {t: words for t in chances if (words := said.get(t)) and labels_of(words)}
    truth, judged, weights = list[float](), list[float](), list[float]()
    for batch in query.among(list(labelled)):
        for call in batch:
            if since <= call.time < until:
                agreed = consensus([same(value) for value in labels_of(labelled[call.trace_id]).values()])
                if agreed is not None:
                    truth.append(float(agreed == same(output_of(call))))
                    judged.append(float(not complained(labelled[call.trace_id])))
                    weights.append(chances[call.trace_id] or 1.0)
    if len(truth) < 2:
        return None
    total, complaints = _others(database, query, endpoint, since, until, set(labelled))
    others = [0.0] * complaints + [1.0] * (total - complaints)
    plain, better = weighted(truth, weights), powered(truth, judged, others, weights)
    assert plain is not None
    assert better is not None
    return Right(
        plain=_score(plain, len(truth)), powered=_score(better, len(truth)), calls=total, worth=better.effective
    )


def complained(words: Sequence[Feedback]) -> bool:
    """A user, unasked."""
    return any(
        word.name == FeedbackName.CORRECTION or (word.name == FeedbackName.RATING and word.value is False)
        for word in words
        if word.channel != REVIEW
    )


def _others(
    database: Database, query: JournalQuery, endpoint: str, since: float, until: float, labelled: set[str]
) -> tuple[int, int]:
    """How many calls there are beside those labelled, and of how many of them somebody complained."""
    with database.read() as conn:
        spoken = feedbacks.rated(conn, since, until)
        said = feedbacks.for_traces(conn, spoken)
    unhappy = {trace_id for trace_id, words in said.items() if complained(words)}
    total = complaints = 0
    for batch in query.flow(since=since, until=until):
        for row in batch:
            call = Passed(*row)
            if call.endpoint == endpoint and call.trace_id not in labelled and reviewable(call):
                total += 1
                complaints += call.trace_id in unhappy
    return total, complaints


def _score(found: Estimate, rows: int) -> Score:
    return Score(mean=found.mean, low=found.low, high=found.high, rows=rows)
