"""What of a call to a chat model goes into its line: its answer, without personal data where that is wished, and an
estimate of what it used where nobody told. Pure.

Called by settle.py for calls, and by own.py for questions of Headrace's own.
"""

from __future__ import annotations

import msgspec

from headrace.base.scrub import scrub_value
from headrace.gateway.dialects.base import Asked, Told
from headrace.gateway.native import Speech
from headrace.gateway.visit import said
from headrace.traffic.record import NOTHING
from headrace.types.gateway import Usage

LETTERS = 4  # of a token, where nobody counted them: English has about as many
_encoder = msgspec.json.Encoder()


def scrubbed(text: bytes | msgspec.Raw) -> bytes:
    """JSON without personal data, for the journal."""
    return _encoder.encode(scrub_value(msgspec.json.decode(text)))


def written(told: Told, speech: Speech | None = None) -> bytes | msgspec.Raw:
    """`speech`: of an endpoint that is a model of ours. That has one form of answer, however it was asked."""
    if speech is not None:
        return speech.output or NOTHING
    if told.tools:
        return _encoder.encode({"text": told.text, "tools": told.tools})
    return _encoder.encode("".join(told.pieces)) if told.pieces else NOTHING


def estimate(asked: Asked, told: Told) -> Usage:
    """What was sent, and what had been heard when it ended."""
    return Usage(input=len(said(asked)) // LETTERS, output=max(told.tokens_seen, len(told.text) // LETTERS))
