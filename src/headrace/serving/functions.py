"""What an expression of an adapter may call: row-wise functions on numbers, truth values and texts.

Called by expression.py while it compiles. Every function says, before any value is there, which operands it takes and
what comes out, so that an adapter is checked before it has traffic. None looks at another row than its own: calls of
several callers run together. Whole numbers are computed with as FP64, exact up to 2^53.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial, reduce
from math import prod
from typing import Any

import numpy as np

from headrace.serving.cast import Misfit
from headrace.serving.runtimes.base import Array
from headrace.types.errors import BadInput

Tensors = Mapping[str, Array]
Tail = tuple[int, ...]  # a shape without its rows
MAX_VALUES = 1 << 16  # of one row
_FIXED: Any = object()


class Family(Enum):
    """What operands are, as far as a function cares."""

    BOOL = "truth values"
    SINGLE = "FP32"
    DOUBLE = "FP64"
    TEXT = "texts"

    @property
    def number(self) -> bool:
        return self is not Family.TEXT


DTYPE = {
    Family.BOOL: np.dtype(np.bool_),
    Family.SINGLE: np.dtype(np.float32),
    Family.DOUBLE: np.dtype(np.float64),
    Family.TEXT: np.dtype(object),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an expression: what it gives, and how. `fixed` is its value when it is the same for every row."""

    family: Family
    tail: Tail
    run: Callable[[Tensors], Any]
    fixed: Any = _FIXED

    @property
    def constant(self) -> bool:
        return self.fixed is not _FIXED


Function = Callable[[Sequence[Part]], Part]  # raises BadInput


def constant(value: bool | float | str) -> Part:
    """Numbers take the precision of what they meet."""
    family = Family.BOOL if isinstance(value, bool) else Family.TEXT if isinstance(value, str) else Family.SINGLE
    return Part(family, (), lambda _: value, value)


def aligned(parts: Sequence[Part]) -> tuple[list[Callable[[Tensors], Any]], Tail]:
    """Ways to get at operands of one shape: a value per row counts for each value of a row. Raises BadInput."""
    tail = max((part.tail for part in parts), key=len)
    return [_widened(part, tail) for part in parts], tail


def _widened(part: Part, tail: Tail) -> Callable[[Tensors], Any]:
    if part.tail == tail or part.constant:
        return part.run
    if part.tail:
        raise BadInput(f"it has operands with {list(part.tail)} and {list(tail)} values in a row")
    more, run = (..., *(None,) * len(tail)), part.run
    return lambda tensors: run(tensors)[more]


def floats(parts: Sequence[Part]) -> tuple[list[Part], Family]:
    """As numbers of one precision: FP64 if one of them is, truth values as 0 and 1."""
    family = Family.DOUBLE if any(part.family is Family.DOUBLE for part in parts) else Family.SINGLE
    return [_float(part, family) for part in parts], family


def _float(part: Part, family: Family) -> Part:
    if not part.family.number:
        raise BadInput("it computes with a text; cast it to a number first")
    if part.constant:
        return constant(float(part.fixed))
    dtype, run = DTYPE[family], part.run
    return Part(family, part.tail, lambda tensors: run(tensors).astype(dtype, copy=False))


def elementwise(operation: Callable[..., Any], parts: Sequence[Part]) -> Part:
    """A numeric operation on operands of one shape."""
    if all(part.constant for part in parts):
        return _folded(operation, parts)
    numbers, family = floats(parts)
    runs, tail = aligned(numbers)
    dtype = DTYPE[family]
    if len(runs) == 1:
        (only,) = runs
        return Part(family, tail, lambda tensors: operation(only(tensors)).astype(dtype, copy=False))
    return Part(family, tail, lambda tensors: operation(*(run(tensors) for run in runs)).astype(dtype, copy=False))


def _folded(operation: Callable[..., Any], parts: Sequence[Part]) -> Part:
    numbers, _ = floats(parts)
    with np.errstate(all="ignore"):
        value = float(operation(*(np.float64(part.fixed) for part in numbers)))
    if not np.isfinite(value):
        raise BadInput(f"a part of it is {value} for every row")
    return constant(value)


