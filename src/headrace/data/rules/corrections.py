"""Corrections become gold: a label that a person gave. Run after `raters`, before `praise`.

Everyone who spoke has one vote: a correction for what it says, a thumbs up for the answer as it was. A reviewer decides
alone, for that is what review is for. No majority, or a majority for an answer that somebody corrected: the trace is
disputed, no label is made of it, and it waits for review.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from headrace.data.rows import REVIEW, Candidate, Done, Scene, of_name, same
from headrace.types.call import FeedbackName


class Corrections:
    name: ClassVar[str] = "corrections"
    defaults: ClassVar[Mapping[str, float]] = {"majority": 0.5}
    needed: ClassVar[str] = ""

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done, disputed = Done(), []
        for row in rows:
            given = of_name(row.words, FeedbackName.CORRECTION)
            if row.rule or not given:
                done.rows.append(row)
                continue
            label = decide(row, options["majority"])
            if label is None:
                done.take(row, "people contradict each other")
                disputed.append(row.trace_id)
            else:
                by_review = any(word.channel == REVIEW for word in given)
                done.rows.append(replace(row, label=label[0], rule="review" if by_review else self.name))
                done.changed += 1
        done.disputed = tuple(disputed)
        return done


def decide(row: Candidate, majority: float) -> tuple[Any] | None:
    """The label in a tuple, so that a label null is not no label."""
    given = of_name(row.words, FeedbackName.CORRECTION)
    reviewed = [word for word in given if word.channel == REVIEW]
    voters: dict[bytes, set[str]] = {}
    values: dict[bytes, Any] = {}
    for word in reviewed or given:
        values[same(word.value)] = word.value
        voters.setdefault(same(word.value), set()).add(word.rater)
    if not reviewed:
        praise = {word.rater for word in of_name(row.words, FeedbackName.RATING) if word.value is True}
        if praise:
            voters.setdefault(same(row.output), set()).update(praise)
    best = max(voters, key=lambda key: (len(voters[key]), key))
    share = len(voters[best]) / sum(len(who) for who in voters.values())
    if best not in values or (len(voters) > 1 and share <= majority):
        return None
    return (values[best],)
