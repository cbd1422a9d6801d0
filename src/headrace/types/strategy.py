"""The plan of a release: which steps it takes, what is watched meanwhile, and how sure it has to be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headrace.types.pair import PairRules


class Strategy(StrEnum):
    """Which steps a plan has when nobody says otherwise: release/strategies/, one file each."""

    CANARY = "canary"  # a growing share of users
    BLUE_GREEN = "blue_green"  # all users at once, and back at once
    SHADOW = "shadow"  # a copy of the traffic first, then a canary
    AB = "ab"  # two shares side by side until a horizon, then a reading
    MANUAL = "manual"  # a canary in which a person opens each step
    PREVIEW = "preview"  # only who sends the canary header, until a person decides


class StepKind(StrEnum):
    """What a step does and when it is over: release/steps/, one file each."""

    SHARE = "share"  # a share of users, compared with the others
    SHADOW = "shadow"  # no user: copies of calls, compared answer by answer
    PREVIEW = "preview"  # no user but those who ask for it by header
    APPROVAL = "approval"  # everything stays as it is until a person says go
    SWITCH = "switch"  # every user; the baseline stays loaded, and is returned to at the first sign of harm
    HORIZON = "horizon"  # a share until enough users were seen, whatever the comparison says meanwhile


class MetricKind(StrEnum):
    """What is counted or measured, at most once per unit and scope."""

    ERRORS = "errors"  # event: the call failed or timed out
    SLOW = "slow"  # event: slower than a cut fixed from the baseline
    FEEDBACK = "feedback"  # event: thumbs down, or a correction that differs from the output
    RATE = "rate"  # event: the application posted a metric of this name for the unit
    VALUE = "value"  # the number that the application, a judge or a monitor posted for the unit: its mean is compared
    FLIPS = "flips"  # event: the shadow's answer differs from the one that the user got

    @property
    def of_calls(self) -> bool:
        """Told by the calls themselves, as they end."""
        return self in (MetricKind.ERRORS, MetricKind.SLOW)


class Direction(StrEnum):
    LOWER = "lower"  # less of it is better
    HIGHER = "higher"  # more of it is better


class Role(StrEnum):
    GUARDRAIL = "guardrail"  # must not get worse
    SUCCESS = "success"  # is meant to get better: never rolls back by itself


class AtEnd(StrEnum):
    """What follows the last step."""

    PROMOTE = "promote"
    ASK = "ask"  # pause, and let a person read the result


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric, and how much harm is tolerable.

    critical: alone enough to roll back; shares α with the other critical metrics by `weight` (weighted Bonferroni).
    required: promotion needs proof. Of a guardrail: no harm, that is an odds ratio below `margin`, a rate below
    `tolerance`, or a mean not worse by `margin`; of a success metric: that it is better.
    must_have_data: promotion waits until at least `min_events` were seen with either version.
    dry_run: is computed and shown, and decides nothing.
    quantile and slack (SLOW only): the cut is the baseline's quantile, plus the larger of slack x itself and slack_ms.
    event, low, high (RATE, VALUE): the name that is posted, and the bounds that its values cannot leave. Without bounds
    the confidence sequence of a mean is asymptotic, and says so.
    """

    name: str
    kind: MetricKind
    role: Role = Role.GUARDRAIL
    direction: Direction = Direction.LOWER
    critical: bool = True
    required: bool = False
    must_have_data: bool = False
    min_events: int = 0
    dry_run: bool = False
    weight: float = 1.0
    margin: float = 1.25  # odds ratio; VALUE: in the metric's own unit
    tolerance: float = 0.0  # rate of units per interval; 0: no absolute tolerance
    quantile: float = 0.0
    slack: float = 0.25
    slack_ms: float = 5.0
    event: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def guards(self) -> bool:
        """Whether it may roll back."""
        return self.critical and not self.dry_run and self.role is Role.GUARDRAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`units`: distinct ones that the candidate must have answered in this step; of a SHADOW step, pairs."""

    kind: StepKind = StepKind.SHARE
    share: int = 0  # of traffic.BUCKETS: users who get the candidate's answers
    mirror: int = 0  # of traffic.BUCKETS: calls that are copied to it (SHADOW)
    min_seconds: float = 60.0
    min_units: int = 20
    max_seconds: float = 86_400.0  # after that an undecided step is inconclusive
    note: str = ""  # APPROVAL: what the person is asked
    max_concurrency: int = 1  # SHADOW: copies that run at the same time, per data plane
    max_queue: int = 256  # SHADOW: copies that wait, per data plane; more are dropped and counted
    attributes: tuple[str, ...] = ()  # SHADOW: request headers that are kept with a pair, to look at pairs by


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePlan:
    """`alpha` bounds the chance to roll back a harmless candidate, over the whole release and all looks."""

    strategy: Strategy
    steps: tuple[Step, ...]
    metrics: tuple[MetricSpec, ...]
    alpha: float = 0.05
    max_failures_in_row: int = 5  # hard guard, outside statistics
    proof: bool = True  # full traffic needs proof of no harm; else no sign of harm is enough
    cold_seconds: float = 0.0  # after the first share, in which slow answers count for neither version
    at_end: AtEnd = AtEnd.PROMOTE
    pairs: PairRules = PairRules()  # when two answers are the same (SHADOW)
