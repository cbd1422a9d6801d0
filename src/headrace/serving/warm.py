"""Real rows through a model before it takes traffic: first-call costs are paid, and its answers are checked.

Called by fleet.py. Decides that a version whose answers are not finite, or not of its signature's shape, is refused,
and whether one that was away for a while still answers.
Rows come from the package (`warmup`: .npy or .json, put there by optimize from the training data). Without any, rows
of zeros measure the speed; what the model says to those proves nothing, so it cannot refuse.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from headrace.base.log import fields
from headrace.serving.answer import Check
from headrace.serving.codec import Codec
from headrace.serving.runtimes.base import Array, Inputs, Model, Outputs
from headrace.types.errors import BadInput, HeadraceError, ModelFailed, ModelRefused, Unavailable
from headrace.types.model import Layout, Package, RuntimeKind

ROWS = 256  # of the package's rows at most
GRAPHS = (RuntimeKind.ONNX, RuntimeKind.OPENVINO)  # which say what they do to their first dimension
# Warm already, perhaps paid by the call, and may be away now.
ELSEWHERE = (RuntimeKind.REMOTE, RuntimeKind.LEGACY, RuntimeKind.PROGRAM)

PROOF_SECONDS = 5.0  # that one row may take

log = logging.getLogger("headrace.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """`together`: calls may be run together, since each row's answer is the same alone and among others, as far as the
    rows at hand can show. `sample`: one row that it answered; None when no row at hand was."""

    together: bool
    sample: Inputs | None


async def warm(model: Model, codec: Codec, check: Check, *, folder: Path, package: Package) -> Warmed:
    """Raises ModelRefused."""
    if package.runtime in ELSEWHERE:
        return Warmed(together=False, sample=None)
    if not package.warmup:
        return Warmed(together=package.runtime in GRAPHS, sample=await _warm_blindly(model, codec))
    try:
        inputs = read_rows(folder / package.warmup, codec)
        outputs = check(await model.warm(inputs), inputs.rows)
        return Warmed(together=await _same_alone(model, check, inputs, outputs), sample=inputs.part(0, 1))
    except (BadInput, ModelFailed, Unavailable) as error:
        raise ModelRefused(f"it does not answer its own warm-up rows: {error.sentence()}", field=error.field) from error


async def answers(model: Model, check: Check, sample: Inputs | None) -> bool:
    """Whether it still does: its process may have hung or died while nobody called it."""
    if sample is None:
        return True
    try:
        async with asyncio.timeout(PROOF_SECONDS):
            deadline = asyncio.get_running_loop().time() + PROOF_SECONDS
            work = model.run(replace(sample, deadline=deadline))
            check(work if isinstance(work, list) else await work, sample.rows)
    except (HeadraceError, TimeoutError) as error:
        log.warning("a version that was away does not answer", extra=fields(error=str(error)))
        return False
    return True


async def _same_alone(model: Model, check: Check, inputs: Inputs, outputs: Outputs) -> bool:
    for row in {0, inputs.rows - 1}:
        work = model.run(inputs.part(row, row + 1))
        alone = check(work if isinstance(work, list) else await work, 1)
        for one, many in zip(alone, outputs, strict=True):
            if not _alike(one[0], many[row]):
                log.warning("calls are not run together: a row's answer depends on its company", extra=fields(row=row))
                return False
    return True


def _alike(one: Array, other: Array) -> bool:
    if np.asarray(one).dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-3, atol=1e-5))
    return bool(np.array_equal(one, other))


async def _warm_blindly(model: Model, codec: Codec) -> Inputs | None:
    arrays: dict[str, Array] = {}
    for spec in codec.specs.values():
        dtype = codec.dtypes[spec.name]
        shape = [max(size, 1) for size in spec.shape]
        arrays[spec.name] = np.full(shape, "", dtype=object) if dtype.kind == "O" else np.zeros(shape, dtype=dtype)
    inputs = codec.from_arrays(arrays)
    try:
        await model.warm(inputs)
    except (BadInput, ModelFailed) as error:
        log.warning("warm-up without rows failed", extra=fields(error=error.sentence()))
        return None
    return inputs


def read_rows(path: Path, codec: Codec) -> Inputs:
    try:
        if path.suffix == ".json":
            return codec.decode(_cut(path.read_bytes()))
        array = np.load(path, allow_pickle=False)[:ROWS]
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise ModelRefused(f"warm-up rows {path.name!r} cannot be read: {error}", field="warmup") from error
    return codec.from_arrays(_by_name(array, codec))


def _cut(text: bytes) -> msgspec.Raw:
    """The first ROWS of a list of records; an object of columns as it is."""
    if not text.lstrip().startswith(b"["):
        return msgspec.Raw(text.strip())
    return msgspec.Raw(msgspec.json.encode(msgspec.json.decode(text, type=list[msgspec.Raw])[:ROWS]))


def _by_name(array: Array, codec: Codec) -> dict[str, Array]:
    """A structured array has a field per input; a plain one is the only input, or the columns side by side."""
    specs = codec.signature.inputs
    if array.dtype.names:
        return {spec.name: array[spec.name].astype(codec.dtypes[spec.name]) for spec in specs}
    if codec.signature.layout is Layout.COLUMNS:
        if array.ndim != 2 or array.shape[1] != len(specs):
            raise BadInput(
                f"warm-up rows have shape {array.shape}; the model takes {len(specs)} columns", field="warmup"
            )
        return {spec.name: array[:, i].astype(codec.dtypes[spec.name]) for i, spec in enumerate(specs)}
    return {specs[0].name: array.astype(codec.dtypes[specs[0].name])}
