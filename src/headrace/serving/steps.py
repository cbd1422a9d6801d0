"""What a program did for an answer: its own steps, as its process tells them, and the questions that the desk saw.

Called by runtimes/program.py (put both in order), by predict.py and talk.py. Decides what is within what. The child has
no say in what a question cost: that is the desk's. Ignores what is kept of it: traffic/steps.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from headrace.serving.desk import STEPS, Account
from headrace.types.step import Step, StepKind


class _Told(msgspec.Struct, array_like=True):
    """As programs/child/tracer.py writes it: times by the machine's monotonic clock; `input` and `output` are JSON."""

    id: str
    within: str
    kind: StepKind
    name: str
    began: float
    ended: float
    error: str
    input: str
    output: str


def ordered(told: Any, account: Account) -> Sequence[Step]:
    """By when they began. What the child says that is no step is left out: its code may be anybody's."""
    if not told:
        return account.steps
    try:
        heard = msgspec.convert(told, list[_Told])[:STEPS]
    except msgspec.ValidationError:
        return account.steps
    found = [(step.id, step.within, _step(step, account.began)) for step in heard]
    found += [("", within, step) for within, step in zip(account.within, account.steps, strict=True)]
    found.sort(key=lambda each: each[2].at_ms)
    places = {name: place for place, (name, _, _) in enumerate(found) if name}
    return [
        replace(step, within=at) if (at := places.get(within, -1)) < place else step
        for place, (_, within, step) in enumerate(found)
    ]


def _step(told: _Told, began: float) -> Step:
    return Step(
        kind=told.kind,
        name=told.name,
        at_ms=max(0.0, told.began - began) * 1000,
        ms=max(0.0, told.ended - told.began) * 1000,
        error=told.error,
        input=_json(told.input),
        output=_json(told.output),
    )


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return None
