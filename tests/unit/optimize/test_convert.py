"""What the conversion child decides, on real models and rows: the attempt that wins, and why the others did not."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import mlflow.onnx
import mlflow.pyfunc
import msgspec
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from mlflow.models import infer_signature
from onnx import TensorProto, helper
from saved_models import custom_code, digits, iris, save, scaled_logistic
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from headrace.optimize.convert import NO_ROWS, convert
from headrace.optimize.order import Order, Outcome
from headrace.types.errors import ModelRefused
from headrace.types.model import Datatype, Layout, RuntimeKind, TensorSpec


def run(folder: Path, *, rows: tuple[Any, ...] = (), given_up: str = "") -> Outcome:
    order = Order(artifact=str(folder), out=f"{folder}.out", rows=rows, tolerance=1e-4, given_up=given_up)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the child does
        return convert(order, lambda text: None)


def session(folder: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(f"{folder}.out/model.onnx", providers=["CPUExecutionProvider"])


def proven(outcome: Outcome) -> Outcome:
    assert outcome.parity is not None
    assert outcome.runtime is RuntimeKind.ONNX, outcome.parity.tried
    assert outcome.parity.passed
    assert outcome.parity.label_flips == 0
    assert outcome.parity.max_difference <= 1e-4
    return outcome


@pytest.mark.parametrize(
    ("model", "with_splits"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)), False),
        (RandomForestClassifier(100, random_state=0), True),
        (GradientBoostingClassifier(n_estimators=10, random_state=0), True),
    ],
    ids=["logistic", "forest", "boosting"],
)
def test_digits_in_float32(tmp_path: Path, model: Any, with_splits: bool) -> None:
    inputs, classes = digits()
    outcome = proven(run(save(tmp_path / "m", model.fit(inputs, classes), inputs)))
    assert outcome.parity is not None
    assert outcome.parity.tried == ()
    assert (outcome.parity.split_rows > 1000) is with_splits
    assert outcome.parity.rows == 40 + outcome.parity.split_rows
    assert outcome.signature is not None
    assert outcome.signature.inputs == (TensorSpec(name="input", datatype=Datatype.FP64, shape=(-1, 64)),)
    assert outcome.signature.outputs == (
        TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),
        TensorSpec(name="probabilities", datatype=Datatype.FP32, shape=(-1, 10)),
    )
    label, probabilities = session(tmp_path / "m").run(["label", "probabilities"], {"input": inputs.astype(np.float32)})
    assert (label == model.predict(inputs)).all()
    assert np.allclose(probabilities, model.predict_proba(inputs), atol=1e-4)
    assert np.array_equal(np.load(tmp_path / "m.out" / outcome.warmup, allow_pickle=False), inputs[:32])


def test_a_forest_behind_a_scaler_needs_float64_and_says_why(tmp_path: Path) -> None:
    inputs, classes = digits()
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(inputs, classes)
    outcome = proven(run(save(tmp_path / "m", model, inputs)))
    assert outcome.parity is not None
    assert len(outcome.parity.tried) == 1
    assert outcome.parity.tried[0].startswith("ONNX float32: ")
    assert "at split values" in outcome.parity.tried[0]
    assert session(tmp_path / "m").get_inputs()[0].type == "tensor(double)"


def test_named_columns_of_numbers_become_one_matrix(tmp_path: Path) -> None:
    inputs, classes = iris()
    model = RandomForestClassifier(10, random_state=0).fit(inputs, np.array(["a", "b", "c"])[classes])
    outcome = proven(run(save(tmp_path / "m", model, inputs)))
    assert outcome.signature is not None
    assert outcome.signature.layout is Layout.COLUMNS
    assert [spec.name for spec in outcome.signature.inputs] == list(inputs.columns)
    assert outcome.signature.outputs[0] == TensorSpec(name="label", datatype=Datatype.BYTES, shape=(-1,))
    graph = session(tmp_path / "m")
    assert [(node.name, node.shape) for node in graph.get_inputs()] == [("input", [None, 4])]
    label, _ = graph.run(None, {"input": inputs.to_numpy(dtype=np.float32)})
    assert (label == model.predict(inputs)).all()
    warmup = msgspec.json.decode((tmp_path / "m.out" / outcome.warmup).read_bytes())
    assert warmup == {name: inputs[name][:32].tolist() for name in inputs.columns}


def test_columns_of_several_kinds_become_one_input_each(tmp_path: Path) -> None:
    inputs, classes = iris()
    inputs = inputs.assign(colour=np.where(np.arange(150) % 2, "red", "blue"))
    encode = ColumnTransformer([("n", StandardScaler(), list(inputs.columns[:4])), ("c", OneHotEncoder(), ["colour"])])
    model = make_pipeline(encode, LogisticRegression(max_iter=500)).fit(inputs, classes)
    outcome = proven(run(save(tmp_path / "m", model, inputs)))
    assert outcome.signature is not None
    graph = session(tmp_path / "m")
    assert [node.name for node in graph.get_inputs()] == list(inputs.columns)
    assert {node.shape[1] for node in graph.get_inputs()} == {1}
    feed = {name: inputs[[name]].to_numpy(dtype=object if name == "colour" else np.float32) for name in inputs.columns}
    assert (graph.run(["label"], feed)[0] == model.predict(inputs)).all()


@pytest.mark.parametrize(
    ("classes", "datatype"), [([False, True, True], Datatype.BOOL), ([0.0, 1.0, 2.0], Datatype.FP64)]
)
def test_labels_keep_their_type(tmp_path: Path, classes: list[Any], datatype: Datatype) -> None:
    inputs, numbers = iris()
    rows = inputs.to_numpy()
    model = LogisticRegression(max_iter=500).fit(rows, np.array(classes)[numbers])
    outcome = proven(run(save(tmp_path / "m", model, rows)))
    assert outcome.signature is not None
    assert outcome.signature.outputs[0].datatype is datatype


@pytest.mark.parametrize(
    "model", [LinearRegression(), RandomForestRegressor(10, random_state=0), KMeans(3, n_init=1, random_state=0)]
)
def test_what_is_no_classifier_answers_prediction(tmp_path: Path, model: Any) -> None:
    inputs, classes = iris()
    rows = inputs.to_numpy()
    outcome = proven(run(save(tmp_path / "m", model.fit(rows, classes), rows)))
    assert outcome.signature is not None
    assert [(spec.name, spec.shape) for spec in outcome.signature.outputs] == [("prediction", (-1,))]
    assert session(tmp_path / "m").run(None, {"input": rows[:1].astype(np.float32)})[0].shape == (1,)


def test_a_model_logged_for_its_probabilities_answers_them_first(tmp_path: Path) -> None:
    inputs, _ = digits()
    model = scaled_logistic()
    signature = infer_signature(inputs, model.predict_proba(inputs))
    folder = save(tmp_path / "m", model, inputs, signature=signature, pyfunc_predict_fn="predict_proba")
    outcome = proven(run(folder))
    assert outcome.signature is not None
    assert [spec.name for spec in outcome.signature.outputs] == ["probabilities"]


def test_code_that_no_converter_knows_stays_as_it_is(tmp_path: Path) -> None:
    inputs, _ = digits()
    outcome = run(save(tmp_path / "m", custom_code(), inputs, serialization_format="cloudpickle"))
    assert outcome.runtime is RuntimeKind.PYFUNC
    assert outcome.signature is not None
    assert outcome.signature.outputs == (TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),)
    assert outcome.parity is not None
    assert [text.partition(":")[0] for text in outcome.parity.tried] == ["ONNX float32", "ONNX float64"]
    assert "FunctionTransformer is not supported" in outcome.parity.tried[0]
    assert [path.name for path in (tmp_path / "m.out").iterdir()] == ["warmup.npy"]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        # Its trees compare in double; the converter rounds the split values for trees that compare in float.
        (HistGradientBoostingClassifier(max_iter=20), "at split values"),
        # Ties between equally near neighbours are broken otherwise.
        (KNeighborsClassifier(), "scores up to 0.2 apart"),
    ],
)
def test_a_conversion_that_answers_otherwise_is_rejected(tmp_path: Path, model: Any, why: str) -> None:
    inputs, classes = iris()
    rows = inputs.to_numpy()
    outcome = run(save(tmp_path / "m", model.fit(rows, classes), rows, example=150, serialization_format="cloudpickle"))
    assert outcome.runtime is RuntimeKind.PYFUNC
    assert outcome.parity is not None
    assert why in outcome.parity.tried[0]
    assert why in outcome.parity.tried[1]


def test_several_outputs_at_once_are_not_tried(tmp_path: Path) -> None:
    inputs, classes = iris()
    rows = inputs.to_numpy()
    model = MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(rows, np.stack([classes, classes > 0], axis=1))
    outcome = run(save(tmp_path / "m", model, rows, serialization_format="cloudpickle"))
    assert outcome.runtime is RuntimeKind.PYFUNC
    assert outcome.parity is not None
    assert "multi-output" in outcome.parity.tried[0]


def test_without_any_real_row_nothing_is_proven_so_nothing_is_converted(tmp_path: Path) -> None:
    inputs, _ = digits()
    outcome = run(save(tmp_path / "m", scaled_logistic(), inputs, example=0))
    assert outcome.runtime is RuntimeKind.PYFUNC
    assert outcome.parity is not None
    assert outcome.parity.tried == (NO_ROWS,)
    assert outcome.warmup == ""


def test_captured_rows_prove_what_was_logged_without_an_example(tmp_path: Path) -> None:
    inputs, _ = digits()
    rows = (*inputs[:7].tolist(), [1, 2, 3], "nonsense")
    outcome = proven(run(save(tmp_path / "m", scaled_logistic(), inputs, example=0), rows=rows))
    assert outcome.parity is not None
    assert outcome.parity.rows == 7


def test_given_up_means_no_attempt(tmp_path: Path) -> None:
    inputs, _ = digits()
    outcome = run(save(tmp_path / "m", scaled_logistic(), inputs), given_up="ONNX: the conversion died")
    assert outcome.runtime is RuntimeKind.PYFUNC
    assert outcome.parity is not None
    assert outcome.parity.tried == ("ONNX: the conversion died",)


def test_a_model_without_signature_is_refused_with_a_hint(tmp_path: Path) -> None:
    inputs, _ = digits()
    folder = save(tmp_path / "m", scaled_logistic(), inputs, example=0, signature=False)
    with pytest.raises(ModelRefused, match="no signature") as caught:
        run(folder)
    assert "signature=" in (caught.value.hint or "")


def test_a_column_type_that_no_request_carries_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": pd.to_datetime(["2026-01-01", "2026-01-02"]), "x": [1.0, 2.0]})
    save_python_model(tmp_path / "m", lambda data: data["x"], signature=infer_signature(frame, np.array([1.0, 2.0])))
    with pytest.raises(ModelRefused, match="'when' has type"):
        run(tmp_path / "m")


def test_another_flavour_stays_as_it_is(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    save_python_model(
        tmp_path / "m",
        lambda data: pd.DataFrame({"double": data["a"] * 2, "shout": data["b"].str.upper()}),
        signature=infer_signature(frame, pd.DataFrame({"double": [2.0], "shout": ["X"]})),
        input_example=frame,
    )
    outcome = run(tmp_path / "m")
    assert outcome.runtime is RuntimeKind.PYFUNC
    assert outcome.signature is not None
    assert [(s.name, s.datatype) for s in outcome.signature.outputs] == [
        ("double", Datatype.FP64),
        ("shout", Datatype.BYTES),
    ]
    assert outcome.parity is not None
    assert outcome.parity.tried == ("ONNX is not tried: there is no converter for the flavour 'pyfunc'",)


def test_an_onnx_model_passes_through(tmp_path: Path) -> None:
    inputs, _ = digits()
    rows = inputs.astype(np.float32)
    graph = convert_sklearn(
        scaled_logistic(), initial_types=[("pixels", FloatTensorType([None, 64]))], options={"zipmap": False}
    )
    save_graph(
        tmp_path / "m", graph, signature=infer_signature(rows, {"label": rows[:, 0].astype(int)}), example=rows[:9]
    )
    outcome = proven(run(tmp_path / "m"))
    assert outcome.signature is not None
    assert outcome.signature.inputs == (TensorSpec(name="pixels", datatype=Datatype.FP32, shape=(-1, 64)),)
    assert [s.name for s in outcome.signature.outputs] == ["label", "probabilities"]
    assert outcome.parity is not None
    assert outcome.parity.tried == ("it is ONNX already: it answers 9 real rows, one by one as all at once",)


@pytest.mark.parametrize(
    ("dims", "declared", "why"),
    [([1, 4], (-1, 4), "batch dimension must be free"), ([None, 4], (-1, 2, 2), "the graph takes x")],
)
def test_an_onnx_model_that_contradicts_is_refused(
    tmp_path: Path, dims: list[int | None], declared: tuple[int, ...], why: str
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    example = np.zeros([1 if n == -1 else n for n in declared], dtype=np.float32)
    save_graph(tmp_path / "m", model, signature=infer_signature(example, example))
    with pytest.raises(ModelRefused, match=why):
        run(tmp_path / "m")


def save_graph(folder: Path, model: onnx.ModelProto, *, signature: Any, example: Any = None) -> None:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.onnx.save_model(
            model, str(folder), signature=signature, input_example=example, pip_requirements=["onnxruntime"]
        )


def save_python_model(folder: Path, predict: Any, **options: Any) -> None:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        class Custom(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input):  # type: ignore[no-untyped-def]
                return predict(model_input)

        mlflow.pyfunc.save_model(str(folder), python_model=Custom(), pip_requirements=["pandas"], **options)
