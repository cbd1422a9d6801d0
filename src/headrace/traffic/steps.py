"""Of what a program did for an answer, as much as its line in the journal keeps.

Called by serving/predict.py (through spent.py) and gateway/settle.py. Decides when a step was, counted from the call's
own beginning, and how much of what was said is kept: nothing, all, or all without personal data, up to a bound. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from headrace.base.scrub import scrub_value
from headrace.types.endpoint import Capture
from headrace.types.step import Step

STEP_LIMIT, CALL_LIMIT = 32 << 10, 128 << 10  # bytes of JSON that one step and one call may take
_ERROR_LIMIT = 500  # characters
_encoder = msgspec.json.Encoder()


def told(steps: Iterable[Step], *, offset_ms: float, capture: Capture) -> tuple[Step, ...]:
    room, found = CALL_LIMIT, []
    for step in steps:
        given, answered, error = None, None, step.error[:_ERROR_LIMIT]
        if capture is not Capture.NONE:
            given, answered = _kept(step.input, capture), _kept(step.output, capture)
            size = len(given or b"") + len(answered or b"")
            if size > min(room, STEP_LIMIT):
                given = answered = None
            else:
                room -= size
        found.append(
            replace(
                step,
                at_ms=round(step.at_ms + offset_ms, 3),
                ms=round(step.ms, 3),
                error=error,
                input=given,
                output=answered,
            )
        )
    return tuple(found)


def _kept(value: Any, capture: Capture) -> msgspec.Raw | None:
    if value is None:
        return None
    text = _encoder.encode(value)
    if capture is Capture.MASKED:
        text = _encoder.encode(scrub_value(msgspec.json.decode(text)))
    return msgspec.Raw(text)
