"""What a program did for one answer, step by step: the nested spans of its trace."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class StepKind(StrEnum):
    MODULE = "module"  # a part of the program
    LM = "lm"  # a question to a language model
    TOOL = "tool"  # a function that a language model wished to be called


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`within`: place in the list of the step that it is a part of; -1: of the call itself. `input` and `output` are
    JSON values, absent when capture is none. The tokens are those of an LM."""

    kind: StepKind
    name: str
    at_ms: float  # after the call was accepted
    ms: float
    within: int = -1
    model: str = ""
    span: str = ""  # of a question to an LM: 16 hex digits, under which it was asked (traceparent)
    input_tokens: int = 0
    output_tokens: int = 0
    finish: str = ""
    error: str = ""
    input: Any = None
    output: Any = None
