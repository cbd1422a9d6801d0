"""A chat with a model of this platform: messages in; its first output's text out, piece by piece where it writes so.

Called by the gateway (gateway/native.py), which knows who asks, who answers, and what becomes of it. Decides which
models can be talked to, and which message is which of their inputs:

    messages   the whole conversation, as JSON
    history    what was said before the last words of the user, a line each: "user: …"
    system     what system messages say
    any other  the last words of the user; there may be one such input

Inputs and the answer are told as /predict would have written them, so that what people say of a chat corrects the
model. Ignores how a call is shaped on the wire, and which calls are put to a shadow: the gateway does that (`beside`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from headrace.base.log import trace
from headrace.serving.answer import to_json
from headrace.serving.predict import Predictor
from headrace.serving.run import Place, Wait, run
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.serving.table import Lane, Parts
from headrace.traffic.admit import Gate
from headrace.traffic.record import ending
from headrace.types.call import CallStatus
from headrace.types.endpoint import Variant
from headrace.types.errors import BadInput, HeadraceError, ModelFailed
from headrace.types.model import Datatype, Signature, TensorSpec
from headrace.types.program import Usage
from headrace.types.step import Step
from headrace.types.traffic import TrafficPolicy

MESSAGES, HISTORY, SYSTEM = "messages", "history", "system"
NAMED = (MESSAGES, HISTORY, SYSTEM)
REFUSED = ("tools", "functions", "audio")  # of a request: what would ask for another kind of answer
OBEYED = frozenset(("messages", "model", "stream", "stream_options", "n", "user", "metadata", "store"))
BESIDE = 1 << 30  # calls: they are bounded where they are begun
_encoder = msgspec.json.Encoder()


class Talker:
    """gateway.native.Speaker."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._steady = predictor.recorder.clock.steady

    def why_not(self, variant: Variant) -> str:
        """Why it cannot be talked to; empty when it can."""
        return misfit(variant.signature)

    def policy(self, endpoint: str) -> TrafficPolicy | None:
        """As it is applied now, also while another version answers for one that broke."""
        return self._predictor.table.policy(endpoint)

    def begin(
        self, endpoint: str, variant: str, asked: Mapping[str, Any], *, seconds: float, beside: bool = False
    ) -> Talk:
        """`variant` empty: the live one. `beside`: for nobody, so it takes no caller's place, and what fails there says
        nothing of how callers are served. Raises BadInput, NotFound, Unavailable."""
        lane = self._predictor.table.lane(endpoint)
        name = variant or lane.policy.baseline
        loaded = lane.variant(name)
        parts = loaded.parts if lane.adapted is None else lane.adapted.get(name, loaded.parts)
        if why := misfit(parts.codec.signature):
            raise BadInput(f"endpoint {endpoint!r} cannot be talked to: {why}", field="model")
        if beside:
            lane = replace(lane, gate=Gate(endpoint, BESIDE), sentinel=None)
        return Talk(lane, name, parts, asked, seconds=seconds, began=self._steady())


