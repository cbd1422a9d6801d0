"""Almost the same text once: MinHash over words finds it, the exact share of common word triples decides.

Run after `duplicates`. Only rows with text are compared (numbers that differ a little are not the same measurement),
and only rows with the same label: near texts with different labels are the boundary that a model has to learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from headrace.data.minhash import Neighbourhood, jaccard, shingles, text_of
from headrace.data.rows import Candidate, Done, Scene, same
from headrace.data.rules.duplicates import stands


class NearDuplicates:
    name: ClassVar[str] = "near_duplicates"
    defaults: ClassVar[Mapping[str, float]] = {"similarity": 0.8}
    needed: ClassVar[str] = ""

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done = Done()
        seen = Neighbourhood()
        kept: list[tuple[frozenset[int], bytes]] = []
        for row in sorted(rows, key=stands, reverse=True):
            words = shingles(text_of(row.inputs))
            label = same([row.label, row.split])
            if words and any(
                kept[other][1] == label and jaccard(words, kept[other][0]) >= options["similarity"]
                for other in seen.near(words)
            ):
                done.take(row, "nearly the same text")
                continue
            if words:
                seen.add(words, len(kept))
                kept.append((words, label))
            done.rows.append(row)
        return done
