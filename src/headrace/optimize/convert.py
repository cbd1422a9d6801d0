"""The conversion child: opens a model, turns it into ONNX if that answers alike, and says what it did.

Run by prepare as `python -m headrace.optimize.convert` under compute.job: this process may unpickle, it has no secrets.
Reads an Order from standard input, writes package contents to a folder, reports an Outcome. Decides the order of the
attempts: ONNX in float32, ONNX in float64, the model as it is (pyfunc). The first that is proven wins.

A model that is ONNX already goes to accept.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import skops.io  # type: ignore[import-untyped]  # noqa: F401 - before mlflow: it searches all modules loaded so far
from numpy.typing import NDArray

from headrace.compute.job import Report
from headrace.optimize.accept import accept_graph
from headrace.optimize.asked import PYTORCH, on_openvino, torch_kind, with_torch
from headrace.optimize.contents import save_warmup, specs_of
from headrace.optimize.graph import (
    CANNOT,
    Feeding,
    convert_estimator,
    feed,
    feedings,
    open_session,
    run_session,
    save,
    shape_outputs,
)
from headrace.optimize.order import Order, Outcome
from headrace.optimize.original import LABEL, PREDICTION, Original, gives_labels
from headrace.optimize.parity import Finding, compare
from headrace.optimize.rows import Table, finite, from_example, from_json, join, rows_of, take
from headrace.optimize.splits import split_rows
from headrace.store.flavor import (
    answers_of,
    feed_pyfunc,
    flavor_name,
    input_example,
    load_native,
    load_pyfunc,
    predict_method,
    raw_model,
    read_signature,
)
from headrace.store.mlmodel import load_mlmodel
from headrace.types.errors import HeadraceError, ModelFailed, ModelRefused
from headrace.types.model import Layout, Parity, RuntimeKind, Signature

Array = NDArray[Any]
REAL_ROWS = 2_000  # compared at most; the newest captured ones are given first
NO_ROWS = "ONNX is not tried: there are no real rows to prove it on (log the model with input_example=…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The rows that every attempt is asked, and what the original answers."""

    table: Table
    real: int
    answers: dict[str, Array]


def main() -> None:
    report = Report()
    warnings.simplefilter("ignore")  # what libraries warn of goes nowhere anyway
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        outcome = convert(order, report.progress)
    except HeadraceError as error:
        outcome = Outcome(refused=error.message, field=error.field or "", hint=error.hint or "")
    report.result(msgspec.json.encode(outcome))


def convert(order: Order, say: Callable[[str], None]) -> Outcome:
    """Raises ModelRefused for a model that cannot be served at all."""
    outcome = _convert(order, say)
    if order.runtime is not RuntimeKind.OPENVINO or outcome.runtime is not RuntimeKind.ONNX or not outcome.signature:
        return outcome
    say("ask OpenVINO the same, as the model wants to run on it")
    rows = _real_rows(order, Path(order.artifact), outcome.signature, say)
    return on_openvino(Path(order.out), outcome, rows, tolerance=order.tolerance)


def _convert(order: Order, say: Callable[[str], None]) -> Outcome:
    folder, out = Path(order.artifact), Path(order.out)
    flavor = flavor_name(folder)
    say(f"open the {flavor} model")
    if flavor == "onnx":
        return _accept(order, folder, out, say)
    if order.runtime is RuntimeKind.PYFUNC and not order.given_up:
        order = replace(order, given_up="ONNX is not tried: the model asks for the runtime pyfunc")
    signature = read_signature(folder)
    real = _real_rows(order, folder, signature, say)
    tried: list[str] = [order.given_up] if order.given_up else []
    if not order.given_up and not rows_of(real):
        tried.append(NO_ROWS)
    elif not order.given_up and flavor != "sklearn":
        tried.append(f"ONNX is not tried: there is no converter for the flavour {flavor!r}")
    elif not order.given_up:
        outcome = _try_onnx(order, folder, signature=signature, real=real, tried=tried, say=say)
        if outcome is not None:
            return outcome
    return _as_it_is(folder, out, signature=signature, real=real, tried=tried, say=say)


