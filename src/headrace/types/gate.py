"""What a candidate must show before it gets its first share: gates, what is asked of them, and what came out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # the release ends before it has begun
    NOTED = "noted"  # it differs where it may differ: for a person to read
    SKIPPED = "skipped"  # there was nothing to judge by, or it was not wanted; the detail says which


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    name: str
    outcome: Outcome
    detail: str  # in words, with the numbers
    row: str = ""  # the row that shows it, as JSON
    seconds: float = 0.0
    endpoint: str = ""

    @property
    def passed(self) -> bool:
        return self.outcome is not Outcome.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Of an endpoint, for each release of it. A limit of 0 is none: then the gate says what it measured.

    A retrained model answers otherwise, that is what it was trained for; so what differs from the predecessor is only
    told, unless `may_differ` is off. Then at most a share of `max_flips` of the rows may get another answer.
    """

    enabled: bool = True
    skip: tuple[str, ...] = ()  # names of gates
    rows: int = 64  # of captured traffic at most, each asked alone
    answers: str = ""  # a file of rows with the answers that they must get, in the folder of files
    min_right: float = 1.0  # share of those answers
    may_differ: bool = True
    max_flips: float = 0.0
    max_p99_ms: float = 0.0  # of a row alone, inside the data plane
    max_memory_mb: int = 0  # that loading took, model hosts included
    policy: str = ""  # a URL, or the name of an entry point in the group headrace.policies
    timeout_seconds: float = 120.0  # for all gates together