def logical(operation: Callable[..., Any], parts: Sequence[Part], name: str) -> Part:
    if any(part.family is not Family.BOOL for part in parts):
        raise BadInput(f"{name} takes truth values, such as a > 1")
    if all(part.constant for part in parts):
        return constant(bool(reduce(operation, (part.fixed for part in parts))))
    runs, tail = aligned(parts)
    return Part(Family.BOOL, tail, lambda tensors: reduce(operation, (run(tensors) for run in runs)))


def compared(operation: Callable[[Any, Any], Any], left: Part, right: Part, *, ordered: bool) -> Part:
    texts = [part.family is Family.TEXT for part in (left, right)]
    if any(texts) and (ordered or not all(texts)):
        raise BadInput("it compares a text with a number" if not all(texts) else "texts are equal or not, never less")
    both = (left, right) if all(texts) else floats((left, right))[0]
    if left.constant and right.constant:
        return constant(bool(operation(left.fixed, right.fixed)))
    runs, tail = aligned(both)
    first, second = runs
    return Part(Family.BOOL, tail, lambda tensors: operation(first(tensors), second(tensors)).astype(bool))


def where(parts: Sequence[Part]) -> Part:
    test, yes, no = parts
    if test.family is not Family.BOOL:
        raise BadInput("where takes a truth value first, such as a > 1")
    texts = [part.family is Family.TEXT for part in (yes, no)]
    if any(texts) and not all(texts):
        raise BadInput("its two sides are a text and a number")
    if yes.family is no.family:
        family, sides = yes.family, [yes, no]
    else:
        sides, family = floats((yes, no))
    if test.constant:
        return sides[0] if test.fixed else sides[1]
    if family is Family.SINGLE and yes.constant and no.constant:
        family = Family.DOUBLE  # they meet nothing whose precision they could take
    runs, tail = aligned([test, *sides])
    dtype = DTYPE[family]
    return Part(family, tail, lambda tensors: np.where(*(run(tensors) for run in runs)).astype(dtype, copy=False))


def _clip(parts: Sequence[Part]) -> Part:
    value, low, high = parts
    return elementwise(np.minimum, [elementwise(np.maximum, [value, low]), high])


def _extreme(between: Any, along: Any, parts: Sequence[Part]) -> Part:
    """Of several operands, or of the values of a row."""
    if len(parts) == 1:
        return _along(along, parts)
    return reduce(lambda left, right: elementwise(between, [left, right]), parts)


def _along(operation: Callable[..., Any], parts: Sequence[Part]) -> Part:
    """One number for each row."""
    (only,), family = floats(parts)
    if not only.tail:
        raise BadInput("it has one value in a row; this function is for rows of several")
    size, dtype, run = prod(only.tail), DTYPE[family], only.run

    def along(tensors: Tensors) -> Array:
        array = run(tensors)
        made: Array = operation(array.reshape(len(array), size), axis=1).astype(dtype, copy=False)
        return made

    return Part(family, (), along)


def _place(operation: Callable[..., Any], parts: Sequence[Part]) -> Part:
    """Which value of a row."""
    found = _along(operation, parts)
    run = found.run
    return Part(Family.DOUBLE, (), lambda tensors: run(tensors).astype(np.float64))


def _softmax(parts: Sequence[Part]) -> Part:
    (only,), family = floats(parts)
    if not only.tail:
        raise BadInput("softmax is for rows of several values")
    run = only.run

    def softmax(tensors: Tensors) -> Array:
        array = run(tensors)
        powers = np.exp(array - array.max(axis=-1, keepdims=True))
        made: Array = powers / powers.sum(axis=-1, keepdims=True)
        return made

    return Part(family, only.tail, softmax)


def _row(parts: Sequence[Part]) -> Part:
    """Its operands side by side as the values of one row."""
    numbers, family = floats(parts)
    if all(part.constant for part in numbers):
        raise BadInput("row takes one tensor at least")
    if any(len(part.tail) > 1 for part in numbers):
        raise BadInput("row takes single values and rows of them")
    sizes = [part.tail[0] if part.tail else 1 for part in numbers]
    if (total := sum(sizes)) > MAX_VALUES:
        raise BadInput(f"row would have {total} values; allowed: {MAX_VALUES}")
    dtype, runs = DTYPE[family], [part.run for part in numbers]

    def side_by_side(tensors: Tensors) -> Array:
        found = [run(tensors) for run in runs]
        rows = next(len(value) for value in found if isinstance(value, np.ndarray))
        made = np.empty((rows, total), dtype=dtype)
        start = 0
        for value, size in zip(found, sizes, strict=True):
            shaped = isinstance(value, np.ndarray) and value.ndim == 1
            made[:, start : start + size] = value[:, None] if shaped else value
            start += size
        return made

    return Part(family, (total,), side_by_side)


