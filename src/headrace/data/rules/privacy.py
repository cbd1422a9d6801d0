"""Personal data out of inputs, answers, labels and comments. Run before anything compares rows.

What is found is replaced by its kind in angle brackets; the report counts rows by kind. See ../scrub.py for what is
found, and docs/datasets.md for what is not: names and places of persons are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from headrace.base.scrub import scrub, scrub_value
from headrace.data.rows import Candidate, Done, Scene


class Privacy:
    name: ClassVar[str] = "privacy"
    defaults: ClassVar[Mapping[str, float]] = {}
    needed: ClassVar[str] = ""

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done = Done()
        for row in rows:
            found: Counter[str] = Counter()
            clean = replace(
                row,
                inputs=scrub_value(row.inputs, found),
                output=scrub_value(row.output, found),
                label=scrub_value(row.label, found),
                critique=scrub(row.critique, found),
                words=tuple(
                    replace(word, value=scrub_value(word.value, found), comment=scrub(word.comment, found))
                    for word in row.words
                ),
            )
            done.rows.append(clean if found else row)
            done.changed += bool(found)
            done.why.update(dict.fromkeys(found, 1))
        return done
