"""What an answer costs when the label is known. Pure; called by steps/evaluate.py. Less is better."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose
from typing import Any

from headrace.types.errors import ModelFailed
from headrace.types.turn import Metric


def costs_of(metric: Metric, labels: Sequence[Any], answers: Sequence[Any]) -> list[float]:
    if len(labels) != len(answers):
        raise ModelFailed(f"{len(answers)} answers for {len(labels)} rows", field="answers")
    return [cost_of(metric, label, answer) for label, answer in zip(labels, answers, strict=True)]


def cost_of(metric: Metric, label: Any, answer: Any) -> float:
    if metric is Metric.EXACT:
        return 0.0 if same(label, answer) else 1.0
    difference = abs(_number(label, "label") - _number(answer, "answer"))
    return difference if metric is Metric.ABSOLUTE else difference**2


def same(label: Any, answer: Any) -> bool:
    """3 is 3.0 (a caller's JSON need not know a model's type), a list of one is its entry, "a" is "a" and not " a"."""
    label, answer = _bare(label), _bare(answer)
    if isinstance(label, bool) or isinstance(answer, bool):
        return bool(label is answer or (isinstance(answer, int | float) and float(label) == float(answer)))
    if isinstance(label, int | float) and isinstance(answer, int | float):
        return isclose(label, answer, rel_tol=1e-9, abs_tol=1e-12)
    return bool(label == answer)


def _bare(value: Any) -> Any:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _number(value: Any, what: str) -> float:
    value = _bare(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelFailed(f"a {what} is {value!r}, no number, so no distance can be told", field="metric")
    return float(value)