class Talk:
    """One question and its answer. `began`: by the steady clock. What it tells of itself is whole once the text is."""

    def __init__(
        self, lane: Lane, variant: str, parts: Parts, asked: Mapping[str, Any], *, seconds: float, began: float
    ) -> None:
        self.began = began
        self.output = b""
        self.ignored = tuple(sorted(name for name, value in asked.items() if name not in OBEYED and value is not None))
        self._lane, self._variant, self._parts, self._seconds = lane, variant, parts, seconds
        self.input = _encoder.encode(inputs_of(asked, parts.codec.signature))
        self._inputs = self._read()
        self._inputs.trace = trace.get()
        self._spec = parts.codec.signature.outputs[0]
        self._told, self._new = "", list[str]()
        self._wake = asyncio.Event()
        if asked.get("stream") and parts.adapter is None:
            self._inputs.hear = self._hear
        self._final = ""
        self._work = asyncio.ensure_future(self._run())
        self._work.add_done_callback(self._done)

    @property
    def usage(self) -> Usage | None:
        return self._inputs.spent

    @property
    def steps(self) -> Sequence[Step]:
        return self._inputs.steps

    async def piece(self) -> str:
        """What is new of the text; empty at its end. Raises what went wrong."""
        while not self._new and not self._work.done():
            self._wake.clear()
            await self._wake.wait()
        if not self._new:
            self._rest(self._work.result())
        text, self._new = "".join(self._new), []
        self._told += text
        return text

    def close(self) -> None:
        """Nobody listens any more."""
        self._work.cancel()

    def _rest(self, final: str) -> None:
        """What was not heard while it was written. A program that thought again has the last word: it comes after what
        it had said before, since that cannot be taken back."""
        if final.startswith(self._told):
            self._new.append(final[len(self._told) :])
        elif not self._told.endswith(final):
            self._new.append(f"\n\n{final}")

    def _hear(self, text: str) -> None:
        self._new.append(text)
        self._wake.set()

    def _done(self, work: asyncio.Future[str]) -> None:
        self._wake.set()
        if not work.cancelled():
            work.exception()  # who listens is told; who has gone need not be

    def _read(self) -> Inputs:
        return self._parts.codec.decode(msgspec.Raw(self.input))

    async def _run(self) -> str:
        lane, loaded = self._lane, self._lane.variant(self._variant)
        with Place(lane.gate) as place:
            place.hold(loaded)
            try:
                outputs = await run(self._parts, self._inputs, place, Wait(self._seconds), lane.cache)
                self.output = to_json(outputs[0], self._spec)
                return _text(outputs, self._spec)
            except HeadraceError as error:
                self._blame(error)
                raise

    def _blame(self, error: HeadraceError) -> None:
        """Tell who watches the live version."""
        sentinel = self._lane.sentinel
        if sentinel is None or self._variant != sentinel.variant:
            return
        if ending(error) in (CallStatus.FAILED, CallStatus.TIMEOUT):
            again: Callable[..., Inputs] = lambda codec: codec.decode(msgspec.Raw(self.input))  # noqa: E731
            sentinel.failed(self._inputs.rows, again)


def misfit(signature: Signature) -> str:
    """Why a model cannot be talked to, in words; empty when it can."""
    if not signature.outputs or not _text_column(signature.outputs[0]):
        return "its first output is no text"
    if odd := [spec.name for spec in signature.inputs if not _text_column(spec)]:
        return f"its input {odd[0]!r} is no text"
    names = [spec.name for spec in signature.inputs]
    others = [name for name in names if name not in NAMED]
    if len(others) > 1:
        return f"it has several inputs ({', '.join(others)}); for the user's words there may be one beside {_NAMES}"
    return "" if others or MESSAGES in names else "it has no input for the user's words"


def inputs_of(asked: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """As /predict would have been given them. Raises BadInput naming the field."""
    for name in REFUSED:
        if asked.get(name):
            raise BadInput(f"model {asked.get('model')!r} answers with text alone", field=name)
    if (asked.get("n") or 1) != 1:
        raise BadInput(f"n is {asked['n']!r}; allowed: 1", field="n")
    turns = _turns(asked.get("messages"))
    last = max((place for place, (role, _) in enumerate(turns) if role == "user"), default=-1)
    if last < 0:
        raise BadInput("messages has none of a user", field="messages")
    told = {
        MESSAGES: _encoder.encode([{"role": role, "content": text} for role, text in turns]).decode(),
        HISTORY: "\n".join(f"{role}: {text}" for role, text in turns[:last] if role != SYSTEM),
        SYSTEM: "\n".join(text for role, text in turns if role == SYSTEM),
    }
    found = {spec.name: told.get(spec.name, turns[last][1]) for spec in signature.inputs}
    return {spec.name: found[spec.name] if len(spec.shape) == 1 else [found[spec.name]] for spec in signature.inputs}


_NAMES = "messages, history and system"


def _turns(messages: Any) -> list[tuple[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise BadInput("messages is not a list with a message", field="messages")
    return [_turn(message, f"messages[{place}]") for place, message in enumerate(messages)]


def _turn(message: Any, field: str) -> tuple[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadInput(f"{field} is no message with a role", field=field)
    role = SYSTEM if message["role"] == "developer" else message["role"]
    content = message.get("content")
    if content is None or isinstance(content, str):
        return role, content or ""
    parts = content if isinstance(content, list) else [content]
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise BadInput(f"{field} has a part of type {kind!r}; allowed: text", field=field)
    return role, "\n".join(part["text"] for part in parts)


def _text_column(spec: TensorSpec) -> bool:
    """One text a row."""
    return spec.datatype is Datatype.BYTES and (len(spec.shape) == 1 or spec.shape[1:] in ((1,), (-1,)))


def _text(outputs: Outputs, spec: TensorSpec) -> str:
    values = outputs[0].ravel()
    if len(values) != 1:
        raise ModelFailed(
            f"output {spec.name!r} has {len(values)} values; a chat is answered with one", field=spec.name
        )
    value = values[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
