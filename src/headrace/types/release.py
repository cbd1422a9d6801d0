"""A change of an endpoint's traffic from one variant to another, under a plan, with evidence and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Strategy(StrEnum):
    CANARY = "canary"


class Phase(StrEnum):
    """Where a release stands."""

    PREPARING = "preparing"  # the candidate is converted, proven and loaded; it has no traffic yet
    PROGRESSING = "progressing"  # the candidate has a share and evidence is gathered
    PAUSED = "paused"  # shares are frozen until a person resumes or decides
    PROMOTED = "promoted"  # the candidate has all traffic; ended
    ROLLED_BACK = "rolled_back"  # the baseline has all traffic again, because of evidence or a guard; ended
    ABORTED = "aborted"  # the baseline has all traffic again, because a person said so; ended
    FAILED = "failed"  # the candidate never got traffic: it was refused or could not be loaded; ended

    @property
    def ended(self) -> bool:
        return self in ENDED


ENDED = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.FAILED})


class Verdict(StrEnum):
    """What the evidence says. An error is not a failure: it means that nothing could be seen."""

    ADVANCE = "advance"
    HOLD = "hold"
    ROLL_BACK = "roll_back"
    INCONCLUSIVE = "inconclusive"  # the time is up and neither harm nor its absence is proven: pause and ask
    ERROR = "error"  # the evidence cannot be read


class MetricKind(StrEnum):
    """The bad event that is counted, at most one per unit and interval."""

    ERRORS = "errors"  # the call failed or timed out
    SLOW = "slow"  # slower than a cut fixed from the baseline
    FEEDBACK = "feedback"  # thumbs down, or a correction that differs from the output


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One bad event and how much of it is tolerable.

    critical: alone enough to roll back; shares α with the other critical metrics by `weight` (weighted Bonferroni).
    required: promotion needs proof of no harm: odds ratio below `margin`, or rate below `tolerance`.
    quantile and slack (SLOW only): the cut is the baseline's quantile, plus the larger of slack x itself and slack_ms.
    """

    name: str
    kind: MetricKind
    critical: bool = True
    required: bool = False
    weight: float = 1.0
    margin: float = 1.25  # odds ratio
    tolerance: float = 0.0  # rate of units per interval; 0: no absolute tolerance
    quantile: float = 0.0
    slack: float = 0.25
    slack_ms: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    share: int  # of traffic.BUCKETS
    min_seconds: float = 60.0
    min_units: int = 20  # distinct units that the candidate must have answered in this step
    max_seconds: float = 86_400.0  # after that an undecided step is inconclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePlan:
    """`alpha` bounds the chance to roll back a harmless candidate, over the whole release and all looks."""

    strategy: Strategy
    steps: tuple[Step, ...]
    metrics: tuple[MetricSpec, ...]
    alpha: float = 0.05
    max_failures_in_row: int = 5  # hard guard, outside statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One interval, one metric. Units: those seen in the interval whose event had not been counted before it."""

    baseline_units: int = 0
    candidate_units: int = 0
    baseline_events: int = 0
    candidate_events: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Bad feedback of one interval on calls that were made in one step: it is compared among those who called then."""

    step: int
    release: Tally  # a unit counts once in the whole release
    step_wise: Tally  # a unit counts once in the step


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One look. These are the stored inputs from which every decision can be replayed."""

    start: float
    end: float
    step: int
    candidate_units: int  # distinct units that the candidate has answered in this step so far
    failures_in_row: int  # of the candidate, at the end of the interval
    release: dict[str, Tally]  # by metric of calls; a unit counts once in the whole release
    step_wise: dict[str, Tally]  # by metric of calls; a unit counts once in the step
    feedback: tuple[Cohort, ...]  # comes late: by the step of the call that it is about
    cuts: dict[str, float]  # by metric of kind SLOW, in milliseconds
    called: tuple[int, int]  # distinct units of (baseline, candidate) in the release so far
    refused: str = ""  # why a data plane could not run the candidate, if so


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricEvidence:
    """The state of one metric's tests: natural logarithms of e-values, one per alternative of the mixture.

    The counts are of the whole release: distinct units that were seen, and those of them that had the event.
    """

    harm: tuple[float, ...] = ()  # in the whole release
    harm_steps: tuple[tuple[float, ...], ...] = ()  # in each step anew
    not_worse: tuple[float, ...] = ()  # against "odds ratio ≥ margin", in the whole release
    not_worse_step: tuple[float, ...] = ()  # the same in this step
    tolerable: tuple[float, ...] = ()  # against "rate ≥ tolerance", in this step
    baseline_units: int = 0
    candidate_units: int = 0
    baseline_events: int = 0
    candidate_events: int = 0
    cut_ms: float = 0.0  # SLOW: the fixed cut; 0 while it is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict and its reason in words, with the numbers."""

    verdict: Verdict
    reason: str
    metric: str = ""
    time: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a release's history."""

    time: float
    name: str  # started, step, paused, resumed, promoted, rolled_back, aborted, failed
    detail: str
    actor: str
    share: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    id: str  # rel_…
    endpoint: str
    baseline: str  # variant names
    candidate: str
    candidate_uri: str
    plan: ReleasePlan
    phase: Phase
    created: float
    actor: str
    step: int = 0
    step_started: float = 0.0
    step_units: int = 0
    failures_in_row: int = 0
    paused_reason: str = ""
    evidence: dict[str, MetricEvidence] | None = None
    judgement: Judgement | None = None
    history: tuple[Event, ...] = ()
    ended: float = 0.0
