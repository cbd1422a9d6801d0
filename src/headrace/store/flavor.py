"""An MLflow model folder, opened. Only for child processes: loading a model may run whatever code is in it.

Called by optimize.convert (the conversion job) and serving.host (a model host). Decides how MLflow's signature,
examples and predictions look in our words: arrays by name, the batch first. Ignores where the folder came from.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.pyfunc import PyFuncModel
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types import TensorSpec as MlflowTensor
from numpy.typing import NDArray

from headrace.store.mlmodel import flavor_of, load_mlmodel
from headrace.types.errors import ModelFailed, ModelRefused
from headrace.types.model import Datatype, Layout, Signature, TensorSpec

Array = NDArray[Any]
Table = dict[str, Array]  # one array per input of the signature, the batch first

_BY_COLUMN_TYPE = {
    DataType.boolean: Datatype.BOOL,
    DataType.integer: Datatype.INT32,
    DataType.long: Datatype.INT64,
    DataType.float: Datatype.FP32,
    DataType.double: Datatype.FP64,
    DataType.string: Datatype.BYTES,
}
_BY_DTYPE = {
    "bool": Datatype.BOOL,
    **{f"int{bits}": Datatype(f"INT{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": Datatype(f"UINT{bits}") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": Datatype(f"FP{bits}") for bits in (16, 32, 64)},
}
# What unpickling and importing somebody's code commonly raises; anything else ends the child, which is reported too.
_LOADING = (
    MlflowException,
    ImportError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    OSError,
    EOFError,
    pickle.UnpicklingError,
)
_HINT = "log the model with signature=mlflow.models.infer_signature(inputs, outputs)"


def flavor_name(folder: Path) -> str:
    return flavor_of(load_mlmodel(folder))


def read_signature(folder: Path) -> Signature:
    """Raises ModelRefused without one, or with a type that no request can carry. An unnamed tensor is `input`."""
    signature = Model.load(str(folder)).signature
    if signature is None or signature.inputs is None:
        raise ModelRefused("the model has no signature, so no request can be checked", field="signature", hint=_HINT)
    inputs = signature.inputs
    layout = Layout.TENSOR if inputs.is_tensor_spec() else Layout.COLUMNS
    outputs = tuple(_spec(s, "prediction") for s in signature.outputs.inputs) if signature.outputs else ()
    if layout is Layout.COLUMNS and not inputs.has_input_names():
        raise ModelRefused("the columns of the signature have no names", field="signature", hint=_HINT)
    return Signature(inputs=tuple(_input(s) for s in inputs.inputs), outputs=outputs, layout=layout)


def predict_method(folder: Path) -> str:
    """Which method of the native model MLflow's pyfunc calls; `predict` unless it was logged with another."""
    return str(load_mlmodel(folder)["flavors"].get("python_function", {}).get("predict_fn", "predict"))


def load_native(folder: Path) -> Any:
    """The estimator of a scikit-learn model (from skops or pickle), or the graph of an ONNX model."""
    loaders = {"sklearn": mlflow.sklearn.load_model, "onnx": mlflow.onnx.load_model}
    return _loaded(loaders[flavor_name(folder)], folder)


def load_pyfunc(folder: Path) -> PyFuncModel:
    """The model as MLflow runs it, whatever its flavour."""
    model: PyFuncModel = _loaded(mlflow.pyfunc.load_model, folder)
    return model


def raw_model(model: PyFuncModel) -> Any:
    """What is inside: the estimator of a scikit-learn model, the author's own object of a custom one."""
    return model.get_raw_model()  # type: ignore[no-untyped-call]


def feed_pyfunc(model: PyFuncModel, table: Mapping[str, Array]) -> Any:
    """What `model.predict` takes: a data frame, a bare array, or arrays by name, as its own signature says."""
    schema: Schema = model.metadata.signature.inputs
    if not schema.is_tensor_spec():
        return frame(table)
    return dict(table) if schema.has_input_names() else next(iter(table.values()))


def answers_of(raw: Any, rows: int) -> Table:
    """A prediction as arrays by name (`prediction` when it has none), in order. Raises ModelFailed for an odd one."""
    if isinstance(raw, pd.DataFrame):
        found = {str(name): raw[name].to_numpy() for name in raw.columns}
    elif isinstance(raw, Mapping):
        found = {str(name): np.asarray(value) for name, value in raw.items()}
    else:
        found = {"prediction": raw.to_numpy() if isinstance(raw, pd.Series) else np.asarray(raw)}
    for name, array in found.items():
        if array.ndim == 0 or len(array) != rows:
            raise ModelFailed(f"the model answered {name!r} of shape {array.shape} for {rows} rows", field=name)
    return found


def frame(table: Mapping[str, Array]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(array) for name, array in table.items()}, copy=False)


def input_example(folder: Path, signature: Signature) -> Table:
    """The rows that the model was logged with, by the signature's names; empty when there are none that fit it."""
    example: Any = Model.load(str(folder)).load_input_example(str(folder))
    if example is None:
        return {}
    if isinstance(example, pd.DataFrame) and signature.layout is Layout.COLUMNS:
        found = {s.name: example[s.name].to_numpy() for s in signature.inputs if s.name in example.columns}
    elif isinstance(example, Mapping):
        found = {s.name: np.asarray(example[s.name]) for s in signature.inputs if s.name in example}
    else:
        found = {signature.inputs[0].name: np.asarray(example)} if len(signature.inputs) == 1 else {}
    return found if len(found) == len(signature.inputs) else {}


def datatype_of(dtype: np.dtype[Any]) -> Datatype:
    """Raises ModelRefused for what no request or answer can carry."""
    if dtype.kind in "UO":
        return Datatype.BYTES
    if dtype.name not in _BY_DTYPE:
        raise ModelRefused(f"type {dtype.name!r} cannot be served; allowed: str, {', '.join(_BY_DTYPE)}", field="type")
    return _BY_DTYPE[dtype.name]


def _loaded(load: Callable[[str], Any], folder: Path) -> Any:
    try:
        return load(str(folder))
    except _LOADING as error:
        raise ModelRefused(
            f"the model does not load: {type(error).__name__}: {error}",
            field="model",
            hint="are the packages of its requirements.txt installed here?",
        ) from error


def _input(spec: Any) -> TensorSpec:
    found = _spec(spec, "input")
    if isinstance(spec, MlflowTensor) and (not found.shape or found.shape[0] != -1):
        raise ModelRefused(
            f"input {found.name!r} has shape {found.shape}: the first dimension is the batch and must be free (-1)",
            field="signature",
            hint="use a shape such as (-1, 64)",
        )
    return found


def _spec(spec: Any, default: str) -> TensorSpec:
    name = spec.name or default
    if isinstance(spec, MlflowTensor):
        return TensorSpec(name=name, datatype=datatype_of(spec.type), shape=tuple(int(n) for n in spec.shape))
    if isinstance(spec, ColSpec) and isinstance(spec.type, DataType) and spec.type in _BY_COLUMN_TYPE:
        return TensorSpec(name=name, datatype=_BY_COLUMN_TYPE[spec.type], shape=(-1,))
    allowed = ", ".join(kind.name for kind in _BY_COLUMN_TYPE)
    raise ModelRefused(f"column {name!r} has type {spec.type}; allowed: {allowed}", field="signature")
