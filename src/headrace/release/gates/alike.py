"""When two answers are the same. Pure; called by the gates that compare.

Labels, integers and texts are compared exactly, numbers with a tolerance that their type can hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.release.gates.base import Array, Arrays
from headrace.types.model import Datatype, TensorSpec

_SHOWN = 80
# (relative, absolute): what other hardware, another batch or another order of adding may change.
TOLERANCES = {
    Datatype.FP64: (1e-7, 1e-9),
    Datatype.FP32: (1e-3, 1e-5),
    Datatype.FP16: (1e-2, 1e-2),
    Datatype.BF16: (1e-2, 1e-2),
}


def differing(one: Arrays, other: Arrays, specs: Sequence[TensorSpec]) -> str:
    """The first output in which they differ, in words; empty when they do not."""
    for spec in specs:
        a, b = one.get(spec.name), other.get(spec.name)
        if a is None or b is None:
            return f"output {spec.name!r} is missing"
        if not same(a, b, spec.datatype):
            return f"{spec.name} {shown(a)} and {shown(b)}"
    return ""


def same(a: Array, b: Array, datatype: Datatype) -> bool:
    if a.shape != b.shape:
        return False
    if datatype not in TOLERANCES:
        return bool(np.array_equal(a, b))
    relative, absolute = TOLERANCES[datatype]
    return bool(np.allclose(a, b, rtol=relative, atol=absolute))


def shown(array: Array) -> str:
    value = array.tolist()
    text = str(value[0] if isinstance(value, list) and len(value) == 1 else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
