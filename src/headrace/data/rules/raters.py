"""Whom to believe. The first rule: the words of a distrusted rater are not heard by any other.

A rater is distrusted on evidence, never on little of it (Wilson's bound at 95 %, at least `words` comparable words):

    contradicts others     most of those who spoke of the same rows say otherwise
    fails known answers    labels rows of the golden set's inputs otherwise than they are labelled
    flips labels           corrections against what the rows around them are labelled, far more than others' are
    a burst                more corrections in a minute than a person types

Programs that report outcomes (source `code`) are not persons and may come in bursts. Reviewers are believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from headrace.data.agreement import wilson
from headrace.data.neighbours import opinions
from headrace.data.rows import REVIEW, Candidate, Done, Scene, of_name, same
from headrace.types.call import Feedback, FeedbackName

MINUTE = 60.0
Tally = dict[str, list[bool]]  # rater → whether each comparable word was against


class Raters:
    name: ClassVar[str] = "raters"
    defaults: ClassVar[Mapping[str, float]] = {"words": 8, "against": 0.5, "golden": 0.3, "flips": 0.3, "burst": 40}
    needed: ClassVar[str] = ""

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        least = int(options["words"])
        bad: dict[str, str] = {}
        for rater in _bursts(rows, int(options["burst"])):
            bad[rater] = "a burst of corrections"
        bad |= _above(_golden(rows, scene.golden), least, options["golden"], "fails known answers")
        bad |= _above(_others(rows), least, options["against"], "contradicts others")
        bad |= _flips(rows, scene, least, options["flips"])
        done = Done(distrusted=bad)
        for row in rows:
            believed = tuple(word for word in row.words if word.rater not in bad or word.channel == REVIEW)
            if len(believed) == len(row.words):
                done.rows.append(row)
            elif believed:
                done.rows.append(replace(row, words=believed))
                done.changed += 1
            else:
                reasons = {bad[word.rater] for word in row.words if word.rater in bad}
                done.take(row, min(reasons))
        return done


def _people(row: Candidate) -> list[Feedback]:
    """Words of persons who can be told apart."""
    return [
        word for word in row.words if word.source == "human" and word.rater != "anonymous" and word.channel != REVIEW
    ]


def _votes(row: Candidate) -> dict[str, bytes | None]:
    """Rater → the answer that they hold right; None: only that this one is wrong."""
    votes: dict[str, bytes | None] = {}
    people = _people(row)
    for word in of_name(people, FeedbackName.RATING):
        votes[word.rater] = same(row.output) if word.value is True else None
    for word in of_name(people, FeedbackName.CORRECTION):
        votes[word.rater] = same(word.value)
    return votes


def _others(rows: Iterable[Candidate]) -> Tally:
    """Against the majority of the others on the same row, where they have one."""
    tally: Tally = {}
    for row in rows:
        votes = _votes(row)
        for rater, mine in votes.items():
            rest = Counter(vote for other, vote in votes.items() if other != rater)
            if len(rest) == 0 or (best := rest.most_common(2))[0][1] <= (best[1][1] if len(best) > 1 else 0):
                continue
            tally.setdefault(rater, []).append(best[0][0] != mine and _wrong(mine, best[0][0], row))
    return tally


def _wrong(mine: bytes | None, theirs: bytes | None, row: Candidate) -> bool:
    """A mere thumbs down goes with any correction: both say that this answer is wrong."""
    answer = same(row.output)
    if mine is None or theirs is None:
        return (mine == answer) or (theirs == answer)
    return mine != theirs


def _golden(rows: Iterable[Candidate], golden: Sequence[Candidate]) -> Tally:
    known = {same(row.inputs): same(row.label) for row in golden}
    tally: Tally = {}
    for row in rows if known else ():
        right = known.get(same(row.inputs))
        for rater, mine in _votes(row).items() if right is not None else ():
            wrong = mine != right if mine is not None else same(row.output) == right
            tally.setdefault(rater, []).append(wrong)
    return tally


def _above(tally: Tally, least: int, limit: float, reason: str) -> dict[str, str]:
    """Whose share of words against is surely above the limit."""
    return {
        rater: reason
        for rater, against in tally.items()
        if len(against) >= least and wilson(sum(against), len(against))[0] > limit
    }


def _flips(rows: Sequence[Candidate], scene: Scene, least: int, margin: float) -> dict[str, str]:
    """Whose corrections disagree with the rows around them surely more often, by the margin, than corrections do."""
    mine: list[Candidate] = []
    for row in rows:
        for word in of_name(_people(row), FeedbackName.CORRECTION):
            mine.append(
                replace(row, label=word.value, rule="corrections", unit=word.rater, row=f"{row.row} {word.rater}")
            )
            break  # one opinion a row is enough to know a rater by
    praised = [
        replace(row, label=row.output, rule="praise", unit=words[0].rater)
        for row in rows
        if (words := of_name(_people(row), FeedbackName.RATING)) and all(w.value is True for w in words)
    ]
    if len(mine) < least:
        return {}
    heard = opinions([*mine, *praised], scene.golden, neighbours=5)
    tally: Tally = {}
    for row in mine:
        opinion = heard.get(row.row)
        if opinion is not None and opinion.agreement >= 0.6:
            tally.setdefault(row.unit, []).append(opinion.label != same(row.label))
    totals = [against for every in tally.values() for against in every]
    usual = sum(totals) / len(totals) if totals else 0.0
    return _above(tally, least, min(0.9, usual + margin), "flips labels")


def _bursts(rows: Iterable[Candidate], most: int) -> list[str]:
    """Raters with more than `most` corrected traces within one minute, by the time they were said."""
    times: dict[str, dict[str, float]] = {}
    for row in rows:
        for word in of_name(_people(row), FeedbackName.CORRECTION):
            if word.channel != "upload":  # a file is said at once, whoever wrote it
                times.setdefault(word.rater, {})[row.trace_id] = word.time
    found = []
    for rater, said in times.items():
        ordered = sorted(said.values())
        if any(late - early < MINUTE for early, late in zip(ordered, ordered[most:], strict=False)):
            found.append(rater)
    return found
