"""What a program asked of language models, in the words of a call's line in the journal.

Called by predict.py, for the few models that spend. No provider is named: the gateway bills what goes through it on
lines of its own, and nothing is to be billed twice. `attempts` is how many questions it took.
"""

from __future__ import annotations

import msgspec

from headrace.serving.runtimes.base import Inputs
from headrace.traffic import steps
from headrace.types.endpoint import Capture
from headrace.types.gateway import Spent
from headrace.types.gateway import Usage as Tokens
from headrace.types.program import Usage

_encoder = msgspec.json.Encoder()


def told(inputs: Inputs, *, offset_ms: float, captured: bool) -> msgspec.Raw:
    """`offset_ms`: from when the call was accepted until its model was asked."""
    usage = inputs.spent or Usage()
    spent = Spent(
        usage=Tokens(input=usage.prompt_tokens, output=usage.completion_tokens),
        cost=usage.money,
        attempts=usage.calls,
        steps=steps.told(inputs.steps, offset_ms=offset_ms, capture=Capture.FULL if captured else Capture.NONE),
    )
    return msgspec.Raw(_encoder.encode(spent))
