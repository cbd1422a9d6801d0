"""An adapter at work: between what callers of an endpoint know and what one of its versions takes and gives.

Called by fleet.py, which builds one for each variant that has an adapter, by run.py around such a variant's run, and by
release/change.py, which checks it before there is traffic. Decides nothing about traffic; a variant without an adapter
never comes here. When a step cannot be done for a call, that is the variant's failure and counts against it: callers
sent what the endpoint's signature allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.serving.answer import Check, finite
from headrace.serving.cast import Misfit, cast, castable
from headrace.serving.codec import DTYPES, Codec, describe
from headrace.serving.expression import Formula, Kind, compile_expression
from headrace.serving.functions import MAX_VALUES
from headrace.serving.runtimes.base import Array, Form, Inputs, Outputs
from headrace.types.adapter import Adapter, Cast, Compute, Default, Drop, Rename, Scale, Step
from headrace.types.errors import BadInput, ModelFailed, ModelRefused
from headrace.types.model import Datatype, Signature, TensorSpec

MAX_STEPS = 200
_FLOATS = (Datatype.FP16, Datatype.BF16, Datatype.FP32, Datatype.FP64)

Kinds = dict[str, Kind]
Tensors = dict[str, Array]
Run = Callable[[Tensors, int], None]  # changes the tensors; the number is that of the rows. Raises Misfit


class Action(NamedTuple):
    """A compiled step."""

    told: str  # "step 2 of inputs (cast 'age')"
    tensor: str
    run: Run


def check_adapter(adapter: Adapter, own: Signature) -> None:
    """Raises ModelRefused naming the step and the tensor that do not fit the version's own signature."""
    _chains(adapter, own)


class Adapted:
    """`inner` reads what the version takes; `codec` what callers send. Raises ModelRefused."""

    def __init__(self, adapter: Adapter, inner: Codec, *, name: str) -> None:
        self._into, self._out = _chains(adapter, inner.signature)
        self._name = name
        self._inner = inner
        self._check = Check(adapter.outer)
        self._columns = [(spec.name, DTYPES[spec.datatype]) for spec in adapter.outer.inputs]
        self._results = [spec.name for spec in adapter.outer.outputs]
        self._given = [(spec.name, DTYPES[spec.datatype]) for spec in inner.signature.outputs]
        self.codec = Codec(adapter.outer, Form(unicode=inner.form.unicode))

    def inward(self, inputs: Inputs) -> Inputs:
        """What callers sent, decoded by `codec` or by the codec of another variant of the same endpoint. Raises
        ModelFailed."""
        tensors = self._run(self._into, self._named(inputs), inputs.rows)
        made = {}
        with np.errstate(over="ignore"):
            for name, dtype in self._inner.dtypes.items():
                made[name] = array = np.ascontiguousarray(tensors[name], dtype=dtype)
                if dtype.kind == "f" and not finite(array):
                    raise self._failed(f"input {name!r} is {_odd(array)} after it", name)
        try:
            own = self._inner.from_arrays(made)
        except BadInput as error:
            raise self._failed(error.sentence(), error.field) from error
        own.travels, own.trace = inputs.travels, inputs.trace
        return own

    def outward(self, outputs: Outputs, rows: int) -> Outputs:
        """The version's checked outputs as the endpoint's. Raises ModelFailed."""
        given = {
            name: np.asarray(array).astype(dtype, copy=False)
            for (name, dtype), array in zip(self._given, outputs, strict=True)
        }
        tensors = self._run(self._out, given, rows)
        return self._check([tensors[name] for name in self._results], rows)

    def _named(self, inputs: Inputs) -> Tensors:
        """By name and in the endpoint's types, whatever form another version's runtime wanted them in."""
        matrix = inputs.matrix
        if matrix is not None:
            return {name: matrix[:, place].astype(dtype) for place, (name, dtype) in enumerate(self._columns)}
        return {name: np.asarray(inputs.arrays[name]).astype(dtype, copy=False) for name, dtype in self._columns}

    def _run(self, chain: Sequence[Action], tensors: Tensors, rows: int) -> Tensors:
        for action in chain:
            try:
                action.run(tensors, rows)
            except Misfit as error:
                raise self._failed(f"{action.told}: {error}", action.tensor) from error
        return tensors

    def _failed(self, what: str, tensor: str | None) -> ModelFailed:
        return ModelFailed(f"the adapter of {self._name} cannot take this call: {what}", field=tensor)


