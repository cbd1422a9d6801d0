"""The classification extension of V2: an output as its `k` highest values, each as the text "value:index".

Called by v2.py and api/grpc. Decides form and order as Triton does: highest first, floats with six decimals. Ignores
labels: a package has none.
"""

from __future__ import annotations

import numpy as np

from headrace.serving.runtimes.base import Array
from headrace.types.errors import BadInput


def classified(array: Array, k: int) -> Array:
    """[rows, …] to texts of [rows, k]; with fewer classes than k, all of them."""
    if array.dtype.kind not in "iufb":
        raise BadInput("an output of text has no classes", field="outputs")
    rows = array.reshape(len(array), -1)
    k = min(k, rows.shape[1])
    found = np.empty((len(rows), k), dtype=object)
    form = "{:f}:{}" if rows.dtype.kind == "f" else "{:d}:{}"
    for number, row in enumerate(rows):
        values = row.astype(np.float64) if row.dtype.kind == "f" else row.astype(object)
        order = sorted(range(len(values)), key=values.__getitem__, reverse=True)[:k]
        found[number] = [
            form.format(values[index] if row.dtype.kind == "f" else int(values[index]), index) for index in order
        ]
    return found
