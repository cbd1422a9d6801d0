"""What stands between an endpoint and a version whose inputs or outputs have other names, types or shapes.

An adapter belongs to one variant. Its steps run in order on named tensors: those of `inputs` turn what callers send
into what the version takes, those of `outputs` turn what the version gives into what callers are used to. `outer` is
what callers know; it stays the endpoint's signature also when the variant has all traffic.

The steps are tagged structs, since a union of dataclasses has no form on disk that could be read back.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from headrace.types.model import Datatype, Signature

Value = bool | int | float | str


class Rename(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="rename"):
    """`tensor` is called `to` from here on."""

    tensor: str
    to: str


class Cast(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="cast"):
    """Another datatype. A value that does not fit (1.5 as a whole number, 300 as UINT8, "x" as a number) fails."""

    tensor: str
    datatype: Datatype


class Scale(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="scale"):
    """tensor * by + add; one number, or one for each value of a row. Whole numbers become FP64."""

    tensor: str
    by: tuple[float, ...] = (1.0,)
    add: tuple[float, ...] = (0.0,)


class Default(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="default"):
    """A tensor that is not there: the same value, or list of values, in every row."""

    tensor: str
    datatype: Datatype
    value: Value | tuple[Value, ...]


class Drop(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="drop"):
    tensor: str


class Compute(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="compute"):
    """A tensor made of others, row by row: serving/expression.py. `datatype` of the result, else as it comes out."""

    tensor: str
    expression: str
    datatype: Datatype | None = None


Step = Rename | Cast | Scale | Default | Drop | Compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    outer: Signature
    inputs: tuple[Step, ...] = ()
    outputs: tuple[Step, ...] = ()