def _accept(order: Order, folder: Path, out: Path, say: Callable[[str], None]) -> Outcome:
    declared = read_signature(folder) if load_mlmodel(folder).get("signature") else None
    signature, parity, warmup = accept_graph(
        load_native(folder),
        declared,
        out=out,
        tolerance=order.tolerance,
        rows=lambda found: _real_rows(order, folder, found, say),
    )
    return Outcome(runtime=RuntimeKind.ONNX, signature=signature, parity=parity, warmup=warmup)


def _real_rows(order: Order, folder: Path, signature: Signature, say: Callable[[str], None]) -> Table:
    captured, odd = from_json(order.rows, signature)
    if odd:
        say(f"{odd} of {len(order.rows)} captured rows do not fit the signature and are left out")
    example = from_example(input_example(folder, signature), signature)
    return take(finite(join([example, captured])), slice(REAL_ROWS))


def _try_onnx(
    order: Order, folder: Path, *, signature: Signature, real: Table, tried: list[str], say: Callable[[str], None]
) -> Outcome | None:
    """The proven graph, or None; `tried` grows by what was rejected and why."""
    original = Original(estimator=load_native(folder), signature=signature, method=predict_method(folder))
    try:
        proof = _proof(original, real, say)
    except (ModelFailed, *CANNOT) as error:
        tried.append(f"ONNX is not tried: the original does not answer the real rows: {_words(error)}")
        return None
    for double in (False, True):
        name = "ONNX float64" if double else "ONNX float32"
        say(f"convert to {name}")
        try:
            session, finding = _attempt(original, proof, double=double, out=Path(order.out), order=order)
        except CANNOT as error:
            tried.append(f"{name}: {_words(error)}")
            continue
        if finding.passed:
            say(f"{name} answers like the original on {finding.rows} rows{_speed(original, session, proof)}")
            return _proven(Path(order.out), signature, proof=proof, finding=finding, tried=tried, order=order)
        tried.append(f"{name}: {finding.why}")
        say(f"{name} is rejected: {finding.why}")
    return None


def _proof(original: Original, real: Table, say: Callable[[str], None]) -> Proof:
    signature = original.signature
    columns = tuple(real.values())
    if signature.layout is Layout.TENSOR and len(columns) == 1 and columns[0].ndim == 2:
        columns = tuple(columns[0].T.copy())
    splits = split_rows(original.estimator, columns, as_input=original.as_input)
    table = real
    if splits is not None:
        say(f"found {len(splits[0])} rows at split values of its trees")
        made = dict(zip(real, splits, strict=True)) if signature.layout is Layout.COLUMNS else {}
        made = made or {name: np.stack(splits, axis=1).astype(array.dtype) for name, array in real.items()}
        table = join([real, made])
    return Proof(table=table, real=rows_of(real), answers=original.answer(table))


def _attempt(original: Original, proof: Proof, *, double: bool, out: Path, order: Order) -> tuple[Any, Finding]:
    """Convert, save, and ask the saved file. Of several ways to feed a graph, the first that converts is taken."""
    *first, last = feedings(original.signature)
    for feeding in first:
        try:
            return _one_attempt(original, proof, feeding=feeding, double=double, out=out, order=order)
        except CANNOT:
            continue
    return _one_attempt(original, proof, feeding=last, double=double, out=out, order=order)


