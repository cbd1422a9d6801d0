"""What a program asked of language models, in the words of a call's line in the journal.

Called by predict.py, for the few models that spend. No provider is named: the gateway bills what goes through it on
lines of its own, and nothing is to be billed twice. `attempts` is how many questions it took.
"""

from __future__ import annotations

import msgspec

from headrace.types.gateway import Spent
from headrace.types.gateway import Usage as Tokens
from headrace.types.program import Usage

_encoder = msgspec.json.Encoder()


def told(usage: Usage) -> msgspec.Raw:
    tokens = Tokens(input=usage.prompt_tokens, output=usage.completion_tokens)
    return msgspec.Raw(_encoder.encode(Spent(usage=tokens, cost=usage.money, attempts=usage.calls)))
