"""The record of one request, and what people said about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from headrace.types.gateway import Spent
from headrace.types.traffic import Reason


class CallStatus(StrEnum):
    OK = "ok"
    REJECTED = "rejected"  # the caller's fault: not evidence against a variant
    FAILED = "failed"  # the model raised, died, or answered outside its signature
    TIMEOUT = "timeout"
    SHED = "shed"  # refused because a bounded queue was full


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One line of the journal. `input` and `output` are JSON values (absent when capture is none)."""

    trace_id: str
    time: float  # when it was accepted, seconds since the epoch
    endpoint: str
    variant: str
    version: int
    unit: str  # keyed hash of the user (or of the request, when there is none)
    sticky: bool
    counted: bool  # may serve as evidence for a release
    reason: Reason
    status: CallStatus
    latency_ms: float  # accepted → answer ready
    run_ms: float = 0.0  # inside the runtime
    rows: int = 1
    revision: int = 0  # of the plan it ran under
    protocol: str = "predict"  # predict, v2
    error: str = ""
    input: Any = None
    output: Any = None
    parent: str = ""  # traceparent of the caller, if it sent one
    colour: str = ""  # as it was sent on: endpoint=variant, comma, …; empty where there was nothing to choose
    shadow_of: str = ""  # trace id of the call that a user made; this one is nobody's
    beside: Any = None  # of a shadow: {"outputs": {name: [the user's, its own]}, "attributes": {header: value}}
    spent: Spent | None = None  # of a call to an LLM

    @property
    def from_user(self) -> bool:
        return from_user(self.shadow_of, self.reason)


def from_user(shadow_of: str, reason: str) -> bool:
    """Somebody waited for the answer: neither a shadow of another call, nor Headrace's own question."""
    return not shadow_of and reason != Reason.GATE


class FeedbackName(StrEnum):
    """The three assessments that end users give; each is an MLflow assessment on the call's trace."""

    RATING = "user_rating"  # true: thumbs up
    CORRECTION = "corrected_output"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Idempotent on (trace_id, rater, name): a second one replaces the first. `id` is derived from these three."""

    id: str
    trace_id: str
    name: str
    value: Any
    rater: str  # keyed hash of the person, or "anonymous"
    time: float  # when it was said
    source: str = "human"  # human, code, llm_judge: MLflow's source types
    comment: str = ""
    reasons: tuple[str, ...] = ()  # short words of a rating, such as incorrect, unsafe, slow
    withdrawn: bool = False  # taken back: it says nothing any more, and what it said is kept in the history
    channel: str = ""  # how it came: empty for an application, token, upload, review


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What a judge says of a call; the same shape as feedback, from another source."""

    id: str
    trace_id: str
    name: str
    value: Any
    judge: str
    time: float
    rationale: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricEvent:
    """A number that an application, a judge or a monitor posted about a unit: a purchase, a score, a cost.

    It is about a user (`unit`, as in Call) or about one call (`trace_id`). `endpoint`: empty for none in particular.
    """

    id: str
    name: str
    value: float
    time: float
    unit: str = ""
    trace_id: str = ""
    endpoint: str = ""
    source: str = "application"  # or judge, drift, cost: whoever measures


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneEvent:
    """What a data plane reports about itself: a plan realised or refused, a host restarted, records lost."""

    time: float
    plane: str
    name: str  # plan.live, plan.refused, host.restarted, journal.lost, shadow.dropped
    revision: int = 0
    endpoint: str = ""
    variant: str = ""
    detail: str = ""
    count: int = 0
