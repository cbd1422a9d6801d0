"""A pair: one call answered by the baseline for a user, and by the candidate as its shadow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRules:
    """What counts as a different answer.

    A row *flips* when its first output is another one: another label, text farther apart than `text_distance`, another
    highest score, or a number off by more than `deviation` of itself. How much of that is tolerable is the `tolerance`
    of the metric of kind flips. `tolerances` by datatype, (absolute, relative): a float within them is the same number.
    """

    deviation: float = 0.05
    top_k: int = 5
    text_distance: float = 0.1  # edits, of the longer text's characters
    texts: tuple[str, ...] = ()  # outputs of datatype BYTES that are free text; the others are labels
    judge: str = ""  # of texts that differ: a URL, or the name of an entry point in the group headrace.judges
    tolerances: dict[str, tuple[float, float]] = field(default_factory=dict)  # over those of release/compare.py

    def __post_init__(self) -> None:
        for name, low, high in (("deviation", 0, 1e6), ("top_k", 1, 1e6)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value!r}; allowed: {low:g} to {high:g}")
        if not 0 <= self.text_distance < 1:
            raise ValueError(f"text_distance is {self.text_distance!r}; allowed: from 0, below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far two answers to one call are apart. Over several rows: the share that flips, the worst of the rest."""

    flips: float = 0.0  # share of the rows
    deviation: float = 0.0  # largest change of a number, of the largest number of its row
    unequal: bool = False  # some number is outside its tolerance
    overlap: float = 1.0  # of the top k scores, on average over the rows
    distance: float = 0.0  # largest edit distance of a text, of the longer one's characters
    row: int = 0  # the first one that flips, or the one that deviates most
    what: str = ""  # the first difference in words; empty when there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One that is kept to be looked at. `segment`: the input columns of its worst row, and the attributes of the call.

    `severity` puts the worst first; `draw` is chance, fixed by the trace id: those with the lowest are a fair sample.
    """

    trace_id: str
    shadow_id: str  # trace id of the shadow
    time: float
    unit: str
    rows: int
    severity: float
    draw: int
    difference: Difference
    baseline_output: Any = None
    candidate_output: Any = None
    error: str = ""  # of the candidate
    baseline_ms: float = 0.0  # inside the runtime
    candidate_ms: float = 0.0
    segment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How often the first output was in which bin, for both sides of the pairs.

    Numbers: bins between `edges`, the deciles of the baseline's first answers. Labels: a bin each, and one for others.
    """

    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    baseline: tuple[int, ...] = ()
    candidate: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTally:
    """The pairs of one interval. `tested` are units that had not been counted before it: one user's inputs resemble
    each other, so a user is one piece of evidence. Of these, `differing` got another answer, or none: of several rows,
    one stands for all, drawn by the trace id."""

    pairs: int = 0  # both answered
    flips: float = 0.0  # sum over the pairs of the share of rows that flip
    deviating: int = 0  # pairs with a number off by more than the rules' deviation
    unequal: int = 0  # pairs with a number outside its tolerance
    overlap: float = 0.0  # sum over the pairs
    candidate_errors: int = 0  # the baseline answered, the candidate failed or was too late
    refused: int = 0  # inputs that the candidate's signature does not take
    failures_in_row: int = 0  # of the candidate, at the end of the interval
    tested: int = 0
    differing: int = 0
    lost: int = 0  # calls due for a shadow that has not come
    dropped: int = 0  # of these, what data planes told of: no room
    baseline_ms: dict[int, int] = field(default_factory=dict)  # inside the runtime: bin of release/pairs.py → calls
    candidate_ms: dict[int, int] = field(default_factory=dict)
    profile: Profile = Profile()