def _odd(array: Array) -> str:
    place = int(np.argmin(np.isfinite(array).ravel()))
    return f"{array.flat[place]} in row {int(np.unravel_index(place, array.shape)[0])}"


def _chains(adapter: Adapter, own: Signature) -> tuple[list[Action], list[Action]]:
    outer = adapter.outer
    into = _chain("inputs", adapter.inputs, outer.inputs, own.inputs, wants="the version takes")
    out = _chain("outputs", adapter.outputs, own.outputs, outer.outputs, wants="callers know")
    return into, out


def _chain(
    side: str, steps: Sequence[Step], given: Sequence[TensorSpec], wanted: Sequence[TensorSpec], *, wants: str
) -> list[Action]:
    if len(steps) > MAX_STEPS:
        raise ModelRefused(f"the adapter has {len(steps)} steps for {side}; allowed: {MAX_STEPS}", field="adapter")
    kinds = {spec.name: Kind(spec.datatype, spec.shape[1:]) for spec in given}
    actions = []
    for number, step in enumerate(steps, 1):
        told = f"step {number} of {side} ({type(step).__name__.lower()} {step.tensor!r})"
        try:
            actions.append(Action(told, step.tensor, _compiled(step, kinds)))
        except BadInput as error:
            raise ModelRefused(
                f"adapter, {told}: {error.message}", field=f"adapter.{side}[{number - 1}]", hint=error.hint
            ) from error
    _check_end(side, kinds, wanted, wants)
    return actions


def _check_end(side: str, kinds: Kinds, wanted: Sequence[TensorSpec], wants: str) -> None:
    """After the last step everything is there, as it should be, and nothing else."""
    left, field = dict(kinds), f"adapter.{side}"
    after = f"adapter, after the steps of {side}"
    for spec in wanted:
        kind = left.pop(spec.name, None)
        if kind is None:
            there = ", ".join(kinds) or "none"
            raise ModelRefused(f"{after}: {spec.name!r} is missing; there are: {there}", field=field)
        if kind.datatype is not spec.datatype:
            raise ModelRefused(
                f"{after}: {spec.name!r} is {kind.datatype.value}, {wants} {spec.datatype.value}",
                field=field,
                hint=f"add the step cast: {{{spec.name}: {spec.datatype.value}}}",
            )
        if not _same_tail(kind.tail, spec.shape[1:]):
            raise ModelRefused(
                f"{after}: {spec.name!r} is {describe((-1, *kind.tail))}, {wants} {describe(spec.shape)}", field=field
            )
    if left:
        name = next(iter(left))
        raise ModelRefused(f"{after}: {name!r} is left over", field=field, hint=f"add the step drop: {name}")


