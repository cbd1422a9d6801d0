"""Programs that ask a language model: what one is, what compiling it may cost, what a compilation found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MILLION = 1_000_000


class ModuleKind(StrEnum):
    """How a declared program asks."""

    PREDICT = "Predict"  # for the outputs, at once
    CHAIN_OF_THOUGHT = "ChainOfThought"  # for its reasoning first
    REACT = "ReAct"  # step by step, with tools that it may call


class FieldType(StrEnum):
    STR = "str"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"


class Writing(StrEnum):
    """How the language model is told to write its answer."""

    JSON = "json"  # an object by a JSON schema, which the server enforces where it can: choices cannot be missed
    BRIEF = "brief"  # the same with a prompt of a few words: small models lose the thread in a long one
    CHAT = "chat"  # text between markers


class OptimizerName(StrEnum):
    LABELED = "LabeledFewShot"
    BOOTSTRAP = "BootstrapFewShot"
    RANDOM_SEARCH = "BootstrapFewShotWithRandomSearch"
    MIPRO = "MIPROv2"
    SIMBA = "SIMBA"
    GEPA = "GEPA"


class Register(StrEnum):
    """When a compiled program becomes a version."""

    BETTER = "better"  # unless it scores lower than before
    ALWAYS = "always"
    NEVER = "never"


class Phase(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # `error` says why
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self is not Phase.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramField:
    """`choices`: the only values that it may have."""

    name: str
    type: FieldType = FieldType.STR
    description: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A Python module of the program's own. `build` names the function in it that returns a dspy.Module. `file` lies
    in the package and has this hash; without a file, `module` is imported from where the program runs."""

    build: str = "build"
    file: str = ""
    sha256: str = ""
    module: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What somebody wrote down. `lm` is an alias; where it leads is decided each time the program runs."""

    name: str
    inputs: tuple[ProgramField, ...]
    outputs: tuple[ProgramField, ...]
    lm: str
    instructions: str = ""
    kind: ModuleKind = ModuleKind.PREDICT
    writing: Writing = Writing.JSON
    examples: tuple[dict[str, Any], ...] = ()  # shown to the language model from the start
    temperature: float = 0.0
    max_tokens: int = 512
    max_steps: int = 8  # of ReAct
    tools: tuple[str, ...] = ()  # of ReAct: functions in `code`
    code: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Nothing is asked any more once one of them is reached. 0: no bound of that kind."""

    calls: int = 1_000
    money: float = 0.0  # in the currency that the alias has its prices in
    seconds: float = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was asked of language models. `money` counts only what has a price."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            money=self.money + other.money,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """One way to compile. `metric`: exact, f1, or FILE.py:FUNCTION of the program's code. `settings` are the
    optimizer's own, in its own words."""

    optimizer: OptimizerName = OptimizerName.BOOTSTRAP
    metric: str = "exact"
    target: str = ""  # the output that is judged; empty: the first
    seed: int = 0
    threads: int = 4
    budget: Budget = Budget()
    settings: dict[str, Any] = field(default_factory=dict)
    reflection_lm: str = ""  # alias of the one that thinks about mistakes (MIPROv2, SIMBA, GEPA); empty: the program's


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A mean over `rows`, with its 95 % interval."""

    mean: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the test: what it was answered before and after, and how good each answer is. None: no answer."""

    inputs: dict[str, Any]
    expected: Any
    before: Any
    after: Any
    score_before: float
    score_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What came of it. `stopped`: why the optimizer was ended early; the best state found by then is kept, or none.
    `gain` is after minus before, row by row."""

    state: dict[str, Any]
    before: Score
    after: Score
    gain: Score
    usage: Usage
    seconds: float
    optimizer: OptimizerName
    stopped: str = ""
    demos: int = 0
    errors: int = 0  # test rows without an answer, which count as 0
    error: str = ""  # the first of them
    cases: tuple[Case, ...] = ()  # of the test, the first few hundred
