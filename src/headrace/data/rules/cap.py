"""Nobody's words fill the data: at most so many rows of one user, and of one rater. Run before the split.

Which ones stay follows from a hash, not from time, so that a burst does not push the rest out. Rows that a reviewer
labelled are not counted: reviewing much is the job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

from headrace.data.rows import Candidate, Done, Scene, draw


class Cap:
    name: ClassVar[str] = "cap"
    defaults: ClassVar[Mapping[str, float]] = {"rows": 200}
    needed: ClassVar[str] = ""

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done, users, raters = Done(), Counter[str](), Counter[str]()
        for row in sorted(rows, key=lambda row: (draw(scene.salt, row.row), row.row)):
            who = {word.rater for word in row.words if word.source == "human" and word.rater != "anonymous"}
            if row.rule == "review":
                done.rows.append(row)
            elif users[row.unit] >= options["rows"]:
                done.take(row, "over the user's cap")
            elif any(raters[rater] >= options["rows"] for rater in who):
                done.take(row, "over the rater's cap")
            else:
                users[row.unit] += 1
                raters.update(who)
                done.rows.append(row)
        return done
