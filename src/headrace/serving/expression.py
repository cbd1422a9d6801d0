"""The language of an adapter's compute step: Python's own syntax for formulas, and nothing that is not one.

Called by adapt.py. The text is parsed, never evaluated: each node that is allowed becomes a call of numpy, every other
one is refused by name. Decides what may be written (arithmetic, comparisons, and/or/not, `a if test else b`, a value or
range of a row by its place, the functions of functions.py) and how large it may be. Kinds of operands are known when it
is compiled, so that what cannot work is said before there is traffic.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.serving.codec import DTYPES
from headrace.serving.functions import (
    DTYPE,
    FUNCTIONS,
    Family,
    Part,
    Tail,
    Tensors,
    compared,
    constant,
    elementwise,
    logical,
    where,
)
from headrace.serving.runtimes.base import Array
from headrace.types.errors import BadInput
from headrace.types.model import Datatype

MAX_TEXT = 2000  # characters
MAX_NODES = 400
MAX_DEPTH = 40
_LARGEST = 1e300
_ALLOWED = "arithmetic, comparisons, and, or, not, if-else, places such as x[0], and functions"

_SINGLE = (Datatype.FP16, Datatype.BF16, Datatype.FP32)
_RESULT = {
    Family.BOOL: Datatype.BOOL,
    Family.SINGLE: Datatype.FP32,
    Family.DOUBLE: Datatype.FP64,
    Family.TEXT: Datatype.BYTES,
}
_ARITHMETIC: dict[type[ast.operator], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_EQUAL: dict[type[ast.cmpop], Any] = {ast.Eq: np.equal, ast.NotEq: np.not_equal}
_ORDER: dict[type[ast.cmpop], Any] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """Of a tensor: its datatype, and its shape without the rows (-1: free)."""

    datatype: Datatype
    tail: Tail


@dataclass(frozen=True, slots=True)
class Formula:
    """A compiled expression."""

    kind: Kind
    _part: Part

    def __call__(self, tensors: Tensors, rows: int) -> Array:
        """Raises Misfit for a value that a function cannot take. What has no value (1 / 0) is NaN or infinite."""
        with np.errstate(all="ignore"):
            if self._part.constant:
                return np.full(rows, self._part.fixed, dtype=DTYPES[self.kind.datatype])
            made: Array = self._part.run(tensors)
        return made


def compile_expression(text: str, kinds: Mapping[str, Kind]) -> Formula:
    """`kinds`: the tensors that it may name. Raises BadInput, saying which part is wrong."""
    tree = _parsed(text)
    try:
        part = _Compiler(kinds).part(tree)
    except BadInput as error:
        raise BadInput(f"{text!r}: {error.message}", hint=error.hint) from error
    family = Family.DOUBLE if part.constant and part.family is Family.SINGLE else part.family
    return Formula(Kind(_RESULT[family], part.tail), part)


def _parsed(text: str) -> ast.expr:
    if len(text) > MAX_TEXT:
        raise BadInput(f"the expression has {len(text)} characters; allowed: {MAX_TEXT}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise BadInput(f"{text!r} is no expression: {error.msg} at character {error.offset}") from None
    except (ValueError, RecursionError, MemoryError):  # a NUL; or nested deeper than the parser goes
        raise BadInput(f"{text[:80]!r} is no expression") from None
    nodes, waiting = 0, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise BadInput(f"the expression is too large; allowed: {MAX_NODES} parts, nested {MAX_DEPTH} deep")
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]  # type: ignore[misc]
    return tree


class _Compiler:
    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds
        self._nodes: dict[type[ast.AST], Callable[[Any], Part]] = {
            ast.BinOp: self._arithmetic,
            ast.BoolOp: self._logical,
            ast.Call: self._call,
            ast.Compare: self._comparison,
            ast.Constant: self._constant,
            ast.IfExp: lambda node: where([self.part(n) for n in (node.test, node.body, node.orelse)]),
            ast.Name: lambda node: self._tensor(node.id),
            ast.Subscript: self._subscript,
            ast.UnaryOp: self._unary,
        }

    def part(self, node: ast.AST) -> Part:
        compiler = self._nodes.get(type(node))
        if compiler is None:
            raise BadInput(f"{_shown(node)} is not allowed; allowed: {_ALLOWED}")
        return compiler(node)

    def _constant(self, node: ast.Constant) -> Part:
        value = node.value
        if isinstance(value, bool | str):
            return constant(value)
        if isinstance(value, int | float) and abs(value) <= _LARGEST:
            return constant(float(value))
        raise BadInput(f"{_shown(node)} is not allowed; allowed: numbers, texts, True, False")

    def _tensor(self, name: str) -> Part:
        kind = self._kinds.get(name)
        if kind is None:
            there = ", ".join(sorted(self._kinds)) or "none"
            raise BadInput(f"there is no tensor {name!r} here; there are: {there}")
        if -1 in kind.tail:
            raise BadInput(f"tensor {name!r} has rows of no fixed size, which cannot be computed with")
        if kind.datatype is Datatype.BYTES:
            return Part(Family.TEXT, kind.tail, lambda tensors: tensors[name])
        if kind.datatype is Datatype.BOOL:
            return Part(Family.BOOL, kind.tail, lambda tensors: tensors[name])
        family = Family.SINGLE if kind.datatype in _SINGLE else Family.DOUBLE
        dtype = DTYPE[family]
        return Part(family, kind.tail, lambda tensors: tensors[name].astype(dtype, copy=False))

    def _arithmetic(self, node: ast.BinOp) -> Part:
        operation = _ARITHMETIC.get(type(node.op))
        if operation is None:
            raise BadInput(f"{_shown(node)} is not allowed; operators are: + - * / // % **")
        return elementwise(operation, [self.part(node.left), self.part(node.right)])

    def _unary(self, node: ast.UnaryOp) -> Part:
        operand = self.part(node.operand)
        if isinstance(node.op, ast.Not):
            if operand.constant and operand.family is Family.BOOL:
                return constant(not operand.fixed)
            run = logical(np.logical_and, [operand], "not").run
            return Part(Family.BOOL, operand.tail, lambda tensors: ~run(tensors))
        if isinstance(node.op, ast.Invert):
            raise BadInput(f"{_shown(node)} is not allowed; write not")
        return elementwise(np.negative if isinstance(node.op, ast.USub) else np.positive, [operand])

    def _logical(self, node: ast.BoolOp) -> Part:
        name, operation = ("and", np.logical_and) if isinstance(node.op, ast.And) else ("or", np.logical_or)
        return logical(operation, [self.part(value) for value in node.values], name)

    def _comparison(self, node: ast.Compare) -> Part:
        """`a < b < c` is `a < b and b < c`."""
        left, tests = node.left, []
        for operator, right in zip(node.ops, node.comparators, strict=True):
            tests.append(self._compared(operator, left, right))
            left = right
        return tests[0] if len(tests) == 1 else logical(np.logical_and, tests, "and")

    def _compared(self, operator: ast.cmpop, left: ast.expr, right: ast.expr) -> Part:
        if isinstance(operator, ast.In | ast.NotIn):
            return self._member(left, right, within=isinstance(operator, ast.In))
        kind = type(operator)
        if kind in _EQUAL:
            return compared(_EQUAL[kind], self.part(left), self.part(right), ordered=False)
        if kind in _ORDER:
            return compared(_ORDER[kind], self.part(left), self.part(right), ordered=True)
        raise BadInput(f"{_shown(left)} is compared in a way that is not allowed; allowed: < <= > >= == != in")

    def _member(self, left: ast.expr, right: ast.expr, *, within: bool) -> Part:
        if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
            raise BadInput(f"{_shown(right)} is no list of values, such as ('a', 'b')")
        value = self.part(left)
        operation, joined = (np.equal, np.logical_or) if within else (np.not_equal, np.logical_and)
        return logical(joined, [compared(operation, value, self.part(e), ordered=False) for e in right.elts], "in")

    def _subscript(self, node: ast.Subscript) -> Part:
        """A value, or a range of values, of each row."""
        part = self.part(node.value)
        if not part.tail:
            raise BadInput(f"{_shown(node.value)} has one value in a row, so it has no places")
        place, run = self._place(node.slice, part.tail[0]), part.run
        index = (slice(None), place)
        if isinstance(place, int):
            return Part(part.family, part.tail[1:], lambda tensors: run(tensors)[index])
        size = len(range(part.tail[0])[place])
        if not size:
            raise BadInput(f"{_shown(node)} is empty")
        return Part(part.family, (size, *part.tail[1:]), lambda tensors: run(tensors)[index])

    def _place(self, node: ast.expr, size: int) -> int | slice:
        if isinstance(node, ast.Slice) and node.step is None:
            ends = [None if end is None else self._number(end) for end in (node.lower, node.upper)]
            return slice(*ends)
        place = self._number(node)
        if not -size <= place < size:
            raise BadInput(f"there is no place {place} in rows of {size} values")
        return place

    def _number(self, node: ast.expr) -> int:
        inner, sign = (node.operand, -1) if isinstance(node, ast.UnaryOp) else (node, 1)
        negative = not isinstance(node, ast.UnaryOp) or isinstance(node.op, ast.USub)
        if isinstance(inner, ast.Constant) and type(inner.value) is int and inner.value < 2**31 and negative:
            return sign * inner.value
        raise BadInput(f"{_shown(node)} is no place in a row; allowed: whole numbers, and ranges such as 0:3")

    def _call(self, node: ast.Call) -> Part:
        name = node.func.id if isinstance(node.func, ast.Name) else _shown(node.func)
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise BadInput(f"{name} takes plain operands, one after the other")
        if name == "tensor":
            return self._by_name(node)
        if name not in FUNCTIONS:
            raise BadInput(f"there is no function {name!r}; there are: {', '.join(sorted([*FUNCTIONS, 'tensor']))}")
        least, most, function = FUNCTIONS[name]
        if not least <= len(node.args) <= most:
            wanted = f"{least}" if least == most else f"{least} or more"
            raise BadInput(f"{name} takes {wanted} operands; it has {len(node.args)}")
        return function([self.part(argument) for argument in node.args])

    def _by_name(self, node: ast.Call) -> Part:
        """tensor("petal width (cm)"): for names that are no words of Python."""
        if len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            return self._tensor(node.args[0].value)
        raise BadInput('tensor takes the name of a tensor, such as tensor("petal width")')


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) <= 60 else text[:60] + "…")
