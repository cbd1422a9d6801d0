"""One row on its way through curation, and what the rules share. Pure; made by flywheel/gather.py.

Decides when two values are the same value: as JSON, so that 1, 1.0 and true are three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from headrace.types.call import Feedback, FeedbackName
from headrace.types.dataset import Split

REVIEW = "review"  # the channel of what a reviewer said
_sorted = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """`words` are what people say of this row as it stands now; of a correction, the part that is about this row."""

    row: str
    trace_id: str
    index: int
    time: float
    endpoint: str
    version: int
    unit: str
    inputs: Any
    output: Any
    words: tuple[Feedback, ...] = ()
    label: Any = None
    rule: str = ""  # that gave the label; empty: it has none yet
    split: Split | None = None
    propensity: float | None = None  # with which it was drawn for review; None: nobody drew it
    critique: str = ""

    @property
    def labelled(self) -> bool:
        return bool(self.rule) and self.split is not Split.CRITIQUE


Judge = Callable[[Candidate], bool | None]  # is the answer right? None: it does not know


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a rule may look at beside the rows. `golden`: the frozen rows; empty when nothing is frozen yet."""

    golden: Sequence[Candidate] = ()
    frozen: bool = False
    salt: str = "headrace"
    validation: float = 0.1
    held: float = 0.2
    judge: Judge | None = None


@dataclass(slots=True, kw_only=True)
class Done:
    """What one rule did: the rows that go on, and why others do not."""

    rows: list[Candidate] = field(default_factory=list)
    why: Counter[str] = field(default_factory=Counter)
    traces: list[str] = field(default_factory=list)
    changed: int = 0
    distrusted: Mapping[str, str] = field(default_factory=dict)
    disputed: tuple[str, ...] = ()

    def take(self, row: Candidate, reason: str) -> None:
        self.why[reason] += 1
        self.traces.append(row.trace_id)


def row_id(trace_id: str, index: int) -> str:
    return "row_" + blake2b(f"{trace_id}\0{index}".encode(), digest_size=12).hexdigest()


def same(value: Any) -> bytes:
    """Equal for equal JSON, whatever the order of keys."""
    return _sorted.encode(value)


def draw(salt: str, text: str) -> float:
    """A number in [0, 1) that is always the same for the same text."""
    return int.from_bytes(blake2b(f"{salt}\0{text}".encode(), digest_size=8).digest()) / float(1 << 64)


def of_name(words: Iterable[Feedback], name: FeedbackName) -> list[Feedback]:
    return [word for word in words if word.name == name]
