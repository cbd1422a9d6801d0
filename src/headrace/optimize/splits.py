"""Rows that sit on the split values of trees: where a rounding of the input sends a row down the other branch.

Called by convert, in the child, with a fitted scikit-learn estimator. Decides which rows to make:

* a tree that sees the inputs as they come: real rows with one feature set to the split value and to its neighbours in
  float32 and float64 (to the integers around it, where the input is an integer);
* a tree behind other steps (a scaler, a column transformer): two real rows on either side of the split are moved
  towards each other, by bisection, until they are neighbours in the input's type. The split value itself need not be
  known in the input's units for that, nor the step be invertible.

At most LIMIT rows, chosen with a fixed seed. Ignores text features and categorical splits: nothing rounds there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Columns = tuple[Array, ...]  # one per feature of the input, all of the same length
LIMIT = 3_000
BISECTED = 400  # split values behind other steps
HALVINGS = 80  # enough to bring any two doubles of usual size together
SEED = 20_241


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The splits of one tree. `steps` lie before it; `narrow`: it compares the value rounded to float32."""

    steps: tuple[Any, ...]
    features: Array
    thresholds: Array
    narrow: bool


def split_rows(
    estimator: Any, real: Columns, *, as_input: Callable[[Columns], Any], limit: int = LIMIT
) -> Columns | None:
    """New rows, column by column; None when there is no tree. `as_input` makes of columns what the first step takes."""
    groups: dict[tuple[int, ...], list[Site]] = {}
    for site in find_sites(estimator):
        groups.setdefault(tuple(id(step) for step in site.steps), []).append(site)
    random = np.random.default_rng(SEED)
    made: list[Columns] = []
    for sites in groups.values():
        features, thresholds = _distinct(sites)
        if sites[0].steps:
            chosen = _choose(random, len(features), BISECTED)
            edges = _Edges(sites[0], features[chosen], thresholds[chosen], as_input)
            made.append(_bisected(edges, real, random))
        else:
            made.append(_direct(real, features, thresholds, random=random, limit=limit))
    rows = _stack([columns for columns in made if len(columns[0])])
    if rows is None:
        return None
    keep = _choose(random, len(rows[0]), limit)
    return tuple(column[keep] for column in rows)


def find_sites(estimator: Any, steps: tuple[Any, ...] = (), columns: Array | None = None) -> Iterator[Site]:
    """Every tree inside, however deep: pipelines, forests, boosting, bagging, voting, stacking, one-versus-rest."""
    if hasattr(estimator, "steps"):  # a pipeline
        before = tuple(step for _, step in estimator.steps[:-1] if step not in (None, "passthrough"))
        yield from find_sites(estimator.steps[-1][1], steps + before, columns)
    elif hasattr(estimator, "tree_"):
        tree = estimator.tree_
        inner = tree.children_left != -1
        yield _site(steps, columns, tree.feature[inner], tree.threshold[inner], narrow=True)
    elif hasattr(estimator, "_predictors"):  # histogram gradient boosting
        for node_list in (predictor.nodes for group in estimator._predictors for predictor in group):
            inner = (node_list["is_leaf"] == 0) & (node_list["is_categorical"] == 0)
            yield _site(
                steps, columns, node_list["feature_idx"][inner], node_list["num_threshold"][inner], narrow=False
            )
    else:
        yield from _members(estimator, steps, columns)


def _members(estimator: Any, steps: tuple[Any, ...], columns: Array | None) -> Iterator[Site]:
    subsets = getattr(estimator, "estimators_features_", None)  # bagging: each member sees some of the features
    members = _flat(getattr(estimator, "estimators_", None))
    for index, member in enumerate(members):
        seen = columns if subsets is None else (subsets[index] if columns is None else columns[subsets[index]])
        yield from find_sites(member, steps, seen)
    for wrapper in _flat(getattr(estimator, "calibrated_classifiers_", None)):
        yield from find_sites(wrapper.estimator, steps, columns)


def _flat(members: Any) -> list[Any]:
    if members is None:
        return []
    return [m for m in np.asarray(members, dtype=object).ravel() if not isinstance(m, str)]


def _site(steps: tuple[Any, ...], columns: Array | None, features: Array, thresholds: Array, *, narrow: bool) -> Site:
    features = features if columns is None else np.asarray(columns)[features]
    finite = np.isfinite(thresholds)
    return Site(steps=steps, features=features[finite], thresholds=thresholds[finite], narrow=narrow)


def _distinct(sites: Sequence[Site]) -> tuple[Array, Array]:
    pairs = np.stack(
        [np.concatenate([s.features for s in sites]), np.concatenate([s.thresholds for s in sites])], axis=1
    )
    pairs = np.unique(pairs.astype(np.float64), axis=0)
    return pairs[:, 0].astype(np.int64), pairs[:, 1]


