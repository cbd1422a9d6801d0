"""A change of an endpoint's traffic from one variant to another, under a plan, with evidence and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headrace.types.gate import GateResult
from headrace.types.pair import PairTally
from headrace.types.score import Bets, Normal, Score
from headrace.types.strategy import ReleasePlan, Step


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One interval, one metric. Units: those seen in the interval whose event had not been counted before it."""

    baseline_units: int = 0
    candidate_units: int = 0
    baseline_events: int = 0
    candidate_events: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What came late in one interval (feedback, posted metrics) about calls that were made in one step: it is compared
    among those who called then. `about`: the name that was posted; empty: unhappy users."""

    step: int
    release: Tally  # a unit counts once in the whole release
    step_wise: Tally  # a unit counts once in the step
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The values that were posted in one interval for units that called in one step, one of each unit."""

    step: int
    about: str  # the name that was posted
    scores: tuple[Score, ...]  # of units that had none in the release
    again: tuple[Score, ...] = ()  # of units that had one, but none in this step


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Units that came in a stretch of time after a switch, and those of the stretch before it that is held against it.
    All were followed for equally long. Events are in the tally, values in the scores, in an order drawn by a hash."""

    about: str = ""  # the name that was posted; empty: unhappy users
    tally: Tally = Tally()
    scores: tuple[Score, ...] = ()


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
    late: tuple[Cohort, ...] = ()
    cuts: dict[str, float]  # by metric of kind SLOW, in milliseconds
    called: tuple[int, int]  # distinct units of (baseline, candidate) in the release so far
    scores: tuple[Scores, ...] = ()
    exposed: tuple[int, int] = (0, 0)  # the same, in this step so far
    refused: str = ""  # why a data plane could not run the candidate, if so
    pairs: PairTally | None = None  # in a shadow step
    matched: tuple[Matched, ...] = ()  # after a switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes:
    """How much of a metric's α each test has, fixed by the plan before anything is seen; together at most 1."""

    release: float = 1.0
    step: float = 0.0  # each one that compares
    alone: float = 0.0  # with nobody to compare with


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricEvidence:
    """The state of one metric's tests: natural logarithms of e-values, one per alternative of the mixture.

    The counts are of the whole release: distinct units that were seen, and those of them that had the event.
    """

    scopes: Scopes = Scopes()
    harm: tuple[float, ...] = ()  # in the whole release
    harm_steps: tuple[tuple[float, ...], ...] = ()  # in each step anew
    not_worse: tuple[float, ...] = ()  # against "odds ratio ≥ margin", in the whole release
    not_worse_step: tuple[float, ...] = ()  # the same in this step
    tolerable: tuple[float, ...] = ()  # against "rate ≥ tolerance", in this step
    beyond: tuple[float, ...] = ()  # with nobody to compare with, against "rate ≤ limit" or "no worse than before"
    block: Tally = Tally()  # of calls since the last ten seconds of a switch that were judged
    block_ends: float = 0.0
    limit: float = 0.0  # FLIPS: the tolerance; else fixed from the baseline when it had all traffic
    baseline_risk: int = 0  # units at risk, summed over intervals: what `limit` is made from
    baseline_risk_events: int = 0
    bets: Bets | None = None  # VALUE with bounds
    normal: Normal | None = None  # VALUE without
    bets_steps: tuple[Bets, ...] = ()  # the same in each step anew, when there are several
    normal_steps: tuple[Normal, ...] = ()
    bets_after: Bets | None = None  # the same after a switch against before it
    normal_after: Normal | None = None
    baseline_units: int = 0
    candidate_units: int = 0
    baseline_events: int = 0  # VALUE: units with a value
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
class Member:
    """One endpoint's part in a release. Baseline and candidate are names of variants."""

    endpoint: str
    baseline: str
    candidate: str
    candidate_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """`others`: endpoints that move with this one, in the same plans, under the same salt and by the same evidence."""

    id: str  # rel_…
    endpoint: str
    baseline: str  # variant names
    candidate: str
    candidate_uri: str
    plan: ReleasePlan
    phase: Phase
    created: float
    actor: str
    others: tuple[Member, ...] = ()
    step: int = 0
    step_started: float = 0.0
    step_units: int = 0
    approved: bool = False  # this step, by a person
    exposed: tuple[tuple[int, int], ...] = ()  # by step: distinct units of (baseline, candidate)
    pairs: PairTally | None = None  # all that were compared so far
    failures_in_row: int = 0
    paused_reason: str = ""
    evidence: dict[str, MetricEvidence] | None = None
    judgement: Judgement | None = None
    gates: tuple[GateResult, ...] = ()  # what the candidate showed before its first share
    history: tuple[Event, ...] = ()
    ended: float = 0.0

    @property
    def members(self) -> tuple[Member, ...]:
        own = Member(
            endpoint=self.endpoint,
            baseline=self.baseline,
            candidate=self.candidate,
            candidate_uri=self.candidate_uri,
        )
        return (own, *self.others)

    @property
    def current(self) -> Step:
        return self.plan.steps[self.step]

    @property
    def is_last(self) -> bool:
        return self.step == len(self.plan.steps) - 1
