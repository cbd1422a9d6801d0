"""Calls that people spoke of, as candidates of curation: one for each row of a call. Called by datasets.py.

Decides which words are about which row: a correction has one entry for each row, or belongs to none and is counted in
`misfits`; a rating or a comment is about all rows of its call. Reads what was said first, so that it costs what was
said and not what was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from headrace.data.rows import Candidate, row_id
from headrace.flywheel.examples import answered, answers_of, split_inputs
from headrace.store import feedbacks, reviews
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Call, Feedback, FeedbackName
from headrace.types.dataset import Recipe

MOST = 500_000  # rows that are held in memory; a longer time is made as several versions


@dataclass(slots=True, kw_only=True)
class Gathered:
    """`full`: there is more than MOST, and what is later was left out."""

    rows: list[Candidate] = field(default_factory=list)
    misfits: int = 0
    full: bool = False


def gather(database: Database, query: JournalQuery, recipe: Recipe, models: Mapping[str, str]) -> Gathered:
    """`models`: endpoint → model, of the endpoints whose calls are wanted."""
    with database.read() as conn:
        traces = feedbacks.rated(conn, recipe.since, recipe.until)
    found = Gathered(full=len(traces) > MOST)
    for calls in query.among(traces[:MOST]):
        wanted = [call for call in calls if call.endpoint in models and call.from_user and _within(call, recipe)]
        ids = [call.trace_id for call in wanted]
        with database.read() as conn:
            given = feedbacks.for_traces(conn, ids)
            drawn = reviews.propensities(conn, ids)
        for call in wanted:
            words = given.get(call.trace_id, ())
            if words and answered(call, corrected=any(w.name == FeedbackName.CORRECTION for w in words)):
                _add(call, words, drawn.get(call.trace_id), found)
    found.rows.sort(key=lambda row: (row.time, row.trace_id, row.index))
    return found


def _within(call: Call, recipe: Recipe) -> bool:
    """Exactly: an id knows its time to the millisecond."""
    return (recipe.since is None or call.time >= recipe.since) and (recipe.until is None or call.time < recipe.until)


def _add(call: Call, words: Sequence[Feedback], propensity: float | None, found: Gathered) -> None:
    inputs = split_inputs(call.input, call.rows) if call.input is not None else None
    if inputs is None:
        return
    outputs = answers_of(call.output, call)
    parts: list[list[Feedback]] = [[] for _ in inputs]
    for word in words:
        if word.name != FeedbackName.CORRECTION:
            for part in parts:
                part.append(word)
        elif (values := answers_of(word.value, call)) is not None:
            for part, value in zip(parts, values, strict=True):
                part.append(replace(word, value=value))
        else:
            found.misfits += 1
    for index, values in enumerate(inputs):
        if parts[index]:
            found.rows.append(
                Candidate(
                    row=row_id(call.trace_id, index),
                    trace_id=call.trace_id,
                    index=index,
                    time=call.time,
                    endpoint=call.endpoint,
                    version=call.version,
                    unit=call.unit,
                    inputs=values,
                    output=outputs[index] if outputs is not None else None,
                    words=tuple(parts[index]),
                    propensity=propensity,
                )
            )