def _choose(random: np.random.Generator, count: int, limit: int) -> Array:
    if count <= limit:
        return np.arange(count)
    return np.sort(random.choice(count, limit, replace=False))


def neighbours(threshold: float, dtype: np.dtype[Any]) -> list[float]:
    """The values of `dtype` on and beside `threshold`."""
    if dtype.kind in "iu":
        return [float(np.floor(threshold)), float(np.floor(threshold)) + 1]
    near = np.float32(threshold)
    singles = [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]
    found = {float(value) for value in singles}
    if dtype == np.float64:
        found |= {threshold, float(np.nextafter(threshold, -np.inf)), float(np.nextafter(threshold, np.inf))}
    return sorted(found)


def _direct(real: Columns, features: Array, thresholds: Array, *, random: np.random.Generator, limit: int) -> Columns:
    targets = [
        (int(feature), value)
        for feature, threshold in zip(features, thresholds, strict=True)
        if real[feature].dtype.kind in "iuf"
        for value in neighbours(float(threshold), real[feature].dtype)
    ]
    targets = [targets[i] for i in _choose(random, len(targets), limit)]
    base = random.integers(0, len(real[0]), len(targets))
    made = tuple(column[base] for column in real)
    for row, (feature, value) in enumerate(targets):
        limits = np.iinfo(made[feature].dtype) if made[feature].dtype.kind in "iu" else None
        if limits is None or limits.min <= value <= limits.max:
            made[feature][row] = value
    return made


class _Edges:
    """Split values behind steps: tells for rows of the input on which side of their split they fall."""

    def __init__(self, site: Site, features: Array, thresholds: Array, as_input: Callable[[Columns], Any]) -> None:
        self.features = features
        self.thresholds = thresholds
        self._steps = site.steps
        self._narrow = site.narrow
        self._as_input = as_input

    def inside(self, columns: Columns) -> Array:
        """What the tree sees of these rows."""
        seen = self._as_input(columns)
        for step in self._steps:
            seen = step.transform(seen)
        seen = seen.toarray() if hasattr(seen, "toarray") else np.asarray(seen)
        return np.asarray(seen.astype(np.float32) if self._narrow else seen)

    def below(self, columns: Columns, pairs: Array) -> Array:
        """Row i against split `pairs[i]`."""
        seen = self.inside(columns)[np.arange(len(pairs)), self.features[pairs]]
        return np.asarray(seen <= self.thresholds[pairs])


def _bisected(edges: _Edges, real: Columns, random: np.random.Generator) -> Columns:
    low, high, pairs = _straddling(edges, real, random)
    for _ in range(HALVINGS):
        if not len(pairs):
            break
        middle = tuple(_between(a, b) for a, b in zip(low, high, strict=True))
        below = edges.below(middle, pairs)
        low = tuple(np.where(below, m, a) for a, m in zip(low, middle, strict=True))
        high = tuple(np.where(below, b, m) for b, m in zip(high, middle, strict=True))
    return tuple(np.concatenate([a, b]) for a, b in zip(low, high, strict=True))


def _straddling(edges: _Edges, real: Columns, random: np.random.Generator) -> tuple[Columns, Columns, Array]:
    """For each split a real row below it, and the same row with the numbers of one above it, where there are such."""
    seen = edges.inside(real)
    ends: list[tuple[int, int, int]] = []
    for pair, (feature, threshold) in enumerate(zip(edges.features, edges.thresholds, strict=True)):
        below = seen[:, feature] <= threshold
        if below.any() and not below.all():
            ends.append((random.choice(np.flatnonzero(below)), random.choice(np.flatnonzero(~below)), pair))
    found = np.array(ends, dtype=np.int64).reshape(-1, 3)
    low = tuple(column[found[:, 0]] for column in real)
    high = tuple(column[found[:, 1]] if column.dtype.kind in "iuf" else low[i] for i, column in enumerate(real))
    if len(found):  # text and flags stay those of the lower row, so the upper one may have come down
        found, low, high = _apart(edges, found, low, high)
    return low, high, found[:, 2]


def _apart(edges: _Edges, found: Array, low: Columns, high: Columns) -> tuple[Array, Columns, Columns]:
    keep = edges.below(low, found[:, 2]) & ~edges.below(high, found[:, 2])
    return found[keep], tuple(c[keep] for c in low), tuple(c[keep] for c in high)


def _between(low: Array, high: Array) -> Array:
    if low.dtype.kind in "iu":
        return np.asarray(low + (high - low) // 2)
    if low.dtype.kind == "f":
        return np.asarray(low + (high - low) / low.dtype.type(2))
    return low


def _stack(made: Sequence[Columns]) -> Columns | None:
    if not made:
        return None
    return tuple(np.concatenate([columns[i] for columns in made]) for i in range(len(made[0])))
