"""An adapter as a person writes it, and its way onto a variant.

Called by the admin API (read), by deploy and start (attach), and by the console (told). Decides the form of the file:
each entry of `inputs` and `outputs` is one kind of step with the tensors that it is for. What a step does, and whether
all of them fit the version, is serving/adapt.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from headrace.serving.adapt import check_adapter
from headrace.types.adapter import Adapter, Cast, Compute, Default, Drop, Rename, Scale, Step
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.errors import BadInput
from headrace.types.model import Signature

_SECTIONS = ("inputs", "outputs", "signature")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """`signature`: what callers know, where no endpoint says it yet."""

    inputs: tuple[Step, ...] = ()
    outputs: tuple[Step, ...] = ()
    signature: Signature | None = None


class _Scaled(msgspec.Struct, forbid_unknown_fields=True):
    by: float | tuple[float, ...] = 1.0
    add: float | tuple[float, ...] = 0.0


def read_adapter(text: Any) -> Written:
    """Raises BadInput naming the entry, such as `adapter.inputs[1].cast`."""
    if not isinstance(text, dict):
        raise BadInput(f"the adapter is {_shown(text)}; it is an object with inputs and outputs", field="adapter")
    if unknown := [name for name in text if name not in _SECTIONS]:
        raise BadInput(f"the adapter has a part {_shown(unknown[0])}; allowed: {', '.join(_SECTIONS)}", field="adapter")
    return Written(
        inputs=tuple(_steps(text.get("inputs"), "inputs")),
        outputs=tuple(_steps(text.get("outputs"), "outputs")),
        signature=_signature(text["signature"]) if text.get("signature") is not None else None,
    )


def attached(variant: Variant, written: Written | None, endpoint: Endpoint | None) -> Variant:
    """With its adapter, which fits both signatures. Raises BadInput, or ModelRefused naming step and tensor."""
    if written is None:
        return variant
    live = endpoint.variant(endpoint.policy.baseline) if endpoint is not None else None
    outer = written.signature or (live.signature if live is not None else None)
    if outer is None:
        raise BadInput(
            "nobody knows yet what callers send: the endpoint is new",
            field="adapter.signature",
            hint="write signature with inputs and outputs into the adapter, or deploy the version that callers know",
        )
    adapter = Adapter(outer=outer, inputs=written.inputs, outputs=written.outputs)
    check_adapter(adapter, variant.package.signature)
    return replace(variant, adapter=adapter)


def told(step: Step) -> str:
    """A step in a line, for people."""
    match step:
        case Rename():
            return f"rename {step.tensor} → {step.to}"
        case Cast():
            return f"cast {step.tensor} → {step.datatype.value}"
        case Scale():
            return f"scale {step.tensor} · {_numbers(step.by)} + {_numbers(step.add)}"
        case Default():
            value = list(step.value) if isinstance(step.value, tuple) else step.value
            return f"default {step.tensor} = {value!r} ({step.datatype.value})"
        case Drop():
            return f"drop {step.tensor}"
        case Compute():
            kind = f" ({step.datatype.value})" if step.datatype is not None else ""
            return f"compute {step.tensor} = {step.expression}{kind}"


def _numbers(numbers: tuple[float, ...]) -> str:
    return f"{numbers[0]:g}" if len(numbers) == 1 else f"[{', '.join(f'{n:g}' for n in numbers)}]"


def _signature(text: Any) -> Signature:
    try:
        found = msgspec.convert(text, Signature)
    except msgspec.ValidationError as error:
        raise BadInput(f"signature: {error}", field="adapter.signature") from error
    for spec in (*found.inputs, *found.outputs):
        if not spec.shape or spec.shape[0] != -1 or any(size == 0 or size < -1 for size in spec.shape):
            raise BadInput(
                f"shape of {spec.name!r} is {list(spec.shape)}; allowed: [-1, …], the first dimension is the rows",
                field="adapter.signature",
            )
    if not found.inputs or not found.outputs:
        raise BadInput("signature has one input and one output at least", field="adapter.signature")
    return found


def _steps(entries: Any, side: str) -> Iterator[Step]:
    if not isinstance(entries or [], list):
        raise BadInput(f"{side} is {_shown(entries)}; it is a list of steps", field=f"adapter.{side}")
    for number, entry in enumerate(entries or []):
        field = f"adapter.{side}[{number}]"
        if not isinstance(entry, dict) or len(entry) != 1:
            raise BadInput(f"the step is {_shown(entry)}; write one kind of step, such as drop: age", field=field)
        ((kind, given),) = entry.items()
        reader = _READERS.get(kind)
        if reader is None:
            raise BadInput(f"there is no step {_shown(kind)}; there are: {', '.join(_READERS)}", field=field)
        try:
            yield from reader(given)
        except (msgspec.ValidationError, TypeError, AttributeError) as error:
            raise BadInput(f"{kind} cannot be {_shown(given)}: {error}".replace("`", "'"), field=field) from error


def _rename(given: Any) -> Iterator[Step]:
    for tensor, to in msgspec.convert(given, dict[str, str]).items():
        yield Rename(tensor=tensor, to=to)


def _cast(given: Any) -> Iterator[Step]:
    for tensor, datatype in given.items():
        yield msgspec.convert({"step": "cast", "tensor": tensor, "datatype": datatype}, Cast)


def _scale(given: Any) -> Iterator[Step]:
    """`pixels: 0.5`, or `pixels: {by: [1, 2], add: 3}`."""
    for tensor, numbers in given.items():
        found = msgspec.convert(numbers if isinstance(numbers, dict) else {"by": numbers}, _Scaled)
        yield Scale(tensor=tensor, by=_tuple(found.by), add=_tuple(found.add))


def _tuple(numbers: float | tuple[float, ...]) -> tuple[float, ...]:
    return numbers if isinstance(numbers, tuple) else (numbers,)


def _default(given: Any) -> Iterator[Step]:
    for tensor, found in given.items():
        yield msgspec.convert({"step": "default", "tensor": tensor, **found}, Default)


def _drop(given: Any) -> Iterator[Step]:
    names = [given] if isinstance(given, str) else msgspec.convert(given, list[str])
    for tensor in names:
        yield Drop(tensor=tensor)


def _compute(given: Any) -> Iterator[Step]:
    """`bmi: weight / height ** 2`, or `bmi: {expression: …, datatype: FP32}`."""
    for tensor, found in given.items():
        text = {"expression": found} if isinstance(found, str) else found
        yield msgspec.convert({"step": "compute", "tensor": tensor, **text}, Compute)


_READERS: dict[str, Callable[[Any], Iterator[Step]]] = {
    "rename": _rename,
    "cast": _cast,
    "scale": _scale,
    "default": _default,
    "drop": _drop,
    "compute": _compute,
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"
