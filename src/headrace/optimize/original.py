"""The model as its author saved it: what a conversion must answer like.

Called by convert, in the child. Decides which of an estimator's answers are served: what `predict` gives, and for a
classifier the probabilities beside it. Ignores ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier

from headrace.store.flavor import frame
from headrace.types.errors import ModelFailed
from headrace.types.model import Layout, Signature

Array = NDArray[Any]
LABEL = "label"
PROBABILITIES = "probabilities"
PREDICTION = "prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A fitted scikit-learn estimator. `method` is the one that MLflow calls for its pyfunc."""

    estimator: Any
    signature: Signature
    method: str = "predict"

    @property
    def classifier(self) -> bool:
        return bool(is_classifier(self.estimator))

    def answer(self, table: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by the names that the package will have. Raises ModelFailed for what cannot be compared."""
        given = self.as_input(tuple(table.values()) if self.signature.layout is Layout.COLUMNS else table)
        if self.method == "predict_proba":
            return {PROBABILITIES: _array(self.estimator.predict_proba(given))}
        if not self.classifier:
            return {PREDICTION: _array(self.estimator.predict(given))}
        found = {LABEL: _array(self.estimator.predict(given))}
        if hasattr(self.estimator, "predict_proba"):
            found[PROBABILITIES] = _array(self.estimator.predict_proba(given))
        return found

    def as_input(self, given: Mapping[str, Array] | tuple[Array, ...]) -> Any:
        """What its first step was fitted on: a data frame for a column signature, else the one matrix."""
        if isinstance(given, Mapping):
            return next(iter(given.values()))
        if self.signature.layout is Layout.COLUMNS:
            return frame(dict(zip((s.name for s in self.signature.inputs), given, strict=True)))
        return np.stack(given, axis=1)


def gives_labels(estimator: Any, method: str) -> bool:
    """Whether `method` of this thing, which need not be an estimator at all, answers with classes."""
    return method == "predict" and isinstance(estimator, BaseEstimator) and bool(is_classifier(estimator))


def _array(answer: Any) -> Array:
    if isinstance(answer, list):
        raise ModelFailed(f"it answers with {len(answer)} arrays at once (multi-output), which has no ONNX form here")
    return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
