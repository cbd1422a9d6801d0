"""How much of what a program did its line keeps."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headrace.traffic.steps import CALL_LIMIT, STEP_LIMIT, told
from headrace.types.endpoint import Capture
from headrace.types.step import Step, StepKind


def step(**more: Any) -> Step:
    fields: dict[str, Any] = {"kind": StepKind.LM, "name": "fast", "at_ms": 1.0, "ms": 2.00049}
    return Step(**fields | more)


def read(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    return list(msgspec.json.decode(msgspec.json.encode(steps)))


@pytest.mark.parametrize(
    ("capture", "given", "answered"),
    [
        (Capture.FULL, [{"content": "I am ada@example.org"}], "hello ada@example.org"),
        (Capture.MASKED, [{"content": "I am <email>"}], "hello <email>"),
        (Capture.NONE, None, None),
    ],
)
def test_as_much_as_the_endpoint_says(capture: Capture, given: Any, answered: Any) -> None:
    raw = msgspec.Raw(b'[{"content": "I am ada@example.org"}]')
    (kept,) = read(told([step(input=raw, output="hello ada@example.org")], offset_ms=4.0, capture=capture))
    assert (kept["input"], kept["output"]) == (given, answered)
    assert (kept["at_ms"], kept["ms"]) == (5.0, 2.0)


def test_a_step_that_is_too_large_keeps_its_figures() -> None:
    large, small = step(input="x" * STEP_LIMIT, error="e" * 900), step(input="x")
    first, second = read(told([large, small], offset_ms=0, capture=Capture.FULL))
    assert (first["input"], first["ms"], len(first["error"])) == (None, 2.0, 500)
    assert second["input"] == "x"


def test_a_call_keeps_so_much_and_no_more() -> None:
    kept = told([step(input="x" * (STEP_LIMIT - 2)) for _ in range(10)], offset_ms=0, capture=Capture.FULL)
    assert sum(each.input is not None for each in kept) == CALL_LIMIT // STEP_LIMIT
    assert len(json.dumps(read(kept))) < CALL_LIMIT + 10_000
