"""An answer out of its line, as a pair compares it."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.release.spoken import answer_of
from headrace.types.call import Call, CallStatus
from headrace.types.gateway import Spent
from headrace.types.traffic import Reason


@pytest.mark.parametrize(
    ("output", "spent", "answer"),
    [
        ("Paris.", Spent(), ["Paris."]),
        (["billing", "technical"], Spent(), ["billing", "technical"]),  # a program's, which spends too
        ([7], None, [7]),
        (None, Spent(), None),
        ({"text": "", "tools": [{"name": "f", "arguments": '{"b": 1, "a": 2}'}]}, Spent(), [
            '[{"arguments":{"a":2,"b":1},"name":"f"}]'
        ]),
    ],
)  # fmt: skip
def test_an_answer_is_an_output_of_rows(output: Any, spent: Spent | None, answer: Any) -> None:
    call = Call(
        trace_id="tr-1",
        time=0.0,
        endpoint="e",
        variant="v1",
        version=1,
        unit="u",
        sticky=False,
        counted=True,
        reason=Reason.BUCKET,
        status=CallStatus.OK,
        latency_ms=1.0,
        output=output,
        spent=spent,
    )
    assert answer_of(call) == answer
