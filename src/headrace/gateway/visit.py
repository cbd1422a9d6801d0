"""One call to a chat model on its way: what was asked, and how far it has come.

Made by complete.py, filled in step by step, read by settle.py at its end, however it ends.
"""

from __future__ import annotations

import msgspec

from headrace.compute.line import Headers
from headrace.gateway.board import Lane
from headrace.gateway.choose import Ready
from headrace.gateway.dialects.base import Address, Asked, Dialect, Told
from headrace.gateway.guard import Guards
from headrace.gateway.reach import Passage
from headrace.gateway.semantic import Near
from headrace.traffic.keys import Caller
from headrace.traffic.limit import Grant
from headrace.traffic.record import NOTHING, Open
from headrace.traffic.route import Header
from headrace.types.gateway import Wire

_SAID = ("messages", "input", "prompt", "contents")  # of a request: what was said to the model


class Request(msgspec.Struct, kw_only=True):
    """`tail`: the path below the base URL. `headers`: those that may go on to an upstream. `task`: what a chat
    application asks for itself, such as a title."""

    wire: Wire
    tail: str
    body: bytes
    at: Address
    header: Header
    headers: Headers
    user: str = ""
    parent: str = ""
    wanted: str | None = None
    conversation: str = ""
    message: str = ""
    task: str = ""
    timeout_ms: int = 0


class Visit(msgspec.Struct, kw_only=True, eq=False):
    """A call as far as it has come, for the line in the journal."""

    request: Request
    caller: Caller
    dialect: Dialect
    asked: Asked
    lane: Lane
    call: Open
    began: float
    grant: Grant = msgspec.field(default_factory=Grant)
    guards: Guards | None = None
    passage: Passage | None = None
    ready: Ready | None = None
    told: Told = msgspec.field(default_factory=Told)
    first: float = 0.0  # when the caller got the first byte of a stream
    cached: str = ""  # exact, semantic: the answer was there already
    similarity: float = 0.0  # of the prompts, of a semantic hit
    near: Near | None = None  # what its prompt means


def said(asked: Asked) -> msgspec.Raw:
    for name in _SAID:
        if (found := asked.fields.get(name)) is not None:
            return found
    return NOTHING
