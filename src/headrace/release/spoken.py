"""Answers of chat models as outputs that can be compared, and what their pairs can be looked at by. Pure.

Called by watch.py (what the outputs are), copies.py (the rules) and pairs.py (an answer out of its line). A chat model
has one output, a text; where it calls tools, their names and arguments belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from headrace.types.call import Call
from headrace.types.model import Datatype, TensorSpec
from headrace.types.pair import PairRules

ANSWER = TensorSpec(name="answer", datatype=Datatype.BYTES, shape=(1,))


def as_texts(rules: PairRules, specs: Sequence[TensorSpec]) -> PairRules:
    """An answer of a chat model is free text, and never a label."""
    return replace(rules, texts=(*rules.texts, ANSWER.name)) if tuple(specs) == (ANSWER,) else rules


def answer_of(call: Call) -> Any:
    """As an output of one row; of any other model as it is."""
    if call.spent is None or call.output is None or isinstance(call.output, list):
        return call.output
    if not isinstance(call.output, dict):
        return [str(call.output)]
    tools = [
        {"name": tool.get("name"), "arguments": _arguments(tool.get("arguments"))}
        for tool in call.output.get("tools") or ()
        if isinstance(tool, dict)
    ]
    return [f"{call.output.get('text') or ''}{msgspec.json.encode(tools, order='sorted').decode() if tools else ''}"]


def traits(call: Call, shadow: Call) -> dict[str, Any]:
    """By which pairs of a chat can be looked at."""
    spent = call.spent
    if spent is None:
        return {}
    found = {"form": call.protocol, "team": spent.team, "workspace": spent.workspace, "finish": spent.finish}
    upstream = shadow.spent.model if shadow.spent else ""
    return {name: told for name, told in {**found, "model": spent.model, "candidate_model": upstream}.items() if told}


def _arguments(given: Any) -> Any:
    """Models write the same arguments with other spaces and in another order."""
    try:
        return msgspec.json.decode(given) if isinstance(given, str) else given
    except msgspec.DecodeError:
        return given