def _same_tail(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(given) == len(wanted) and all(w in (-1, g) for g, w in zip(given, wanted, strict=True))


# --- steps: what each does to the kinds, now, and to the tensors of a call, later


def _compiled(step: Step, kinds: Kinds) -> Run:
    match step:
        case Rename():
            return _rename(step, kinds)
        case Cast():
            return _cast(step, kinds)
        case Scale():
            return _scale(step, kinds)
        case Default():
            return _default(step, kinds)
        case Drop():
            return _drop(step, kinds)
        case Compute():
            return _compute(step, kinds)


def _rename(step: Rename, kinds: Kinds) -> Run:
    kind = _kind(step.tensor, kinds)
    _check_new(step.to, kinds)
    del kinds[step.tensor]
    kinds[step.to] = kind

    def run(tensors: Tensors, rows: int) -> None:
        tensors[step.to] = tensors.pop(step.tensor)

    return run


def _cast(step: Cast, kinds: Kinds) -> Run:
    kind = _kind(step.tensor, kinds)
    _check_castable(kind.datatype, step.datatype)
    kinds[step.tensor] = Kind(step.datatype, kind.tail)

    def run(tensors: Tensors, rows: int) -> None:
        tensors[step.tensor] = cast(tensors[step.tensor], step.datatype)

    return run


def _scale(step: Scale, kinds: Kinds) -> Run:
    kind = _kind(step.tensor, kinds)
    if kind.datatype is Datatype.BYTES:
        raise BadInput("a text cannot be scaled", hint="cast it to a number first")
    datatype = kind.datatype if kind.datatype in _FLOATS else Datatype.FP64
    for numbers in (step.by, step.add):
        if len(numbers) != 1 and numbers and kind.tail[-1:] != (len(numbers),):
            raise BadInput(f"it has {len(numbers)} numbers for rows of shape {list(kind.tail)}")
        if not numbers or not np.isfinite(numbers).all():
            raise BadInput(f"{list(numbers)} are no finite numbers")
    kinds[step.tensor] = Kind(datatype, kind.tail)
    dtype = DTYPES[datatype]
    by, add = _factor(step.by), _factor(step.add)

    def run(tensors: Tensors, rows: int) -> None:
        with np.errstate(all="ignore"):
            tensors[step.tensor] = (tensors[step.tensor].astype(np.float64) * by + add).astype(dtype)

    return run


def _factor(numbers: tuple[float, ...]) -> Any:
    return numbers[0] if len(numbers) == 1 else np.array(numbers)


def _default(step: Default, kinds: Kinds) -> Run:
    _check_new(step.tensor, kinds)
    several = isinstance(step.value, tuple)
    values = step.value if isinstance(step.value, tuple) else (step.value,)
    if not values or len(values) > MAX_VALUES:
        raise BadInput(f"value has {len(values)} values; allowed: 1 to {MAX_VALUES}")
    given = np.empty(len(values), dtype=object)
    given[:] = [_plain(value, step.datatype) for value in values]
    row = _typed(given, step.datatype)
    kinds[step.tensor] = Kind(step.datatype, (len(values),) if several else ())

    def run(tensors: Tensors, rows: int) -> None:
        # A copy for each call, since models may write into what they are given.
        tensors[step.tensor] = np.tile(row, (rows, 1)) if several else np.repeat(row, rows)

    return run


def _plain(value: bool | int | float | str, datatype: Datatype) -> Any:
    text = datatype is Datatype.BYTES
    if isinstance(value, str) is not text:
        raise BadInput(f"value is {value!r}, which is no {datatype.value}")
    if isinstance(value, bool) is not (datatype is Datatype.BOOL):
        raise BadInput(f"value is {value!r}, which is no {datatype.value}")
    return value


def _typed(values: Array, datatype: Datatype) -> Array:
    if datatype is Datatype.BYTES:
        return values
    numbers = values if datatype not in _FLOATS and datatype is not Datatype.BOOL else values.astype(np.float64)
    try:
        return cast(_whole(numbers), datatype)
    except Misfit as error:
        raise BadInput(f"value: {error}") from error


def _whole(values: Array) -> Array:
    """Numbers as Python read them: 2.0 is none for an INT64, and neither is 2.5."""
    if values.dtype.kind == "O" and any(isinstance(value, float) for value in values.flat):
        return values.astype(np.float64)
    return values


def _drop(step: Drop, kinds: Kinds) -> Run:
    _kind(step.tensor, kinds)
    del kinds[step.tensor]

    def run(tensors: Tensors, rows: int) -> None:
        del tensors[step.tensor]

    return run


def _compute(step: Compute, kinds: Kinds) -> Run:
    """A tensor of that name is replaced."""
    formula: Formula = compile_expression(step.expression, kinds)
    datatype = step.datatype or formula.kind.datatype
    _check_castable(formula.kind.datatype, datatype)
    kinds[step.tensor] = Kind(datatype, formula.kind.tail)

    def run(tensors: Tensors, rows: int) -> None:
        tensors[step.tensor] = cast(formula(tensors, rows), datatype)

    return run


def _kind(name: str, kinds: Mapping[str, Kind]) -> Kind:
    if name not in kinds:
        raise BadInput(f"there is no tensor {name!r} here; there are: {', '.join(kinds) or 'none'}")
    return kinds[name]


def _check_new(name: str, kinds: Mapping[str, Kind]) -> None:
    if name in kinds:
        raise BadInput(f"there is a tensor {name!r} already", hint="rename or drop it first")


def _check_castable(given: Datatype, wanted: Datatype) -> None:
    if not castable(given, wanted):
        raise BadInput(f"{given.value} cannot be cast to {wanted.value}", hint="compute it: x == 'yes'")