def _one_attempt(
    original: Original, proof: Proof, *, feeding: Feeding, double: bool, out: Path, order: Order
) -> tuple[Any, Finding]:
    model = convert_estimator(
        original.estimator, original.signature, feeding=feeding, double=double, classifier=original.classifier
    )
    few = slice(2)
    shape_outputs(model, take(proof.answers, few), run_session(open_session(model), take(proof.table, few)))
    save(model, out)
    session = open_session(out / "model.onnx")
    given = run_session(session, proof.table)
    finding = compare(proof.answers, given, real=proof.real, tolerance=order.tolerance)
    if finding.passed:
        one = run_session(session, take(proof.table, slice(1)))
        alone = compare(take(given, slice(1)), one, real=1, tolerance=order.tolerance)
        finding = replace(finding, why=f"one row alone is answered otherwise: {alone.why}" if alone.why else "")
    return session, finding


def _proven(
    out: Path, signature: Signature, *, proof: Proof, finding: Finding, tried: list[str], order: Order
) -> Outcome:
    session = open_session(out / "model.onnx")
    given = run_session(session, take(proof.table, slice(2)))
    return Outcome(
        runtime=RuntimeKind.ONNX,
        signature=replace(signature, outputs=specs_of(given)),
        parity=Parity(
            passed=True,
            rows=finding.rows,
            split_rows=finding.rows - proof.real,
            label_flips=finding.label_flips,
            max_difference=finding.max_difference,
            tolerance=order.tolerance,
            tried=tuple(tried),
        ),
        warmup=save_warmup(out, signature, take(proof.table, slice(proof.real))),
    )


def _as_it_is(
    folder: Path, out: Path, *, signature: Signature, real: Table, tried: list[str], say: Callable[[str], None]
) -> Outcome:
    """The MLflow folder itself; prepare copies it. Here it only has to load and answer."""
    say("keep the model as it is, to run in a model host")
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob("model.onnx*"):  # of a rejected attempt
        left.unlink()
    rows = rows_of(real)
    kind = torch_kind(folder) if flavor_name(folder) == PYTORCH else RuntimeKind.PYFUNC
    try:
        if kind is RuntimeKind.PYFUNC:
            answers, labels = _pyfunc(folder, real)
        else:
            given = with_torch(kind, folder, signature, lambda opened: opened(real, rows) if rows else {})
            answers, labels = answers_of(given, rows), False
    except CANNOT as error:
        raise ModelRefused(f"the model does not run: {_words(error)}", field="model") from error
    outputs = specs_of(answers) if answers else signature.outputs
    if labels and [spec.name for spec in outputs] == [PREDICTION]:
        outputs = (replace(outputs[0], name=LABEL),)  # as a converted one calls it, so that variants agree
    if not outputs:
        raise ModelRefused(
            "neither the signature nor an example says what the model answers",
            field="signature",
            hint="log the model with signature=infer_signature(inputs, outputs) and input_example=…",
        )
    return Outcome(
        runtime=kind,
        signature=replace(signature, outputs=outputs),
        parity=Parity(
            passed=True, rows=rows, split_rows=0, label_flips=0, max_difference=0.0, tolerance=0.0, tried=tuple(tried)
        ),
        warmup=save_warmup(out, signature, real),
    )


def _pyfunc(folder: Path, real: Table) -> tuple[Table, bool]:
    """What it answers to the real rows, and whether that is classes."""
    model, rows = load_pyfunc(folder), rows_of(real)
    answers = answers_of(model.predict(feed_pyfunc(model, real)), rows) if rows else {}
    return answers, flavor_name(folder) == "sklearn" and gives_labels(raw_model(model), predict_method(folder))


def _speed(original: Original, session: Any, proof: Proof) -> str:
    """One row, median of some: for the person who reads along."""
    row = take(proof.table, slice(1))
    fed = feed(session, row)
    before, after = _median(lambda: original.answer(row)), _median(lambda: session.run(None, fed))
    return f"; one row takes {after * 1e6:.0f} µs instead of {before * 1e6:.0f}"


def _median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[3]


def _words(error: Exception) -> str:
    """The first sentence of what a library said, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "…"


if __name__ == "__main__":
    main()
