"""A trace that a person is asked to look at, and why it was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    SAMPLED = "sampled"  # drawn at random from all calls of a time, each with the same chance
    DISPUTED = "disputed"  # people contradict each other about it


class ReviewState(StrEnum):
    OPEN = "open"  # waits for a reviewer
    DONE = "done"  # at least one reviewer said what is right
    SKIPPED = "skipped"  # a reviewer could not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """`propensity` is the chance with which it was drawn; None for a disputed one, which nobody drew."""

    trace_id: str
    endpoint: str
    why: Why
    added: float
    state: ReviewState = ReviewState.OPEN
    propensity: float | None = None
    draw: str = ""  # id of the draw that it came with


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """`drawn` of `calls` in [since, until), each with the chance drawn / calls."""

    id: str
    endpoint: str
    since: float
    until: float
    calls: int
    drawn: int
