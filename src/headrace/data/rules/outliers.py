"""Labels that contradict everything around them. Run after the labels are given, before duplicates are merged.

A row is left out when its nearest rows, of other people, agree with one another and not with it. Rows that a reviewer
labelled stay: they are the ones who know. Needs enough rows to have neighbours; below that nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from headrace.data.neighbours import opinions
from headrace.data.rows import Candidate, Done, Scene, same


class Outliers:
    name: ClassVar[str] = "outliers"
    defaults: ClassVar[Mapping[str, float]] = {"neighbours": 5, "agreement": 1.0, "rows": 100}
    needed: ClassVar[str] = ""

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done = Done()
        labelled = [row for row in rows if row.labelled]
        if len(labelled) < options["rows"]:
            done.rows = list(rows)
            return done
        heard = opinions(labelled, scene.golden, neighbours=int(options["neighbours"]))
        for row in rows:
            opinion = heard.get(row.row)
            alone = (
                opinion is not None
                and row.rule != "review"
                and opinion.agreement >= options["agreement"]
                and opinion.label != same(row.label)
            )
            if alone:
                done.take(row, "every row around it says otherwise")
            else:
                done.rows.append(row)
        return done
