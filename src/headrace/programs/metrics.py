"""How good one answer is, from 0 to 1. Called in the compiling process, and by name in messages. Pure."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from headrace.types.errors import BadInput

Metric = Callable[[Any, Any], float]  # what it should be, what it is
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact(expected: Any, given: Any) -> float:
    """The same, but for case and the blanks around a text."""
    if isinstance(expected, str) or isinstance(given, str):
        return float(str(expected).strip().casefold() == str(given).strip().casefold())
    return float(expected == given)


def f1(expected: Any, given: Any) -> float:
    """Of the words that both have, as SQuAD counts them."""
    wanted, found = _words(expected), _words(given)
    if not wanted or not found:
        return float(wanted == found)
    common = sum((Counter(wanted) & Counter(found)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(found), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


METRICS: Mapping[str, Metric] = {"exact": exact, "f1": f1}
THRESHOLDS: Mapping[str, float] = {"exact": 1.0}  # from which on an answer may be shown as an example
THRESHOLD = 0.7


def check_metric(name: str) -> str:
    """A name here, or FUNCTION of the program's code. Raises BadInput."""
    if name in METRICS or name.isidentifier():
        return name
    raise BadInput(
        f"metric is {name!r}; allowed: {', '.join(METRICS)}, or the name of a function in the program's code",
        field="metric",
    )


def bounded(score: Any) -> float:
    """What a metric of the user's own returned. Raises ValueError for what is no score."""
    value = float(score)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"the metric returned {value!r}; allowed: 0 to 1, or true and false")
    return value


def _words(text: Any) -> list[str]:
    return re.sub(r"\b(a|an|the)\b", " ", str(text).casefold().translate(_PUNCTUATION)).split()
