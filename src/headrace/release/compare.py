"""Two answers to one call: how far apart are they? Pure: JSON values in, a Difference out.

Called by pairs.py. Decides by the datatype of each output what "the same" means:

    whole numbers, booleans, labels   exactly equal, row by row
    text (named in the rules)         equal; else edits per character, and a judge if there is one
    floats                            within the tolerance of the datatype; a change over `deviation` is counted apart

The first output is the answer: whether it flips is what the tests are about. The others (scores) ride along: they
tell how close it was. Ignores who is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.base.edits import edit_distance
from headrace.types.model import Datatype, TensorSpec
from headrace.types.pair import Difference, PairRules

# (absolute, relative): what the same weights may differ by after conversion, another batch size, another processor.
TOLERANCES: dict[Datatype, tuple[float, float]] = {
    Datatype.FP64: (1e-9, 1e-7),
    Datatype.FP32: (1e-5, 1e-3),
    Datatype.FP16: (1e-2, 1e-2),
    Datatype.BF16: (1e-2, 1e-2),
}
FLOATS = frozenset(TOLERANCES)
_SHOWN = 60  # characters of a value in words
_TINY = 1e-12  # below it a number is nothing: a change of it is no multiple

Floats = NDArray[np.float64]


class Judge(Protocol):
    """Whoever can say whether two texts mean the same: 0 they do, 1 they do not; None: it cannot say."""

    def __call__(self, baseline: str, candidate: str) -> float | None: ...


@dataclass(frozen=True, slots=True)
class _Output:
    """One output on both sides. `rows` flip where it is true, if this output is the answer."""

    rows: NDArray[np.float64]
    difference: Difference


def compare(
    rules: PairRules,
    specs: Sequence[TensorSpec],
    baseline: Mapping[str, Any],
    candidate: Mapping[str, Any],
    *,
    judge: Judge | None = None,
) -> Difference:
    """By output name. What only one side has is not compared, except the first output: without it everything flips."""
    made: Difference | None = None
    for index, spec in enumerate(specs):
        if index == 0 or (spec.name in baseline and spec.name in candidate):
            found = _output(rules, spec, baseline.get(spec.name), candidate.get(spec.name), judge)
            made = _first(found) if made is None else _beside(made, found.difference)
    return made or Difference()


def severity(difference: Difference) -> float:
    """The worst first: what flips, then what moved most."""
    moved = min(1.0, difference.deviation) + (1 - difference.overlap) + min(1.0, difference.distance)
    return round(4 * difference.flips + moved + (0.01 if difference.unequal else 0.0), 6)


def _first(found: _Output) -> Difference:
    flips = found.rows
    if not flips.any():
        return found.difference
    return replace(found.difference, flips=float(flips.mean()), row=int(flips.argmax()))


def _beside(answer: Difference, other: Difference) -> Difference:
    """The answer's own words and flips stay; the numbers are the worst of both."""
    worse = other.deviation > answer.deviation and not answer.flips
    return replace(
        answer,
        deviation=max(answer.deviation, other.deviation),
        unequal=answer.unequal or other.unequal,
        overlap=min(answer.overlap, other.overlap),
        distance=max(answer.distance, other.distance),
        row=other.row if worse else answer.row,
        what=answer.what or other.what,
    )


def _output(rules: PairRules, spec: TensorSpec, before: Any, after: Any, judge: Judge | None) -> _Output:
    rows = len(before) if isinstance(before, list) else 1
    if not isinstance(before, list) or not isinstance(after, list) or len(before) != len(after) or not before:
        if before == after:
            return _Output(np.zeros(max(1, rows)), Difference())
        return _all_flip(rows, f"{spec.name}: {_shown(before)} → {_shown(after)}")
    if spec.datatype in FLOATS:
        return _floats(rules, spec, before, after)
    if spec.name in rules.texts:
        return _texts(rules, spec, before, after, judge)
    return _labels(spec, before, after)


def _all_flip(rows: int, what: str) -> _Output:
    return _Output(np.ones(max(1, rows)), Difference(unequal=True, what=what))


def _labels(spec: TensorSpec, before: list[Any], after: list[Any]) -> _Output:
    differ = np.array([a != b for a, b in zip(before, after, strict=True)], dtype=np.float64)
    if not differ.any():
        return _Output(differ, Difference())
    row = int(differ.argmax())
    return _Output(differ, Difference(row=row, what=_change(spec, row, before[row], after[row])))


def _texts(rules: PairRules, spec: TensorSpec, before: list[Any], after: list[Any], judge: Judge | None) -> _Output:
    distances = np.array([_apart(str(a), str(b), judge) for a, b in zip(before, after, strict=True)])
    row = int(distances.argmax())
    largest = float(distances[row])
    what = _change(spec, row, before[row], after[row]) if largest else ""
    flips = (distances > rules.text_distance).astype(np.float64)
    return _Output(flips, Difference(distance=largest, row=row, what=what))


def _apart(before: str, after: str, judge: Judge | None) -> float:
    if before == after:
        return 0.0
    told = None if judge is None else judge(before, after)
    return edit_distance(before, after) if told is None else told


def _floats(rules: PairRules, spec: TensorSpec, before: list[Any], after: list[Any]) -> _Output:
    try:
        old, new = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    except (TypeError, ValueError):  # ragged, or no numbers
        return _labels(spec, before, after)
    if old.shape != new.shape:
        return _all_flip(len(before), f"{spec.name}: shape {list(old.shape)} → {list(new.shape)}")
    old, new = old.reshape(len(before), -1), new.reshape(len(before), -1)
    if not old.shape[1]:
        return _Output(np.zeros(len(before)), Difference())
    apart = np.abs(new - old)
    absolute, relative = rules.tolerances.get(spec.datatype.value, TOLERANCES[spec.datatype])
    unequal = bool((apart > absolute + relative * np.abs(old)).any())
    largest = np.maximum(np.maximum(np.abs(old).max(axis=1), np.abs(new).max(axis=1)), _TINY)
    moved = apart.max(axis=1) / largest
    row = int(moved.argmax())
    wide = old.shape[1] > 1
    flips = old.argmax(axis=1) != new.argmax(axis=1) if wide else moved > rules.deviation
    return _Output(
        flips.astype(np.float64),
        Difference(
            deviation=float(moved[row]),
            unequal=unequal,
            overlap=_overlap(old, new, rules.top_k) if wide else 1.0,
            row=row,
            what=_change(spec, row, before[row], after[row]) if unequal else "",
        ),
    )


def _overlap(old: Floats, new: Floats, most: int) -> float:
    """Of the k highest scores of each row: the share that both have. Of few scores, half of them at most."""
    k = max(1, min(most, old.shape[1] // 2))
    tops = [np.argpartition(-side, k - 1, axis=1)[:, :k] for side in (old, new)]
    shared = [len(set(a) & set(b)) for a, b in zip(tops[0].tolist(), tops[1].tolist(), strict=True)]
    return float(sum(shared) / (k * len(shared)))


def _change(spec: TensorSpec, row: int, before: Any, after: Any) -> str:
    return f"{spec.name}[{row}]: {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
