"""What our adapters write is what DSPy's own write; only what it costs differs."""

from __future__ import annotations

from typing import Any

import pytest

dspy = pytest.importorskip("dspy")

from dspy.adapters.chat_adapter import ChatAdapter as DspyChat  # noqa: E402
from dspy.adapters.json_adapter import JSONAdapter as DspyJson  # noqa: E402

from headrace.programs.child.writing import ChatAdapter, JSONAdapter  # noqa: E402


@pytest.mark.parametrize(("ours", "theirs"), [(ChatAdapter, DspyChat), (JSONAdapter, DspyJson)])
@pytest.mark.parametrize(
    "value", ["a text", 'with "quotes" [[ ## x ## ]]', "", 7, 1.5, -0.0, True, ["a", "b"], {"a": [1]}, None]
)
def test_the_same_words(ours: Any, theirs: Any, value: Any) -> None:
    signature = dspy.Signature("text, more -> team: bool, why", "Say which.")
    demos = [dspy.Example(text="x", more=value, team=True, why="so")]
    inputs = {"text": "hello", "more": value}
    for _ in range(2):  # made, and kept
        assert ours().format(signature, demos, inputs) == theirs().format(signature, demos, inputs)
