"""JSON to arrays and back, by the signature of a model. Every way in which an input can be wrong is named here.

Called by the dialects (plain.py, v2.py) and by warm.py. One Codec is built when a package is loaded, so that a call
pays only for a typed decode. Decides which forms `inputs` may have:

    tensor signature    nested lists with the batch first; or one row; or an object by input name
    column signature    list of records; or an object of columns; or one record

Ignores what the values mean. JSON has no NaN: `null` and `NaN` are refused like any other wrong type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from headrace.serving.runtimes.base import Array, Form, Inputs
from headrace.types.errors import BadInput, ModelRefused
from headrace.types.model import Datatype, Layout, Signature, TensorSpec

DTYPES: dict[Datatype, np.dtype[Any]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.UINT16: np.dtype(np.uint16),
    Datatype.UINT32: np.dtype(np.uint32),
    Datatype.UINT64: np.dtype(np.uint64),
    Datatype.INT8: np.dtype(np.int8),
    Datatype.INT16: np.dtype(np.int16),
    Datatype.INT32: np.dtype(np.int32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.BF16: np.dtype(np.float32),  # which holds every value of it; numpy has no type for it
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    Datatype.BYTES: np.dtype(object),
}
_KINDS: dict[str, Any] = {"b": bool, "f": float, "O": str}
BRACKETS = re.compile(rb"\s*((?:\[\s*)*)")
_OBJECT_OF_LISTS = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[')
_AT = re.compile(r" - at `\$(?P<path>.*)`$", re.DOTALL)
_NAMED = re.compile(r"(?:missing required|contains unknown) field `(?P<name>.*)`$", re.DOTALL)
_MAX_DEPTH = 32
_OPENS = ord("[")
_FEW = 512  # values
_LIMITS = {np.dtype(kind): float(np.finfo(kind).max) for kind in (np.float16, np.float32)}


class Codec:
    """`form` is how the model wants its inputs (see runtimes/base.py)."""

    def __init__(self, signature: Signature, form: Form) -> None:
        self.signature = signature
        self.form = form
        self.specs = {spec.name: spec for spec in signature.inputs}
        self.dtypes = {spec.name: form.dtypes.get(spec.name, dtype_of(spec)) for spec in signature.inputs}
        self._matrix = form.matrix
        self._unicode = [n for n, dtype in self.dtypes.items() if form.unicode and dtype.kind == "O"]
        self._table = signature.layout is Layout.COLUMNS
        self._tensors = {spec.name: _Tensor(spec, self.dtypes[spec.name]) for spec in signature.inputs}
        self._only = next(iter(self._tensors.values())) if len(self._tensors) == 1 else None
        self._named = msgspec.json.Decoder(dict[str, msgspec.Raw])
        if self._table:
            kinds = [(spec.name, element(dtype_of(spec))) for spec in signature.inputs]
            row = _struct("Row", kinds)
            self._records = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
            self._record = msgspec.json.Decoder(row)
            self._columns = msgspec.json.Decoder(_struct("Columns", [(n, list[k]) for n, k in kinds]))  # type: ignore[valid-type]

    def decode(self, raw: msgspec.Raw) -> Inputs:
        """Raises BadInput naming the field, such as `inputs[0].age`."""
        text = memoryview(raw)
        if self._table:
            return self._decode_table(text)
        if _first_byte(text) == ord("{"):
            return self._decode_named(text)
        if self._only is None:
            raise BadInput(f"inputs is not an object; the model takes several: {', '.join(self.specs)}", field="inputs")
        array = self._only.quick(text)
        if array is None:
            array = self._only.decode(text, "inputs")
        return self._checked({self._only.spec.name: array})

    def usual(self, name: str, datatype: str, shape: Sequence[int], data: msgspec.Raw) -> Inputs | None:
        """One row of the only input, in just the signature's words, in as few steps as can be. None when it is anything
        else, which may be right or wrong."""
        only = self._only
        if only is None or name != only.spec.name or datatype != only.spec.datatype.value or self._table:
            return None
        array = only.quick(memoryview(data))
        if array is None or array.shape != tuple(shape):
            return None
        return Inputs(1, {name: array})

    def usual_bytes(self, name: str, datatype: str, shape: Sequence[int], blob: memoryview) -> Inputs | None:
        """The same for a few numbers that came as bytes."""
        only = self._only
        if only is None or name != only.spec.name or datatype != only.spec.datatype.value or self._table:
            return None
        array = only.quick_bytes(shape, blob)
        return None if array is None else Inputs(len(array), {name: array})

    def from_arrays(self, arrays: dict[str, Array]) -> Inputs:
        """Arrays that already have the signature's types and shapes (from V2 tensors, or warm-up rows)."""
        for name in self._unicode:
            if any(isinstance(value, bytes) for value in arrays[name].flat):
                raise BadInput("a text is not UTF-8; this model takes nothing else", field=f"inputs.{name}")
        if self._table and self._matrix is not None:
            rows = _same_rows(arrays)
            with np.errstate(over="ignore"):
                stacked = np.stack([arrays[name] for name in self.specs], axis=1)
                matrix = np.ascontiguousarray(stacked, dtype=self._matrix)
            return self._some(Inputs(rows, {}, self._finite(matrix)))
        return self._checked(arrays)

    def _decode_named(self, text: memoryview) -> Inputs:
        named = _typed(self._named, text, "inputs")
        _same_names(named.keys(), self.specs.keys())
        return self._checked(
            {name: tensor.decode(memoryview(named[name]), f"inputs.{name}") for name, tensor in self._tensors.items()}
        )

    def _checked(self, arrays: dict[str, Array]) -> Inputs:
        return self._some(Inputs(_same_rows(arrays), arrays))

    def _some(self, inputs: Inputs) -> Inputs:
        if inputs.rows == 0:
            raise BadInput("inputs has no rows", field="inputs")
        return inputs

    # tables

    def _decode_table(self, text: memoryview) -> Inputs:
        if _first_byte(text) == ord("["):
            rows = [msgspec.structs.astuple(r) for r in _typed(self._records, text, "inputs", self._takes)]
        elif _OBJECT_OF_LISTS.match(text):
            return self._from_columns(_typed(self._columns, text, "inputs", self._takes))
        else:
            rows = [msgspec.structs.astuple(_typed(self._record, text, "inputs", self._takes))]
        if self._matrix is not None:
            with np.errstate(over="ignore"):
                return self._some(Inputs(len(rows), {}, self._finite(np.array(rows, dtype=self._matrix, ndmin=2))))
        return self._from_lists(list(zip(*rows, strict=True)) or [()] * len(self.specs))

    def _from_columns(self, columns: Any) -> Inputs:
        values = msgspec.structs.astuple(columns)
        lengths = {name: len(column) for name, column in zip(self.specs, values, strict=True)}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise BadInput(f"the columns differ in length: {told}", field="inputs")
        if self._matrix is None:
            return self._from_lists(values)
        with np.errstate(over="ignore"):
            matrix = np.ascontiguousarray(np.array(values, dtype=self._matrix, ndmin=2).T)
        return self._some(Inputs(matrix.shape[0], {}, self._finite(matrix)))

    def _from_lists(self, columns: Sequence[Sequence[Any]]) -> Inputs:
        specs = self.signature.inputs
        return self._checked(
            {s.name: to_array(v, self.dtypes[s.name], f"inputs.{s.name}") for s, v in zip(specs, columns, strict=True)}
        )

    def _finite(self, matrix: Array) -> Array:
        """A double that the model's single precision cannot hold became infinite: say which."""
        if matrix.dtype.kind == "f" and not np.isfinite(matrix).all():
            row, column = (int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
            name = self.signature.inputs[column].name
            raise BadInput(
                f"the value does not fit {matrix.dtype.name}, which the model computes in",
                field=f"inputs[{row}].{name}",
            )
        return matrix

    def _takes(self) -> str:
        return "the model takes records with " + ", ".join(
            f"{s.name} ({s.datatype.value})" for s in self.signature.inputs
        )


class _Tensor:
    """One input of a tensor signature."""

    def __init__(self, spec: TensorSpec, dtype: np.dtype[Any]) -> None:
        self.spec = spec
        self.dtype = dtype
        self.rank = len(spec.shape)
        values = element(dtype_of(spec))
        self._plain = self.rank == 2 and 0 < spec.shape[1] <= _FEW and dtype.kind == "f"
        self._batch = msgspec.json.Decoder(_nested(values, self.rank))
        self._row = msgspec.json.Decoder(_nested(values, self.rank - 1))

    def quick(self, text: memoryview) -> Array | None:
        """The usual case, one row of numbers, with as few steps as can be (each step of Python costs about what the
        parse does). None when it is anything else: `decode` then says what is wrong, or takes it."""
        if not self._plain or len(text) < 2 or text[0] != _OPENS:
            return None
        try:
            rows = self._batch.decode(text) if text[1] == _OPENS else [self._row.decode(text)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(rows) != 1 or len(rows[0]) != self.spec.shape[1]:
            return None
        if self.dtype.itemsize == 8 or _surely_fit(rows[0], self.dtype):
            return np.array(rows, self.dtype)
        return None

    def quick_bytes(self, shape: Sequence[int], blob: memoryview) -> Array | None:
        if not self._plain or len(shape) != 2 or shape[1] != self.spec.shape[1] or self.spec.datatype is Datatype.BF16:
            return None
        sent = dtype_of(self.spec)
        if not 0 < len(blob) == shape[0] * shape[1] * sent.itemsize <= _FEW * 8:
            return None
        array = np.frombuffer(blob, dtype=sent)
        values = array.tolist()
        if not math.isfinite(sum(values)):
            return None
        if sent.itemsize > self.dtype.itemsize and not _surely_fit(values, self.dtype):
            return None
        return array.astype(self.dtype).reshape(shape)

    def decode(self, text: memoryview, field: str) -> Array:
        found = BRACKETS.match(text)
        depth = found.group(1).count(b"[") if found else 0
        if depth == self.rank:
            return self.shaped(to_array(_typed(self._batch, text, field), self.dtype, field), field)
        if depth == self.rank - 1:
            return self.shaped(to_array([_typed(self._row, text, field)], self.dtype, field), field)
        raise BadInput(
            f"{field} is nested {depth if depth < _MAX_DEPTH else 'very'} deep; the model takes shape "
            f"{describe(self.spec.shape)}: {self.rank} for rows, {self.rank - 1} for a single row",
            field=field,
        )

    def shaped(self, array: Array, field: str) -> Array:
        shape = self.spec.shape
        # The common case first: [rows, k].
        if array.ndim == 2 and self.rank == 2 and shape[1] in (-1, array.shape[1]):
            return array
        if array.ndim != self.rank or any(w not in (-1, g) for w, g in zip(shape[1:], array.shape[1:], strict=True)):
            if array.shape[0] == 0:
                raise BadInput(f"{field} has no rows", field=field)
            raise BadInput(f"{field} has shape {describe(array.shape)}; the model takes {describe(shape)}", field=field)
        return array


def dtype_of(spec: TensorSpec) -> np.dtype[Any]:
    if spec.datatype not in DTYPES:
        raise ModelRefused(
            f"{spec.name!r} has datatype {spec.datatype.value}; served are: {', '.join(DTYPES)}", field=spec.name
        )
    return DTYPES[spec.datatype]


def to_array(values: Sequence[Any], dtype: np.dtype[Any], field: str) -> Array:
    """Typed values to an array; says where a list is ragged and which number does not fit."""
    if dtype.kind == "O":
        return _objects(values, field)
    try:
        if dtype.itemsize == 8 or _surely_fit(values, dtype):  # a number that was decoded fits a double
            return np.array(values, dtype=dtype)
        with np.errstate(over="raise"):
            return np.array(values, dtype=dtype)
    except FloatingPointError:
        limit = float(np.finfo(dtype).max)
        where, value = _find(values, lambda v: abs(v) > limit)
        raise BadInput(f"{value!r} does not fit {dtype.name}", field=field + where) from None
    except OverflowError:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        where, value = _find(values, lambda v: not low <= v <= high)
        shown = f"a number of {value.bit_length()} bits" if abs(value) > 10**40 else repr(value)
        raise BadInput(f"{shown} does not fit {dtype.name}: {low} to {high}", field=field + where) from None
    except ValueError:
        raise BadInput(_ragged(values, field), field=field) from None


def _surely_fit(values: Sequence[Any], dtype: np.dtype[Any]) -> bool:
    """For a few plain numbers Python's own max and min cost a fifth of numpy's errstate."""
    limit = _LIMITS.get(dtype)
    if limit is None or not 0 < len(values) <= _FEW or not isinstance(values[0], float):
        return False
    return bool(max(values) <= limit and min(values) >= -limit)


def describe(shape: Sequence[int]) -> str:
    return "[" + ", ".join("n" if size == -1 else str(size) for size in shape) + "]"


def bad_json(error: Exception, field: str, takes: str | None = None) -> BadInput:
    """msgspec says where: "Expected `float`, got `null` - at `$[0][3]`" becomes the field inputs[0][3]."""
    if isinstance(error, RecursionError):
        return BadInput("nested too deep", field=field or None)
    if isinstance(error, UnicodeDecodeError):
        return BadInput("text that is not UTF-8", field=field or None)
    message = str(error)
    if found := _AT.search(message):
        message, field = message[: found.start()], field + found.group("path")
    if found := _NAMED.search(message):
        field = f"{field}.{found.group('name')}"
    return BadInput(message.replace("`", "'"), field=field.lstrip(".") or None, hint=takes)


def _typed(decoder: msgspec.json.Decoder[Any], text: memoryview, field: str, takes: Any = None) -> Any:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_json(error, field, takes() if takes else None) from None


def _first_byte(text: memoryview) -> int:
    """Of the value itself; a Raw starts where its value does."""
    return int(text[0]) if len(text) else 0


def element(dtype: np.dtype[Any]) -> Any:
    """The Python type of one element, with the bounds that msgspec can check (it knows none above 2^63)."""
    if dtype.kind not in "iu":
        return _KINDS[dtype.kind]
    limits = np.iinfo(dtype)
    if limits.max > np.iinfo(np.int64).max:
        return Annotated[int, msgspec.Meta(ge=0)]
    return Annotated[int, msgspec.Meta(ge=int(limits.min), le=int(limits.max))]


def _nested(kind: Any, depth: int) -> Any:
    return list[_nested(kind, depth - 1)] if depth > 0 else kind  # type: ignore[misc]


def _struct(name: str, columns: list[tuple[str, Any]]) -> type[msgspec.Struct]:
    """Column names may be any text, fields of a Struct may not: they are numbered, and renamed on the wire."""
    fields = [(f"c{i}", kind, msgspec.field(name=column)) for i, (column, kind) in enumerate(columns)]
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, gc=False)


def _objects(values: Sequence[Any], field: str) -> Array:
    shape: list[int] = []
    level: Any = values
    while isinstance(level, (list, tuple)):
        shape.append(len(level))
        level = level[0] if level else None
    array = np.empty(shape, dtype=object)
    try:
        array[...] = np.array(values, dtype=object).reshape(shape)
    except ValueError:
        raise BadInput(_ragged(values, field), field=field) from None
    return array


def _ragged(values: Sequence[Any], field: str) -> str:
    lengths = [len(v) for v in values if isinstance(v, (list, tuple))]
    for index, length in enumerate(lengths):
        if length != lengths[0]:
            return f"{field}[{index}] has {length} values, {field}[0] has {lengths[0]}"
    return f"{field} is ragged: its inner lists differ in length"


def _find(values: Any, bad: Any, where: str = "") -> tuple[str, Any]:
    """The first value for which `bad` holds, and its place."""
    for index, value in enumerate(values):
        place = f"{where}[{index}]"
        if isinstance(value, (list, tuple)):
            found = _find(value, bad, place)
            if found[0]:
                return found
        elif bad(value):
            return place, value
    return "", math.nan


def _same_names(given: Any, wanted: Any) -> None:
    if missing := [name for name in wanted if name not in given]:
        raise BadInput(f"input {missing[0]!r} is missing", field=f"inputs.{missing[0]}")
    if extra := [name for name in given if name not in wanted]:
        raise BadInput(f"there is no input {extra[0]!r}; there are: {', '.join(wanted)}", field=f"inputs.{extra[0]}")


def _same_rows(arrays: dict[str, Array]) -> int:
    if len(arrays) == 1:
        return len(next(iter(arrays.values())))
    rows: dict[str, int] = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise BadInput(f"the inputs differ in rows: {', '.join(f'{n} {r}' for n, r in rows.items())}", field="inputs")
    return next(iter(rows.values()))
