"""Where skl2onnx 1.20 needs help, one function per defect. Each can go when its defect is gone (the tests tell).

Called by graph, in the child. Nothing here is trusted: what comes out has to prove itself like any other conversion.

* flags: histogram gradient boosting hands booleans to integer attributes, which protobuf 7 refuses.
* double trees: the scores of a tree ensemble are float by the ONNX standard, and are declared double.
* narrow trees: scikit-learn's trees compare their input rounded to float32. With a scaler in double before them, the
  rounding has to be written into the graph, or rows near a split go the other way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common._registration import get_converter, get_shape_calculator
from skl2onnx.sklapi import CastTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from headrace.optimize.splits import find_sites

CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "raw_scores": [True, False],
    "output_class_labels": [False, True],
    "nocl": [True, False],
}
NARROW = "headrace_float32"


def mend_flags() -> None:
    """Register the converters of histogram gradient boosting anew, with booleans turned into integers."""
    for kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        alias = f"Sklearn{kind.__name__}"
        update_registered_converter(
            kind,
            alias,
            get_shape_calculator(alias),
            _with_plain_flags(get_converter(alias)),
            options=CLASSIFIER_OPTIONS if kind is HistGradientBoostingClassifier else None,
            overwrite=True,
        )


def mend_double_trees(model: onnx.ModelProto) -> None:
    trees = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
    scores = {node.output[-1] for node in model.graph.node if node.op_type in trees}
    for output in model.graph.output:
        if output.name in scores:
            output.type.tensor_type.elem_type = TensorProto.FLOAT


def mend_narrow_trees(estimator: Any) -> Any:
    """The same pipeline with a rounding to float32 before its last step, if that step's trees round."""
    if not isinstance(estimator, Pipeline) or len(estimator.steps) < 2:
        return estimator
    last = estimator.steps[-1][1]
    if not any(site.narrow and not site.steps for site in find_sites(last)):
        return estimator
    cast = CastTransformer(dtype=np.float32).fit(np.zeros((1, last.n_features_in_)))
    return Pipeline([*estimator.steps[:-1], (NARROW, cast), estimator.steps[-1]])


class _PlainFlags:
    """skl2onnx's container, with one method mended."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *args: Any, **attributes: Any) -> Any:
        return self._container.add_node(*args, **{name: _plain(value) for name, value in attributes.items()})


def _with_plain_flags(converter: Callable[..., None]) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        converter(scope, operator, _PlainFlags(container))

    return convert


def _plain(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [int(item) if isinstance(item, bool | np.bool_) else item for item in value]