def _choose(parts: Sequence[Part]) -> Part:
    """choose(place, "cat", "dog"): the first for 0, the second for 1."""
    place, choices = parts[0], parts[1:]
    fixed = _constants("choose", choices)
    (number,), _ = floats([place])
    run, family = number.run, choices[0].family
    family = Family.DOUBLE if family is Family.SINGLE else family  # large whole numbers stay what they are
    if place.constant:
        raise BadInput("choose takes a tensor first")
    table = np.array(list(fixed), dtype=DTYPE[family])

    def chosen(tensors: Tensors) -> Array:
        places = run(tensors)
        bad = ~((places >= 0) & (places < len(table)) & (np.floor(places) == places))
        if bad.any():
            raise Misfit(f"choose has {len(table)} values and was asked for number {places[bad].flat[0]:g}")
        made: Array = table[places.astype(np.int64)]
        return made

    return Part(family, place.tail, chosen)


def _find(parts: Sequence[Part]) -> Part:
    """find(text, "cat", "dog"): 0 for the first, 1 for the second, -1 for any other."""
    text, known = parts[0], _constants("find", parts[1:])
    if text.family is not Family.TEXT or text.constant or not all(isinstance(value, str) for value in known):
        raise BadInput("find takes a tensor of texts, and then texts")
    places = {value: float(place) for place, value in reversed(list(enumerate(known)))}
    return _each_text(lambda value: places.get(value, -1.0), Family.DOUBLE, [text])


def _constants(name: str, parts: Sequence[Part]) -> list[Any]:
    if not all(part.constant for part in parts):
        raise BadInput(f"{name} takes fixed values after the first")
    if len({part.family for part in parts}) != 1:
        raise BadInput(f"the values of {name} are of several kinds")
    return [part.fixed for part in parts]


def _each_text(operation: Callable[[Any], Any], family: Family, parts: Sequence[Part]) -> Part:
    (text,) = parts
    if text.family is not Family.TEXT:
        raise BadInput("this function takes texts")
    if text.constant:
        return constant(operation(text.fixed))
    dtype, run = DTYPE[family], text.run

    def each(tensors: Tensors) -> Array:
        array = run(tensors)
        made = np.empty(array.size, dtype=dtype)
        made[:] = [operation(value) for value in array.ravel().tolist()]
        return made.reshape(array.shape)

    return Part(family, text.tail, each)


def _sigmoid(value: Any) -> Any:
    return 1 / (1 + np.exp(-value))


MANY = 1 << 10
_NUMERIC: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "cos": np.cos,
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "round": np.rint,
    "sigmoid": _sigmoid,
    "sign": np.sign,
    "sin": np.sin,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "trunc": np.trunc,
}
# Each with the fewest and the most operands.
FUNCTIONS: dict[str, tuple[int, int, Function]] = {
    **{name: (1, 1, partial(elementwise, operation)) for name, operation in _NUMERIC.items()},
    "argmax": (1, 1, partial(_place, np.argmax)),
    "argmin": (1, 1, partial(_place, np.argmin)),
    "choose": (2, MANY, _choose),
    "clip": (3, 3, _clip),
    "find": (2, MANY, _find),
    "length": (1, 1, partial(_each_text, len, Family.DOUBLE)),
    "lower": (1, 1, partial(_each_text, lambda text: text.lower(), Family.TEXT)),
    "max": (1, MANY, partial(_extreme, np.maximum, np.max)),
    "mean": (1, 1, partial(_along, np.mean)),
    "min": (1, MANY, partial(_extreme, np.minimum, np.min)),
    "row": (1, MANY, _row),
    "softmax": (1, 1, _softmax),
    "strip": (1, 1, partial(_each_text, lambda text: text.strip(), Family.TEXT)),
    "sum": (1, 1, partial(_along, np.sum)),
    "upper": (1, 1, partial(_each_text, lambda text: text.upper(), Family.TEXT)),
    "where": (3, 3, where),
}
