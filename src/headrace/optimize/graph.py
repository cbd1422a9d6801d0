"""From a fitted scikit-learn estimator to an ONNX graph, and running one.

Called by convert, in the child. Decides how the inputs of the graph are cut (one matrix, or one input per column) and
what its outputs are called: `label` and `probabilities` for a classifier, `prediction` for anything else.
Ignores whether the graph answers rightly: that is parity's.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)

from headrace.optimize.mend import mend_double_trees, mend_flags, mend_narrow_trees
from headrace.optimize.rows import DTYPES
from headrace.types.errors import ModelRefused
from headrace.types.model import Datatype, Layout, Signature

Array = NDArray[Any]
MATRIX = "input"
# The oldest opsets that hold what we convert: double split values in trees need ai.onnx.ml 3.
OPSETS = {"": 18, "ai.onnx.ml": 3}
BIGGEST_FILE = 1 << 30  # protobuf ends at 2 GiB; weights above this go beside the graph
# What converters and ONNX Runtime raise for a model that they cannot do. They share no base class.
CANNOT = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    NameError,  # skl2onnx: an option that the converter does not have
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
)


mend_flags()


class Feeding(StrEnum):
    """How the graph takes the inputs of the signature."""

    MATRIX = "one matrix"  # [rows, columns], the columns in the signature's order
    COLUMNS = "one input per column"  # each [rows, 1]


def feedings(signature: Signature) -> tuple[Feeding, ...]:
    """The cheapest first. Text cannot stand in a matrix of numbers."""
    if signature.layout is Layout.TENSOR:
        return (Feeding.MATRIX,)
    if any(spec.datatype is Datatype.BYTES for spec in signature.inputs):
        return (Feeding.COLUMNS,)
    return (Feeding.MATRIX, Feeding.COLUMNS)


def convert_estimator(
    estimator: Any, signature: Signature, *, feeding: Feeding, double: bool, classifier: bool
) -> onnx.ModelProto:
    """Raises one of CANNOT when there is no converter for it."""
    types = _types(signature, feeding, double=double)
    mended = mend_narrow_trees(estimator) if double else estimator
    options = {id(mended): {"zipmap": False}} if classifier else None
    model: onnx.ModelProto = convert_sklearn(mended, initial_types=types, options=options, target_opset=OPSETS)
    mend_double_trees(model)
    if feeding is Feeding.COLUMNS:
        _name_inputs(model, [spec.name for spec in signature.inputs])
    return model


def shape_outputs(model: onnx.ModelProto, wanted: Mapping[str, Array], given: Mapping[str, Array]) -> None:
    """Leave the graph the outputs of `wanted`, in its order, under its names and ranks.

    `given` is what the graph answers as it is, for the same rows. An output of the wanted name is taken, else the
    first; [rows, 1] becomes [rows] where the original has that.
    """
    graph = model.graph
    outputs = {output.name: output for output in graph.output}
    first = graph.output[0].name
    del graph.output[:]
    for name, expected in wanted.items():
        old = outputs[name if name in outputs else first]
        answer = given[old.name]
        source, kind = f"{name}.raw", old.type.tensor_type.elem_type
        _rename(graph, old.name, source)
        if answer.shape != expected.shape and answer.size == expected.size:
            shape = helper.make_tensor(f"{name}.shape", TensorProto.INT64, [expected.ndim], [-1, *expected.shape[1:]])
            graph.initializer.append(shape)
            graph.node.append(helper.make_node("Reshape", [source, shape.name], [f"{name}.shaped"]))
            source, answer = f"{name}.shaped", answer.reshape(expected.shape)
        if expected.dtype.kind in "bf" and answer.dtype.kind in "iu":  # classes 0.0 and 1.0, or False and True
            kind = helper.np_dtype_to_tensor_dtype(expected.dtype)
            graph.node.append(helper.make_node("Cast", [source], [f"{name}.cast"], to=kind))
            source = f"{name}.cast"
        graph.node.append(helper.make_node("Identity", [source], [name]))  # costs nothing: ONNX Runtime removes it
        graph.output.append(helper.make_tensor_value_info(name, kind, [None, *answer.shape[1:]]))


def open_session(model: onnx.ModelProto | Path) -> ort.InferenceSession:
    """With the options that serving uses, so that what is proven is what runs."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def feed(session: ort.InferenceSession, table: Mapping[str, Array]) -> dict[str, Array]:
    """The rows as the graph takes them, in its own types, as serving does it."""
    inputs = session.get_inputs()
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and (len(table) > 1 or inputs[0].name not in table):
        return {inputs[0].name: np.stack(list(table.values()), axis=1).astype(element_type(inputs[0]))}
    return {node.name: _fit(table[node.name], node) for node in inputs}


def run_session(session: ort.InferenceSession, table: Mapping[str, Array]) -> dict[str, Array]:
    """Answers by output name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed(session, table)), strict=True))


def save(model: onnx.ModelProto, folder: Path) -> None:
    """As model.onnx, with its weights in a file beside it when they are big."""
    folder.mkdir(parents=True, exist_ok=True)
    big = model.ByteSize() > BIGGEST_FILE
    onnx.save_model(
        model, str(folder / "model.onnx"), save_as_external_data=big, location="model.onnx.data" if big else None
    )


def element_type(node: Any) -> np.dtype[Any]:
    """Of a session's input. Raises ModelRefused for what a request cannot carry."""
    name = str(node.type).removeprefix("tensor(").removesuffix(")")
    known = {"float": "float32", "double": "float64", "string": "object"} | {
        dtype.name: dtype.name for dtype in DTYPES.values() if dtype.name not in ("float32", "float64", "object")
    }
    if name not in known:
        raise ModelRefused(
            f"{node.name!r} of the ONNX graph has type {node.type}; allowed: {', '.join(known)}", field="signature"
        )
    return np.dtype(known[name])


def _name_inputs(model: onnx.ModelProto, names: list[str]) -> None:
    """skl2onnx makes identifiers of column names; a request says the column's own name."""
    graph = model.graph
    if len(graph.input) != len(names):
        raise ValueError(f"the graph has {len(graph.input)} inputs for {len(names)} columns")
    for value, name in zip(graph.input, names, strict=True):
        _rename(graph, value.name, name)
        value.name = name


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _types(signature: Signature, feeding: Feeding, *, double: bool) -> list[tuple[str, Any]]:
    number = DoubleTensorType if double else FloatTensorType
    if feeding is Feeding.COLUMNS:
        kinds = {Datatype.BYTES: StringTensorType, Datatype.BOOL: BooleanTensorType}
        whole = {d for d in Datatype if d.value.startswith(("INT", "UINT"))}
        return [
            (s.name, kinds.get(s.datatype, Int64TensorType if s.datatype in whole else number)([None, 1]))
            for s in signature.inputs
        ]
    if signature.layout is Layout.COLUMNS:
        return [(MATRIX, number([None, len(signature.inputs)]))]
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 2:
        shapes = ", ".join(f"{s.name} {s.shape}" for s in signature.inputs)
        raise ValueError(f"a scikit-learn model takes one matrix, the signature says {shapes}")
    width = signature.inputs[0].shape[1]
    return [(signature.inputs[0].name, number([None, width if width > 0 else None]))]


def _fit(array: Array, node: Any) -> Array:
    array = array.astype(element_type(node))
    return array.reshape(-1, 1) if len(node.shape) == 2 and array.ndim == 1 else array
