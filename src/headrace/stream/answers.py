"""What is in a message, and what is written for it: JSON in, scores, JSON out.

Called by serve.py in a thread. Decides the forms of a message: a record with the model's inputs by name, whose other
fields are carried through; or, for a model with one input, that input alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from headrace.client.infer import Arrays, Interface
from headrace.client.score import Piece
from headrace.store.rowcells import column_values, nested_values
from headrace.store.rowfile import rows_of
from headrace.stream.brokers.base import Message

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`body` is what is written: an answer, or with `error` a dead letter."""

    message: Message
    body: bytes
    error: str = ""


class Answers:
    """`source`: the name of where messages come from; with a message's id it is the id of its answer."""

    def __init__(
        self, interface: Interface, score: Callable[[Arrays], list[Piece]], *, source: str, max_deliveries: int
    ) -> None:
        self._interface, self._score = interface, score
        self._source, self._most = source, max_deliveries

    def id_of(self, message: Message) -> str:
        return f"{self._source}/{message.id}"

    def __call__(self, messages: Sequence[Message]) -> list[Outcome]:
        """One for each, in order."""
        records, bad = self._records(messages)
        rows = rows_of(records)
        arrays: Arrays = {}
        for spec in self._interface.inputs:
            if len(spec.shape) == 1 or spec.name not in rows.columns:
                values, more = column_values(rows, spec.name, spec.datatype)
            else:
                values, more = nested_values(rows, spec.name, spec.datatype, spec.shape[1:])
            arrays[spec.name], bad = values, more | bad
        good = [i for i in range(len(messages)) if i not in bad]
        outcomes = {i: self._dead(messages[i], why) for i, why in bad.items()}
        if good:
            for piece in self._score({name: array[np.array(good)] for name, array in arrays.items()}):
                for row in range(piece.count):
                    i = good[piece.first + row]
                    outcomes[i] = self._outcome(messages[i], records[i], piece, row)
        return [outcomes[i] for i in range(len(messages))]

    def _records(self, messages: Sequence[Message]) -> tuple[list[dict[str, Any]], dict[int, str]]:
        records: list[dict[str, Any]] = []
        bad: dict[int, str] = {}
        for i, message in enumerate(messages):
            read = self._record(message)
            if isinstance(read, str):
                bad[i], read = read, {}
            records.append(read)
        return records, bad

    def _record(self, message: Message) -> dict[str, Any] | str:
        """Or in words why it is none."""
        if message.deliveries > self._most:
            return f"it was delivered {message.deliveries} times and never answered"
        try:
            found: Any = msgspec.json.decode(message.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return f"the message is not JSON: {error}"
        if isinstance(found, list) and len(self._interface.inputs) == 1:
            return {self._interface.inputs[0].name: found}
        return found if isinstance(found, dict) else f"the message is a {type(found).__name__}, not an object"

    def _outcome(self, message: Message, record: dict[str, Any], piece: Piece, row: int) -> Outcome:
        if piece.error:
            return self._dead(message, piece.error, trace_id=piece.trace_id)
        inputs = {spec.name for spec in self._interface.inputs}
        results = {
            "prediction" if i == 0 else spec.name: piece.outputs[spec.name][row].tolist()
            if hasattr(piece.outputs[spec.name][row], "tolist")
            else piece.outputs[spec.name][row]
            for i, spec in enumerate(self._interface.outputs)
            if spec.name in piece.outputs
        }
        carried = {name: value for name, value in record.items() if name not in inputs}
        told = {
            "id": self.id_of(message),
            **results,
            "trace_id": piece.trace_id,
            "model_version": piece.version,
            **({"carried": carried} if carried else {}),
        }
        return Outcome(message=message, body=_encoder.encode(told))

    def _dead(self, message: Message, why: str, *, trace_id: str = "") -> Outcome:
        told = {
            "id": self.id_of(message),
            "error": why,
            "deliveries": message.deliveries,
            **({"trace_id": trace_id} if trace_id else {}),
            "message": message.body.decode(errors="replace"),
        }
        return Outcome(message=message, body=_encoder.encode(told), error=why)
