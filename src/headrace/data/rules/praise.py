"""A thumbs up makes the answer a label only when nobody opposed it, and a judge, where there is one, agrees.

Run after `corrections`. A model that learns from its own praised answers learns its own mistakes: people praise what
sounds right. So praise is the weakest label, and it can be switched off by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from headrace.data.rows import Candidate, Done, Scene, of_name
from headrace.types.call import FeedbackName


class Praise:
    name: ClassVar[str] = "praise"
    defaults: ClassVar[Mapping[str, float]] = {"votes": 1}  # thumbs up that it takes
    needed: ClassVar[str] = ""

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done, disputed = Done(), []
        for row in rows:
            ratings = of_name(row.words, FeedbackName.RATING)
            up = sum(word.value is True for word in ratings)
            if row.rule or not up:
                done.rows.append(row)
            elif up < len(ratings):
                done.take(row, "some praise it, some do not")
                disputed.append(row.trace_id)
            elif up < options["votes"]:
                done.take(row, "too few praise it")
            elif row.output is None:
                done.take(row, "its answer was not kept")
            elif scene.judge is not None and scene.judge(row) is not True:
                done.take(row, "the judge does not agree")
            else:
                done.rows.append(replace(row, label=row.output, rule=self.name))
                done.changed += 1
        done.disputed = tuple(disputed)
        return done
