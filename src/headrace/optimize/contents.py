"""What a package holds besides the model: the output specs as they were seen, and real rows to warm up with.

Called by convert and accept, in the child.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.optimize.rows import rows_of, take
from headrace.store.flavor import datatype_of
from headrace.types.model import Layout, Signature, TensorSpec

Array = NDArray[Any]
WARMUP_ROWS = 32


def specs_of(answers: Mapping[str, Array]) -> tuple[TensorSpec, ...]:
    """Raises ModelRefused for a type that no answer can carry."""
    return tuple(
        TensorSpec(name=name, datatype=datatype_of(a.dtype), shape=(-1, *a.shape[1:])) for name, a in answers.items()
    )


def save_warmup(out: Path, signature: Signature, table: Mapping[str, Array]) -> str:
    """Real rows in a form that needs no unpickling: .npy for one tensor of numbers, else JSON by input name."""
    table = take(table, slice(WARMUP_ROWS))
    if not rows_of(table):
        return ""
    only = next(iter(table.values()))
    if signature.layout is Layout.TENSOR and len(table) == 1 and only.dtype.kind != "O":
        np.save(out / "warmup.npy", only, allow_pickle=False)
        return "warmup.npy"
    (out / "warmup.json").write_bytes(msgspec.json.encode({name: array.tolist() for name, array in table.items()}))
    return "warmup.json"
