"""Who is in which split. By user, so that nobody's rows are on both sides; by a hash, so that nobody ever moves.

The last rule. Held-out users are the golden set while nothing is frozen, and `fresh` from then on. A row to learn from
that is the same as a held-out row, or nearly the same text, is left out: it would be an exam whose answers are known.
The frozen rows themselves are not among the rows: their file goes into every version as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from headrace.data.minhash import Neighbourhood, jaccard, shingles, text_of
from headrace.data.rows import Candidate, Done, Scene, draw, same
from headrace.types.dataset import Split


class Splitter:
    name: ClassVar[str] = "split"
    defaults: ClassVar[Mapping[str, float]] = {"similarity": 0.8}
    needed: ClassVar[str] = "a row without a split belongs to no file"

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done = Done()
        frozen = {row.row for row in scene.golden}
        placed = [replace(row, split=row.split or place(row.unit, scene)) for row in rows]
        held = [row for row in placed if row.split in (Split.FRESH, Split.GOLDEN)]
        exam = _Exam([*held, *scene.golden])
        golden = _Exam(scene.golden)
        for row in placed:
            if row.row in frozen:
                done.take(row, "in the frozen golden set")
            elif row.split in (Split.TRAIN, Split.VALIDATION) and exam.knows(row, options["similarity"]):
                done.take(row, "the same as a held-out row")
            elif row.split is Split.FRESH and golden.knows(row, options["similarity"]):
                done.take(row, "the same as a golden row")
            else:
                done.rows.append(row)
        done.changed = len(done.rows)
        return done


def place(unit: str, scene: Scene) -> Split:
    """A larger share keeps everyone of a smaller one: held-out users are the low end, validation begins above them."""
    at = draw(scene.salt, unit)
    if at < scene.held:
        return Split.FRESH if scene.frozen else Split.GOLDEN
    return Split.VALIDATION if at < scene.held + scene.validation else Split.TRAIN


class _Exam:
    def __init__(self, rows: Sequence[Candidate]) -> None:
        self._exact = {same(row.inputs) for row in rows}
        self._near = Neighbourhood()
        self._texts: list[frozenset[int]] = []
        for row in rows:
            if words := shingles(text_of(row.inputs)):
                self._near.add(words, len(self._texts))
                self._texts.append(words)

    def knows(self, row: Candidate, similarity: float) -> bool:
        if same(row.inputs) in self._exact:
            return True
        words = shingles(text_of(row.inputs)) if self._texts else frozenset()
        return bool(words) and any(jaccard(words, self._texts[n]) >= similarity for n in self._near.near(words))
