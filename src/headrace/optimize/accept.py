"""A model that is ONNX already: checked and passed through.

Called by convert, in the child. There is no other original to compare with, so it is checked instead: it is valid, it
loads, its inputs are the signature's, its batch dimension is free, its answers are tensors, it answers the real rows
there are, and one row alone as it answers many. Decides the signature: for tensors it is the graph's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from headrace.optimize.contents import save_warmup, specs_of
from headrace.optimize.graph import CANNOT, element_type, open_session, run_session, save
from headrace.optimize.parity import compare
from headrace.optimize.rows import Table, rows_of, take
from headrace.store.flavor import datatype_of
from headrace.types.errors import ModelRefused
from headrace.types.model import Layout, Parity, Signature, TensorSpec


def accept_graph(
    model: onnx.ModelProto,
    declared: Signature | None,
    *,
    out: Path,
    tolerance: float,
    rows: Callable[[Signature], Table],
) -> tuple[Signature, Parity, str]:
    """The signature, what was checked, and the warm-up file. `rows` gives the real rows that fit a signature."""
    try:
        onnx.checker.check_model(model)
        save(model, out)
        session = open_session(out / "model.onnx")
    except CANNOT as error:
        raise ModelRefused(f"ONNX Runtime cannot load the graph: {error}", field="model") from error
    signature = _signature(session, declared)
    table = rows(signature)
    checked = "it is ONNX already: there are no real rows to run it on"
    if rows_of(table):
        signature = replace(signature, outputs=specs_of(_run(session, table, tolerance)))
        checked = f"it is ONNX already: it answers {rows_of(table)} real rows, one by one as all at once"
    parity = Parity(
        passed=True,
        rows=rows_of(table),
        split_rows=0,
        label_flips=0,
        max_difference=0.0,
        tolerance=tolerance,
        tried=(checked,),
    )
    return signature, parity, save_warmup(out, signature, table)


def _run(session: Any, table: Table, tolerance: float) -> dict[str, Any]:
    try:
        many = run_session(session, table)
        one = run_session(session, take(table, slice(1)))
    except CANNOT as error:
        raise ModelRefused(f"the graph does not answer its own example: {error}", field="model") from error
    for name, answer in many.items():
        if answer.ndim == 0 or len(answer) != rows_of(table):
            raise ModelRefused(f"output {name!r} has shape {answer.shape} for {rows_of(table)} rows", field="signature")
    finding = compare(take(many, slice(1)), one, real=1, tolerance=tolerance)
    if not finding.passed:
        raise ModelRefused(f"one row alone is answered otherwise than among others: {finding.why}", field="model")
    return many


def _signature(session: Any, declared: Signature | None) -> Signature:
    """The graph's own for tensors; a table's columns as they were declared, when the graph can take them."""
    inputs = tuple(_spec(node) for node in session.get_inputs())
    outputs = tuple(_spec(node) for node in session.get_outputs())
    for spec in inputs:
        if spec.shape[:1] != (-1,):
            raise ModelRefused(
                f"input {spec.name!r} has shape {spec.shape}: its batch dimension must be free",
                field="signature",
                hint="export it with a dynamic first axis",
            )
    if declared is None:
        return Signature(inputs=inputs, outputs=outputs)
    if declared.layout is Layout.COLUMNS:
        one_matrix = len(inputs) == 1 and inputs[0].shape[1:] in ((-1,), (len(declared.inputs),))
        if not one_matrix and [s.name for s in inputs] != [s.name for s in declared.inputs]:
            raise _contradiction(declared, inputs)
        return replace(declared, outputs=outputs)
    if [len(s.shape) for s in inputs] != [len(s.shape) for s in declared.inputs]:
        raise _contradiction(declared, inputs)
    return Signature(inputs=inputs, outputs=outputs)


def _spec(node: Any) -> TensorSpec:
    if not str(node.type).startswith("tensor("):
        raise ModelRefused(
            f"{node.name!r} of the graph is a {node.type}, not a tensor",
            field="signature",
            hint="export without ZipMap",
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(name=node.name, datatype=datatype_of(element_type(node)), shape=shape)


def _contradiction(declared: Signature, inputs: tuple[TensorSpec, ...]) -> ModelRefused:
    said = ", ".join(f"{s.name} {s.shape}" for s in declared.inputs)
    found = ", ".join(f"{s.name} {s.shape}" for s in inputs)
    return ModelRefused(f"the signature says {said}, the graph takes {found}", field="signature")
